-- Made from the projections' row types by a test of adapters/postgres; UPDATE_GOLDEN=1 writes it anew. Do not edit.
-- Each build has tables like these, with its own number; a view in schema "read" shows the one that serves.

-- operators, version 2, from: operator.registered operator.changed operator.booking_changed operator.closed journal.rules_adopted
CREATE TABLE build.operators__b1 (
    operator_id uuid NOT NULL,
    code text NOT NULL,
    name text NOT NULL,
    books_zone text NOT NULL,
    booking text NOT NULL,
    rules_version bigint,
    closed boolean NOT NULL,
    registered_at timestamptz NOT NULL,
    revision bigint NOT NULL,
    position bigint NOT NULL,
    CONSTRAINT operators__b1_key PRIMARY KEY (operator_id)
) WITH (fillfactor = 85);
COMMENT ON TABLE build.operators__b1 IS 'An operator (运营商): the tenant.';
COMMENT ON COLUMN build.operators__b1.operator_id IS 'Which.';
COMMENT ON COLUMN build.operators__b1.code IS 'Its nine-character code.';
COMMENT ON COLUMN build.operators__b1.name IS 'Its name.';
COMMENT ON COLUMN build.operators__b1.books_zone IS 'The zone of its books.';
COMMENT ON COLUMN build.operators__b1.booking IS 'How its books treat other owners'' stations: `principal` or `agent`.';
COMMENT ON COLUMN build.operators__b1.rules_version IS 'The version of the posting rules that it adopted; none before the first adoption.';
COMMENT ON COLUMN build.operators__b1.closed IS 'Whether it left.';
COMMENT ON COLUMN build.operators__b1.registered_at IS 'When it joined.';
COMMENT ON COLUMN build.operators__b1.revision IS 'The revision of its stream that this row holds.';
COMMENT ON COLUMN build.operators__b1.position IS 'The position that this row holds.';
DROP VIEW IF EXISTS read.operators;
CREATE VIEW read.operators AS SELECT * FROM build.operators__b1;

-- stations, version 2, from: station.registered station.changed station.tariff_assigned station.ownership_changed station.retired
CREATE TABLE build.stations__b1 (
    station_id uuid NOT NULL,
    operator_id uuid NOT NULL,
    code text NOT NULL,
    name text NOT NULL,
    address text NOT NULL,
    longitude double precision NOT NULL,
    latitude double precision NOT NULL,
    published_longitude text NOT NULL,
    published_latitude text NOT NULL,
    published_datum text NOT NULL,
    zone text NOT NULL,
    tariff_id uuid,
    owner_id uuid,
    owner_code text,
    owner_name text,
    retired boolean NOT NULL,
    registered_at timestamptz NOT NULL,
    revision bigint NOT NULL,
    position bigint NOT NULL,
    CONSTRAINT stations__b1_key PRIMARY KEY (station_id)
) WITH (fillfactor = 85);
CREATE INDEX stations__b1_operator_id_name ON build.stations__b1 (operator_id, name, station_id);
CREATE INDEX stations__b1_operator_id_latitude_longitude ON build.stations__b1 (operator_id, latitude, longitude, station_id);
CREATE INDEX stations__b1_operator_id_code ON build.stations__b1 (operator_id, code, station_id);
COMMENT ON TABLE build.stations__b1 IS 'A charging station (充电站).';
COMMENT ON COLUMN build.stations__b1.station_id IS 'Which.';
COMMENT ON COLUMN build.stations__b1.operator_id IS 'Whose: the tenant.';
COMMENT ON COLUMN build.stations__b1.code IS 'The operator''s own code for it.';
COMMENT ON COLUMN build.stations__b1.name IS 'Its name.';
COMMENT ON COLUMN build.stations__b1.address IS 'Its address, as people write it.';
COMMENT ON COLUMN build.stations__b1.longitude IS 'East of Greenwich in WGS 84, degrees, for distances.';
COMMENT ON COLUMN build.stations__b1.latitude IS 'North of the equator in WGS 84, degrees, for distances.';
COMMENT ON COLUMN build.stations__b1.published_longitude IS 'East of Greenwich, exactly as published.';
COMMENT ON COLUMN build.stations__b1.published_latitude IS 'North of the equator, exactly as published.';
COMMENT ON COLUMN build.stations__b1.published_datum IS 'What the published place refers to: `WGS-84` or `GCJ-02`.';
COMMENT ON COLUMN build.stations__b1.zone IS 'Its zone.';
COMMENT ON COLUMN build.stations__b1.tariff_id IS 'The tariff of sessions that start here.';
COMMENT ON COLUMN build.stations__b1.owner_id IS 'Whose it is, when it is not its operator''s: whom 2202 is kept by.';
COMMENT ON COLUMN build.stations__b1.owner_code IS 'The owner''s organisation code.';
COMMENT ON COLUMN build.stations__b1.owner_name IS 'The owner''s name.';
COMMENT ON COLUMN build.stations__b1.retired IS 'Whether it was taken out of service.';
COMMENT ON COLUMN build.stations__b1.registered_at IS 'When it was put into service.';
COMMENT ON COLUMN build.stations__b1.revision IS 'The revision of its stream that this row holds.';
COMMENT ON COLUMN build.stations__b1.position IS 'The position that this row holds.';
DROP VIEW IF EXISTS read.stations;
CREATE VIEW read.stations AS SELECT * FROM build.stations__b1;

-- piles, version 1, from: pile.registered pile.changed pile.retired
CREATE TABLE build.piles__b1 (
    pile_id uuid NOT NULL,
    operator_id uuid NOT NULL,
    station_id uuid NOT NULL,
    code text NOT NULL,
    model text NOT NULL,
    current text NOT NULL,
    rated_power_kw numeric(10,3) NOT NULL,
    retired boolean NOT NULL,
    registered_at timestamptz NOT NULL,
    revision bigint NOT NULL,
    position bigint NOT NULL,
    CONSTRAINT piles__b1_key PRIMARY KEY (pile_id)
) WITH (fillfactor = 85);
CREATE INDEX piles__b1_operator_id_station_id ON build.piles__b1 (operator_id, station_id, pile_id);
CREATE INDEX piles__b1_operator_id_code ON build.piles__b1 (operator_id, code, pile_id);
COMMENT ON TABLE build.piles__b1 IS 'A charging pile (充电桩).';
COMMENT ON COLUMN build.piles__b1.pile_id IS 'Which.';
COMMENT ON COLUMN build.piles__b1.operator_id IS 'Whose: the tenant.';
COMMENT ON COLUMN build.piles__b1.station_id IS 'Where.';
COMMENT ON COLUMN build.piles__b1.code IS 'The code that it gives itself on the wire, or the operator''s own.';
COMMENT ON COLUMN build.piles__b1.model IS 'The maker''s model; empty when unknown.';
COMMENT ON COLUMN build.piles__b1.current IS '`ac` or `dc`.';
COMMENT ON COLUMN build.piles__b1.rated_power_kw IS 'The most that one connector gives.';
COMMENT ON COLUMN build.piles__b1.retired IS 'Whether it was taken out of service.';
COMMENT ON COLUMN build.piles__b1.registered_at IS 'When it was put into service.';
COMMENT ON COLUMN build.piles__b1.revision IS 'The revision of its stream that this row holds.';
COMMENT ON COLUMN build.piles__b1.position IS 'The position that this row holds.';
DROP VIEW IF EXISTS read.piles;
CREATE VIEW read.piles AS SELECT * FROM build.piles__b1;

-- connectors, version 1, from: connector.registered connector.occupied connector.released connector.faulted connector.fault_cleared connector.went_offline connector.came_online connector.retired
CREATE TABLE build.connectors__b1 (
    connector_id uuid NOT NULL,
    operator_id uuid NOT NULL,
    station_id uuid NOT NULL,
    pile_id uuid NOT NULL,
    number bigint NOT NULL,
    status text NOT NULL,
    session_id uuid,
    fault_code text,
    offline boolean NOT NULL,
    retired boolean NOT NULL,
    changed_at timestamptz NOT NULL,
    revision bigint NOT NULL,
    position bigint NOT NULL,
    CONSTRAINT connectors__b1_key PRIMARY KEY (connector_id)
) WITH (fillfactor = 85);
CREATE INDEX connectors__b1_operator_id_station_id ON build.connectors__b1 (operator_id, station_id, connector_id);
CREATE INDEX connectors__b1_operator_id_pile_id ON build.connectors__b1 (operator_id, pile_id, connector_id);
CREATE INDEX connectors__b1_operator_id_status ON build.connectors__b1 (operator_id, status, connector_id);
COMMENT ON TABLE build.connectors__b1 IS 'A connector (充电枪).';
COMMENT ON COLUMN build.connectors__b1.connector_id IS 'Which.';
COMMENT ON COLUMN build.connectors__b1.operator_id IS 'Whose: the tenant.';
COMMENT ON COLUMN build.connectors__b1.station_id IS 'Its station.';
COMMENT ON COLUMN build.connectors__b1.pile_id IS 'Its pile.';
COMMENT ON COLUMN build.connectors__b1.number IS 'Its number on the pile, from 1.';
COMMENT ON COLUMN build.connectors__b1.status IS 'What it can be used for now.';
COMMENT ON COLUMN build.connectors__b1.session_id IS 'The session that has it.';
COMMENT ON COLUMN build.connectors__b1.fault_code IS 'The device''s own code of the fault that it reports.';
COMMENT ON COLUMN build.connectors__b1.offline IS 'Whether nothing is heard of it.';
COMMENT ON COLUMN build.connectors__b1.retired IS 'Whether it was taken out of service.';
COMMENT ON COLUMN build.connectors__b1.changed_at IS 'When any of this last changed.';
COMMENT ON COLUMN build.connectors__b1.revision IS 'The revision of its stream that this row holds.';
COMMENT ON COLUMN build.connectors__b1.position IS 'The position that this row holds.';
DROP VIEW IF EXISTS read.connectors;
CREATE VIEW read.connectors AS SELECT * FROM build.connectors__b1;

-- tariffs, version 1, from: tariff.version_published tariff.withdrawn
CREATE TABLE build.tariffs__b1 (
    tariff_id uuid NOT NULL,
    operator_id uuid NOT NULL,
    name text NOT NULL,
    version bigint NOT NULL,
    effective_from_at timestamptz NOT NULL,
    terms jsonb NOT NULL,
    withdrawn boolean NOT NULL,
    updated_at timestamptz NOT NULL,
    revision bigint NOT NULL,
    position bigint NOT NULL,
    CONSTRAINT tariffs__b1_key PRIMARY KEY (tariff_id)
) WITH (fillfactor = 85);
CREATE INDEX tariffs__b1_operator_id_name ON build.tariffs__b1 (operator_id, name, tariff_id);
COMMENT ON TABLE build.tariffs__b1 IS 'A tariff (计费模型).';
COMMENT ON COLUMN build.tariffs__b1.tariff_id IS 'Which.';
COMMENT ON COLUMN build.tariffs__b1.operator_id IS 'Whose: the tenant.';
COMMENT ON COLUMN build.tariffs__b1.name IS 'Its name.';
COMMENT ON COLUMN build.tariffs__b1.version IS 'The newest version.';
COMMENT ON COLUMN build.tariffs__b1.effective_from_at IS 'When the newest version begins to hold.';
COMMENT ON COLUMN build.tariffs__b1.terms IS 'The prices of the newest version.';
COMMENT ON COLUMN build.tariffs__b1.withdrawn IS 'Whether no session may start under it any more.';
COMMENT ON COLUMN build.tariffs__b1.updated_at IS 'When it last changed.';
COMMENT ON COLUMN build.tariffs__b1.revision IS 'The revision of its stream that this row holds.';
COMMENT ON COLUMN build.tariffs__b1.position IS 'The position that this row holds.';
DROP VIEW IF EXISTS read.tariffs;
CREATE VIEW read.tariffs AS SELECT * FROM build.tariffs__b1;

-- tariff_versions, version 1, from: tariff.version_published
CREATE TABLE build.tariff_versions__b1 (
    tariff_id uuid NOT NULL,
    version bigint NOT NULL,
    operator_id uuid NOT NULL,
    name text NOT NULL,
    effective_from_at timestamptz NOT NULL,
    terms jsonb NOT NULL,
    published_at timestamptz NOT NULL,
    position bigint NOT NULL,
    CONSTRAINT tariff_versions__b1_key PRIMARY KEY (tariff_id, version)
) WITH (fillfactor = 85);
CREATE INDEX tariff_versions__b1_operator_id_effective_from_at ON build.tariff_versions__b1 (operator_id, effective_from_at, tariff_id, version);
COMMENT ON TABLE build.tariff_versions__b1 IS 'A version of a tariff. It never changes.';
COMMENT ON COLUMN build.tariff_versions__b1.tariff_id IS 'Of which tariff.';
COMMENT ON COLUMN build.tariff_versions__b1.version IS 'From 1, without a gap.';
COMMENT ON COLUMN build.tariff_versions__b1.operator_id IS 'Whose: the tenant.';
COMMENT ON COLUMN build.tariff_versions__b1.name IS 'Its name.';
COMMENT ON COLUMN build.tariff_versions__b1.effective_from_at IS 'When it begins to hold.';
COMMENT ON COLUMN build.tariff_versions__b1.terms IS 'The prices.';
COMMENT ON COLUMN build.tariff_versions__b1.published_at IS 'When it was published.';
COMMENT ON COLUMN build.tariff_versions__b1.position IS 'The position of its event.';
DROP VIEW IF EXISTS read.tariff_versions;
CREATE VIEW read.tariff_versions AS SELECT * FROM build.tariff_versions__b1;

-- users, version 1, from: user.registered user.changed user.closed user.erased
CREATE TABLE build.users__b1 (
    user_id uuid NOT NULL,
    operator_id uuid NOT NULL,
    status text NOT NULL,
    phone_sealed text,
    phone_lookup text,
    name_sealed text,
    plate_sealed text,
    registered_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    generated boolean NOT NULL,
    revision bigint NOT NULL,
    position bigint NOT NULL,
    CONSTRAINT users__b1_key PRIMARY KEY (user_id)
) WITH (fillfactor = 85);
CREATE INDEX users__b1_operator_id_phone_lookup ON build.users__b1 (operator_id, phone_lookup, user_id);
CREATE INDEX users__b1_operator_id_registered_at ON build.users__b1 (operator_id, registered_at, user_id);
COMMENT ON TABLE build.users__b1 IS 'A driver (车主).';
COMMENT ON COLUMN build.users__b1.user_id IS 'Which.';
COMMENT ON COLUMN build.users__b1.operator_id IS 'With whom: the tenant.';
COMMENT ON COLUMN build.users__b1.status IS 'What the user can do.';
COMMENT ON COLUMN build.users__b1.phone_sealed IS 'The phone number, sealed.';
COMMENT ON COLUMN build.users__b1.phone_lookup IS 'The phone number''s keyed hash, to look it up.';
COMMENT ON COLUMN build.users__b1.name_sealed IS 'The real name, sealed.';
COMMENT ON COLUMN build.users__b1.plate_sealed IS 'The licence plate, sealed.';
COMMENT ON COLUMN build.users__b1.registered_at IS 'When the user joined.';
COMMENT ON COLUMN build.users__b1.updated_at IS 'When any of this last changed.';
COMMENT ON COLUMN build.users__b1.generated IS 'Whether a generator of sample data made the user up.';
COMMENT ON COLUMN build.users__b1.revision IS 'The revision of the stream that this row holds.';
COMMENT ON COLUMN build.users__b1.position IS 'The position that this row holds.';
DROP VIEW IF EXISTS read.users;
CREATE VIEW read.users AS SELECT * FROM build.users__b1;

-- api_keys, version 1, from: key.created key.revoked
CREATE TABLE build.api_keys__b1 (
    key_id uuid NOT NULL,
    operator_id uuid NOT NULL,
    role text NOT NULL,
    name text NOT NULL,
    created_at timestamptz NOT NULL,
    revoked_at timestamptz,
    position bigint NOT NULL,
    CONSTRAINT api_keys__b1_key PRIMARY KEY (key_id)
) WITH (fillfactor = 85);
CREATE INDEX api_keys__b1_operator_id_created_at ON build.api_keys__b1 (operator_id, created_at, key_id);
COMMENT ON TABLE build.api_keys__b1 IS 'An API key.';
COMMENT ON COLUMN build.api_keys__b1.key_id IS 'Which.';
COMMENT ON COLUMN build.api_keys__b1.operator_id IS 'Whose data it sees: the tenant.';
COMMENT ON COLUMN build.api_keys__b1.role IS 'What its bearer may do.';
COMMENT ON COLUMN build.api_keys__b1.name IS 'A name for people.';
COMMENT ON COLUMN build.api_keys__b1.created_at IS 'When it was made.';
COMMENT ON COLUMN build.api_keys__b1.revoked_at IS 'When it stopped opening anything.';
COMMENT ON COLUMN build.api_keys__b1.position IS 'The position that this row holds.';
DROP VIEW IF EXISTS read.api_keys;
CREATE VIEW read.api_keys AS SELECT * FROM build.api_keys__b1;

-- sessions, version 1, from: session.requested session.discovered session.authorised session.refused session.starting session.start_timed_out session.started session.meter_read session.meter_disputed session.stop_requested session.stopped session.tariff_assigned session.faulted session.abandoned session.unplugged session.record_accepted session.record_disputed session.closed_by_operator session.billed session.bill_corrected session.settled session.receivable_paid
CREATE TABLE build.sessions__b1 (
    session_id uuid NOT NULL,
    operator_id uuid NOT NULL,
    order_number text,
    status text NOT NULL,
    mode text,
    user_id uuid,
    station_id uuid NOT NULL,
    pile_id uuid NOT NULL,
    connector_id uuid NOT NULL,
    opened_at timestamptz NOT NULL,
    started_at timestamptz,
    ended_at timestamptz,
    unplugged_at timestamptz,
    expires_at timestamptz,
    energy_kwh numeric(14,4),
    read_at timestamptz,
    stop_reason text,
    refusal_reason text,
    fault_code text,
    transaction_number text,
    oddities jsonb,
    dispute_reason text,
    dispute_count bigint NOT NULL,
    note text,
    tariff_id uuid,
    tariff_version bigint,
    zone text,
    payment_id uuid,
    authorised_yuan numeric(18,2),
    bill_number text,
    total_yuan numeric(18,2),
    paid_yuan numeric(18,2) NOT NULL,
    refund_yuan numeric(18,2) NOT NULL,
    receivable_yuan numeric(18,2) NOT NULL,
    discovered boolean NOT NULL,
    generated boolean NOT NULL,
    updated_at timestamptz NOT NULL,
    revision bigint NOT NULL,
    position bigint NOT NULL,
    CONSTRAINT sessions__b1_key PRIMARY KEY (session_id)
) WITH (fillfactor = 85);
CREATE INDEX sessions__b1_operator_id_opened_at ON build.sessions__b1 (operator_id, opened_at, session_id);
CREATE INDEX sessions__b1_operator_id_user_id_opened_at ON build.sessions__b1 (operator_id, user_id, opened_at, session_id);
CREATE INDEX sessions__b1_operator_id_station_id_opened_at ON build.sessions__b1 (operator_id, station_id, opened_at, session_id);
CREATE INDEX sessions__b1_operator_id_pile_id_opened_at ON build.sessions__b1 (operator_id, pile_id, opened_at, session_id);
CREATE INDEX sessions__b1_operator_id_status_opened_at ON build.sessions__b1 (operator_id, status, opened_at, session_id);
CREATE INDEX sessions__b1_operator_id_order_number ON build.sessions__b1 (operator_id, order_number, session_id);
CREATE INDEX sessions__b1_words ON build.sessions__b1 USING gin ((to_tsvector('simple', translate(coalesce(order_number, '') || ' ' || coalesce(transaction_number, '') || ' ' || coalesce(note, '') || ' ' || coalesce(dispute_reason, '') || ' ' || coalesce(fault_code, ''), '-_./:+#@,;()[]', '              ')))) WITH (fastupdate = off);
COMMENT ON TABLE build.sessions__b1 IS 'One charging session (充电过程), from request to settlement.';
COMMENT ON COLUMN build.sessions__b1.session_id IS 'Which.';
COMMENT ON COLUMN build.sessions__b1.operator_id IS 'Whose station: the tenant.';
COMMENT ON COLUMN build.sessions__b1.order_number IS 'The number that people see.';
COMMENT ON COLUMN build.sessions__b1.status IS 'Where it is on its way.';
COMMENT ON COLUMN build.sessions__b1.mode IS 'How it is paid: `prepaid`, `wallet` or `postpaid`.';
COMMENT ON COLUMN build.sessions__b1.user_id IS 'The driver.';
COMMENT ON COLUMN build.sessions__b1.station_id IS 'The station.';
COMMENT ON COLUMN build.sessions__b1.pile_id IS 'The pile.';
COMMENT ON COLUMN build.sessions__b1.connector_id IS 'The connector.';
COMMENT ON COLUMN build.sessions__b1.opened_at IS 'When the ledger first heard of it.';
COMMENT ON COLUMN build.sessions__b1.started_at IS 'When charging began, as the record says once there is one.';
COMMENT ON COLUMN build.sessions__b1.ended_at IS 'When charging ended, as the record says once there is one.';
COMMENT ON COLUMN build.sessions__b1.unplugged_at IS 'When the vehicle left.';
COMMENT ON COLUMN build.sessions__b1.expires_at IS 'Until when the device may start.';
COMMENT ON COLUMN build.sessions__b1.energy_kwh IS 'The energy: while charging the last reading''s, then what is billed.';
COMMENT ON COLUMN build.sessions__b1.read_at IS 'When the meter was last read.';
COMMENT ON COLUMN build.sessions__b1.stop_reason IS 'Why it ended.';
COMMENT ON COLUMN build.sessions__b1.refusal_reason IS 'Why it did not come about.';
COMMENT ON COLUMN build.sessions__b1.fault_code IS 'The device''s fault code.';
COMMENT ON COLUMN build.sessions__b1.transaction_number IS 'The device''s number for it.';
COMMENT ON COLUMN build.sessions__b1.oddities IS 'What is odd about its record: a list of words.';
COMMENT ON COLUMN build.sessions__b1.dispute_reason IS 'Why its record or last disputed reading is not believed.';
COMMENT ON COLUMN build.sessions__b1.dispute_count IS 'How many facts about it are not believed.';
COMMENT ON COLUMN build.sessions__b1.note IS 'What an operator wrote on closing or correcting it.';
COMMENT ON COLUMN build.sessions__b1.tariff_id IS 'Under which tariff.';
COMMENT ON COLUMN build.sessions__b1.tariff_version IS 'Which version of it.';
COMMENT ON COLUMN build.sessions__b1.zone IS 'The station''s zone.';
COMMENT ON COLUMN build.sessions__b1.payment_id IS 'The payment that came before it.';
COMMENT ON COLUMN build.sessions__b1.authorised_yuan IS 'What was prepaid, or held in the wallet.';
COMMENT ON COLUMN build.sessions__b1.bill_number IS 'The number of the bill that holds.';
COMMENT ON COLUMN build.sessions__b1.total_yuan IS 'What the bill comes to, tax included.';
COMMENT ON COLUMN build.sessions__b1.paid_yuan IS 'What has been paid towards it: prepayment, wallet and later payments.';
COMMENT ON COLUMN build.sessions__b1.refund_yuan IS 'What has been decided to go back.';
COMMENT ON COLUMN build.sessions__b1.receivable_yuan IS 'What is still to be paid.';
COMMENT ON COLUMN build.sessions__b1.discovered IS 'Whether only a device knew of it.';
COMMENT ON COLUMN build.sessions__b1.generated IS 'Whether a generator of sample data asked for it.';
COMMENT ON COLUMN build.sessions__b1.updated_at IS 'When the ledger last heard of it.';
COMMENT ON COLUMN build.sessions__b1.revision IS 'The revision of its stream that this row holds.';
COMMENT ON COLUMN build.sessions__b1.position IS 'The position that this row holds.';
DROP VIEW IF EXISTS read.sessions;
CREATE VIEW read.sessions AS SELECT * FROM build.sessions__b1;

-- session_errors, version 1, from: session.discovered session.start_timed_out session.tariff_assigned session.started session.faulted session.abandoned session.record_accepted session.record_disputed session.closed_by_operator session.billed
CREATE TABLE build.session_errors__b1 (
    session_id uuid NOT NULL,
    operator_id uuid NOT NULL,
    station_id uuid NOT NULL,
    pile_id uuid NOT NULL,
    user_id uuid,
    problem text NOT NULL,
    detail text,
    is_open boolean NOT NULL,
    is_unpriced boolean NOT NULL,
    since_at timestamptz NOT NULL,
    resolved_at timestamptz,
    position bigint NOT NULL,
    CONSTRAINT session_errors__b1_key PRIMARY KEY (session_id)
) WITH (fillfactor = 85);
CREATE INDEX session_errors__b1_operator_id_is_open_since_at ON build.session_errors__b1 (operator_id, is_open, since_at, session_id);
CREATE INDEX session_errors__b1_operator_id_problem_since_at ON build.session_errors__b1 (operator_id, problem, since_at, session_id);
CREATE INDEX session_errors__b1_operator_id_station_id_since_at ON build.session_errors__b1 (operator_id, station_id, since_at, session_id);
COMMENT ON TABLE build.session_errors__b1 IS 'A session in error (异常订单).';
COMMENT ON COLUMN build.session_errors__b1.session_id IS 'Which.';
COMMENT ON COLUMN build.session_errors__b1.operator_id IS 'Whose: the tenant.';
COMMENT ON COLUMN build.session_errors__b1.station_id IS 'At which station.';
COMMENT ON COLUMN build.session_errors__b1.pile_id IS 'At which pile.';
COMMENT ON COLUMN build.session_errors__b1.user_id IS 'The driver.';
COMMENT ON COLUMN build.session_errors__b1.problem IS 'What is, or was, the matter.';
COMMENT ON COLUMN build.session_errors__b1.detail IS 'More about it: the device''s fault code, why the record is not believed.';
COMMENT ON COLUMN build.session_errors__b1.is_open IS 'Whether somebody has to do something.';
COMMENT ON COLUMN build.session_errors__b1.is_unpriced IS 'Whether there is no tariff to price it with, whatever else is the matter.';
COMMENT ON COLUMN build.session_errors__b1.since_at IS 'Since when.';
COMMENT ON COLUMN build.session_errors__b1.resolved_at IS 'When it was over.';
COMMENT ON COLUMN build.session_errors__b1.position IS 'The position that this row holds.';
DROP VIEW IF EXISTS read.session_errors;
CREATE VIEW read.session_errors AS SELECT * FROM build.session_errors__b1;

-- deadlines, version 1, from: session.starting session.start_timed_out session.refused session.started session.meter_read session.stopped session.faulted session.abandoned session.record_accepted session.closed_by_operator session.billed payment.initiated payment.succeeded payment.failed payment.closed payment.refund_requested payment.refund_succeeded payment.refund_failed
CREATE TABLE build.deadlines__b1 (
    subject_id uuid NOT NULL,
    operator_id uuid NOT NULL,
    awaits text NOT NULL,
    session_id uuid,
    payment_id uuid,
    since_at timestamptz NOT NULL,
    due_at timestamptz,
    position bigint NOT NULL,
    CONSTRAINT deadlines__b1_key PRIMARY KEY (subject_id)
) WITH (fillfactor = 85);
CREATE INDEX deadlines__b1_operator_id_since_at ON build.deadlines__b1 (operator_id, since_at, subject_id);
CREATE INDEX deadlines__b1_operator_id_awaits_since_at ON build.deadlines__b1 (operator_id, awaits, since_at, subject_id);
COMMENT ON TABLE build.deadlines__b1 IS 'Something that is waited for.';
COMMENT ON COLUMN build.deadlines__b1.subject_id IS 'The session, the payment or the refund that waits.';
COMMENT ON COLUMN build.deadlines__b1.operator_id IS 'Whose: the tenant.';
COMMENT ON COLUMN build.deadlines__b1.awaits IS 'What is waited for.';
COMMENT ON COLUMN build.deadlines__b1.session_id IS 'The session, if it is one''s.';
COMMENT ON COLUMN build.deadlines__b1.payment_id IS 'The payment, if it is one''s.';
COMMENT ON COLUMN build.deadlines__b1.since_at IS 'Since when.';
COMMENT ON COLUMN build.deadlines__b1.due_at IS 'Until when, if the event says it.';
COMMENT ON COLUMN build.deadlines__b1.position IS 'The position that this row holds.';
DROP VIEW IF EXISTS read.deadlines;
CREATE VIEW read.deadlines AS SELECT * FROM build.deadlines__b1;

-- bills, version 3, from: session.billed session.bill_corrected
CREATE TABLE build.bills__b1 (
    session_id uuid NOT NULL,
    bill_number text NOT NULL,
    operator_id uuid NOT NULL,
    station_id uuid NOT NULL,
    user_id uuid,
    mode text NOT NULL,
    billed_at timestamptz NOT NULL,
    energy_kwh numeric(14,4) NOT NULL,
    energy_fee_yuan numeric(18,2) NOT NULL,
    service_fee_yuan numeric(18,2) NOT NULL,
    idle_fee_yuan numeric(18,2) NOT NULL,
    tax_yuan numeric(18,2) NOT NULL,
    total_yuan numeric(18,2) NOT NULL,
    owner_id uuid,
    owner_part_yuan numeric(18,2),
    commission_yuan numeric(18,2),
    lines jsonb NOT NULL,
    fees jsonb NOT NULL,
    replaces text,
    replaced_by text,
    note text,
    generated boolean NOT NULL,
    position bigint NOT NULL,
    CONSTRAINT bills__b1_key PRIMARY KEY (session_id, bill_number)
) WITH (fillfactor = 85);
CREATE INDEX bills__b1_operator_id_billed_at ON build.bills__b1 (operator_id, billed_at, session_id, bill_number);
CREATE INDEX bills__b1_operator_id_session_id ON build.bills__b1 (operator_id, session_id, bill_number);
CREATE INDEX bills__b1_operator_id_user_id_billed_at ON build.bills__b1 (operator_id, user_id, billed_at, session_id, bill_number);
CREATE INDEX bills__b1_operator_id_station_id_billed_at ON build.bills__b1 (operator_id, station_id, billed_at, session_id, bill_number);
COMMENT ON TABLE build.bills__b1 IS 'A bill (账单).';
COMMENT ON COLUMN build.bills__b1.session_id IS 'Of which session: two of one second can have the same order number.';
COMMENT ON COLUMN build.bills__b1.bill_number IS 'Its number: the order number, `-2` and on for corrections.';
COMMENT ON COLUMN build.bills__b1.operator_id IS 'Whose: the tenant.';
COMMENT ON COLUMN build.bills__b1.station_id IS 'At which station.';
COMMENT ON COLUMN build.bills__b1.user_id IS 'Who owes it.';
COMMENT ON COLUMN build.bills__b1.mode IS 'How it is paid: `prepaid`, `wallet` or `postpaid`.';
COMMENT ON COLUMN build.bills__b1.billed_at IS 'When it was made.';
COMMENT ON COLUMN build.bills__b1.energy_kwh IS 'The energy that is billed.';
COMMENT ON COLUMN build.bills__b1.energy_fee_yuan IS 'Its energy fee (电费), tax included.';
COMMENT ON COLUMN build.bills__b1.service_fee_yuan IS 'Its service fee (服务费), tax included.';
COMMENT ON COLUMN build.bills__b1.idle_fee_yuan IS 'Its idle fee (占位费), tax included.';
COMMENT ON COLUMN build.bills__b1.tax_yuan IS 'The tax in it.';
COMMENT ON COLUMN build.bills__b1.total_yuan IS 'The sum of its lines, tax included.';
COMMENT ON COLUMN build.bills__b1.owner_id IS 'Whose the station was, when the bill is booked as an agent''s.';
COMMENT ON COLUMN build.bills__b1.owner_part_yuan IS 'What of it is the owner''s.';
COMMENT ON COLUMN build.bills__b1.commission_yuan IS 'What of it is kept as commission, tax included.';
COMMENT ON COLUMN build.bills__b1.lines IS 'Its lines: interval, quantity, unit price, rule, amount.';
COMMENT ON COLUMN build.bills__b1.fees IS 'The sums by kind of fee, apart into net and tax.';
COMMENT ON COLUMN build.bills__b1.replaces IS 'The bill that it replaced.';
COMMENT ON COLUMN build.bills__b1.replaced_by IS 'The bill that holds now, if this one does not.';
COMMENT ON COLUMN build.bills__b1.note IS 'Why it replaced the other.';
COMMENT ON COLUMN build.bills__b1.generated IS 'Whether a generator of sample data made the session up.';
COMMENT ON COLUMN build.bills__b1.position IS 'The position that this row holds.';
DROP VIEW IF EXISTS read.bills;
CREATE VIEW read.bills AS SELECT * FROM build.bills__b1;

-- payments, version 3, from: payment.initiated payment.prepared payment.succeeded payment.failed payment.closed payment.received_late payment.disputed payment.receipt_accepted payment.receipt_applied payment.disputes_closed payment.refund_requested payment.refund_succeeded payment.refund_failed payment.refund_disputed
CREATE TABLE build.payments__b1 (
    payment_id uuid NOT NULL,
    operator_id uuid NOT NULL,
    user_id uuid NOT NULL,
    channel text NOT NULL,
    purpose text NOT NULL,
    session_id uuid,
    status text NOT NULL,
    amount_yuan numeric(18,2) NOT NULL,
    refunded_yuan numeric(18,2) NOT NULL,
    refunding_yuan numeric(18,2) NOT NULL,
    refused_refunds jsonb NOT NULL,
    payment_no text NOT NULL,
    pay_token text,
    channel_transaction text,
    reason text,
    dispute_count bigint NOT NULL,
    expires_at timestamptz NOT NULL,
    initiated_at timestamptz NOT NULL,
    paid_at timestamptz,
    generated boolean NOT NULL,
    revision bigint NOT NULL,
    position bigint NOT NULL,
    CONSTRAINT payments__b1_key PRIMARY KEY (payment_id)
) WITH (fillfactor = 85);
CREATE INDEX payments__b1_operator_id_initiated_at ON build.payments__b1 (operator_id, initiated_at, payment_id);
CREATE INDEX payments__b1_operator_id_user_id_initiated_at ON build.payments__b1 (operator_id, user_id, initiated_at, payment_id);
CREATE INDEX payments__b1_operator_id_session_id ON build.payments__b1 (operator_id, session_id, payment_id);
CREATE INDEX payments__b1_operator_id_payment_no ON build.payments__b1 (operator_id, payment_no, payment_id);
CREATE INDEX payments__b1_operator_id_status_initiated_at ON build.payments__b1 (operator_id, status, initiated_at, payment_id);
COMMENT ON TABLE build.payments__b1 IS 'A payment (支付单).';
COMMENT ON COLUMN build.payments__b1.payment_id IS 'Which.';
COMMENT ON COLUMN build.payments__b1.operator_id IS 'Whose books: the tenant.';
COMMENT ON COLUMN build.payments__b1.user_id IS 'Who pays.';
COMMENT ON COLUMN build.payments__b1.channel IS 'Through which channel.';
COMMENT ON COLUMN build.payments__b1.purpose IS 'What for: `prepayment`, `top_up` or `postpaid`.';
COMMENT ON COLUMN build.payments__b1.session_id IS 'For which session, if for one.';
COMMENT ON COLUMN build.payments__b1.status IS 'Where it is on its way.';
COMMENT ON COLUMN build.payments__b1.amount_yuan IS 'How much: what was agreed, or what came and was accepted.';
COMMENT ON COLUMN build.payments__b1.refunded_yuan IS 'How much has gone back.';
COMMENT ON COLUMN build.payments__b1.refunding_yuan IS 'How much is on its way back.';
COMMENT ON COLUMN build.payments__b1.refused_refunds IS 'The refunds that the channel refused for good. One that goes back after all is not on its way any more.';
COMMENT ON COLUMN build.payments__b1.payment_no IS 'The merchant''s number at the channel.';
COMMENT ON COLUMN build.payments__b1.pay_token IS 'What the front end hands to the channel.';
COMMENT ON COLUMN build.payments__b1.channel_transaction IS 'The channel''s own number.';
COMMENT ON COLUMN build.payments__b1.reason IS 'The channel''s reason, when it failed or something is disputed.';
COMMENT ON COLUMN build.payments__b1.dispute_count IS 'How many contradictions of the channel nobody has looked into.';
COMMENT ON COLUMN build.payments__b1.expires_at IS 'Unpaid at this time, it closes.';
COMMENT ON COLUMN build.payments__b1.initiated_at IS 'When somebody was asked to pay.';
COMMENT ON COLUMN build.payments__b1.paid_at IS 'When the money was there.';
COMMENT ON COLUMN build.payments__b1.generated IS 'Whether a generator of sample data made it up.';
COMMENT ON COLUMN build.payments__b1.revision IS 'The revision of its stream that this row holds.';
COMMENT ON COLUMN build.payments__b1.position IS 'The position that this row holds.';
DROP VIEW IF EXISTS read.payments;
CREATE VIEW read.payments AS SELECT * FROM build.payments__b1;

-- refunds, version 1, from: payment.refund_requested payment.refund_succeeded payment.refund_failed payment.refund_disputed
CREATE TABLE build.refunds__b1 (
    payment_id uuid NOT NULL,
    refund_id uuid NOT NULL,
    operator_id uuid NOT NULL,
    user_id uuid,
    channel text,
    status text NOT NULL,
    amount_yuan numeric(18,2) NOT NULL,
    refund_no text,
    channel_refund text,
    reason text,
    problem text,
    of_late_receipt boolean NOT NULL,
    requested_at timestamptz NOT NULL,
    finished_at timestamptz,
    generated boolean NOT NULL,
    position bigint NOT NULL,
    CONSTRAINT refunds__b1_key PRIMARY KEY (payment_id, refund_id)
) WITH (fillfactor = 85);
CREATE INDEX refunds__b1_operator_id_requested_at ON build.refunds__b1 (operator_id, requested_at, payment_id, refund_id);
CREATE INDEX refunds__b1_operator_id_status_requested_at ON build.refunds__b1 (operator_id, status, requested_at, payment_id, refund_id);
CREATE INDEX refunds__b1_operator_id_user_id_requested_at ON build.refunds__b1 (operator_id, user_id, requested_at, payment_id, refund_id);
COMMENT ON TABLE build.refunds__b1 IS 'A refund (退款单).';
COMMENT ON COLUMN build.refunds__b1.payment_id IS 'Of which payment.';
COMMENT ON COLUMN build.refunds__b1.refund_id IS 'Which.';
COMMENT ON COLUMN build.refunds__b1.operator_id IS 'Whose books: the tenant.';
COMMENT ON COLUMN build.refunds__b1.user_id IS 'Who gets it.';
COMMENT ON COLUMN build.refunds__b1.channel IS 'Through which channel.';
COMMENT ON COLUMN build.refunds__b1.status IS 'Where it is on its way.';
COMMENT ON COLUMN build.refunds__b1.amount_yuan IS 'How much.';
COMMENT ON COLUMN build.refunds__b1.refund_no IS 'The merchant''s number at the channel.';
COMMENT ON COLUMN build.refunds__b1.channel_refund IS 'The channel''s own number.';
COMMENT ON COLUMN build.refunds__b1.reason IS 'Why it was asked for.';
COMMENT ON COLUMN build.refunds__b1.problem IS 'Why it failed, or what the channel says that does not fit.';
COMMENT ON COLUMN build.refunds__b1.of_late_receipt IS 'Whether the payment had come late.';
COMMENT ON COLUMN build.refunds__b1.requested_at IS 'When it was asked for.';
COMMENT ON COLUMN build.refunds__b1.finished_at IS 'When it was done, or refused for good.';
COMMENT ON COLUMN build.refunds__b1.generated IS 'Whether a generator of sample data made it up.';
COMMENT ON COLUMN build.refunds__b1.position IS 'The position that this row holds.';
DROP VIEW IF EXISTS read.refunds;
CREATE VIEW read.refunds AS SELECT * FROM build.refunds__b1;

-- wallets, version 1, from: wallet.topped_up wallet.held wallet.released wallet.captured wallet.credited wallet.refund_requested wallet.refund_part_succeeded wallet.refund_part_failed
CREATE TABLE build.wallets__b1 (
    user_id uuid NOT NULL,
    operator_id uuid NOT NULL,
    balance_yuan numeric(18,2) NOT NULL,
    held_yuan numeric(18,2) NOT NULL,
    available_yuan numeric(18,2) NOT NULL,
    updated_at timestamptz NOT NULL,
    revision bigint NOT NULL,
    position bigint NOT NULL,
    CONSTRAINT wallets__b1_key PRIMARY KEY (user_id)
) WITH (fillfactor = 85);
CREATE INDEX wallets__b1_operator_id_updated_at ON build.wallets__b1 (operator_id, updated_at, user_id);
COMMENT ON TABLE build.wallets__b1 IS 'A wallet (钱包).';
COMMENT ON COLUMN build.wallets__b1.user_id IS 'Whose.';
COMMENT ON COLUMN build.wallets__b1.operator_id IS 'Whose books: the tenant.';
COMMENT ON COLUMN build.wallets__b1.balance_yuan IS 'What is in it.';
COMMENT ON COLUMN build.wallets__b1.held_yuan IS 'The part that is set aside.';
COMMENT ON COLUMN build.wallets__b1.available_yuan IS 'The part that is free.';
COMMENT ON COLUMN build.wallets__b1.updated_at IS 'When it last changed.';
COMMENT ON COLUMN build.wallets__b1.revision IS 'The revision of its stream that this row holds.';
COMMENT ON COLUMN build.wallets__b1.position IS 'The position that this row holds.';
DROP VIEW IF EXISTS read.wallets;
CREATE VIEW read.wallets AS SELECT * FROM build.wallets__b1;

-- wallet_statement, version 1, from: wallet.topped_up wallet.held wallet.released wallet.captured wallet.credited wallet.refund_requested wallet.refund_part_succeeded wallet.refund_part_failed
CREATE TABLE build.wallet_statement__b1 (
    position bigint NOT NULL,
    operator_id uuid NOT NULL,
    user_id uuid NOT NULL,
    kind text NOT NULL,
    amount_yuan numeric(18,2) NOT NULL,
    change_yuan numeric(18,2) NOT NULL,
    balance_yuan numeric(18,2) NOT NULL,
    held_yuan numeric(18,2) NOT NULL,
    session_id uuid,
    payment_id uuid,
    refund_id uuid,
    occurred_at timestamptz NOT NULL,
    CONSTRAINT wallet_statement__b1_key PRIMARY KEY (position)
) WITH (fillfactor = 85);
CREATE INDEX wallet_statement__b1_operator_id_user_id ON build.wallet_statement__b1 (operator_id, user_id, position);
COMMENT ON TABLE build.wallet_statement__b1 IS 'A movement of a wallet (钱包流水).';
COMMENT ON COLUMN build.wallet_statement__b1.position IS 'The position of its event.';
COMMENT ON COLUMN build.wallet_statement__b1.operator_id IS 'Whose books: the tenant.';
COMMENT ON COLUMN build.wallet_statement__b1.user_id IS 'Whose wallet.';
COMMENT ON COLUMN build.wallet_statement__b1.kind IS 'What happened: `topped_up`, `held`, `released`, `captured`, `credited`, `refund_requested`, `refund_part_succeeded`, `refund_part_failed`.';
COMMENT ON COLUMN build.wallet_statement__b1.amount_yuan IS 'How much the event speaks of.';
COMMENT ON COLUMN build.wallet_statement__b1.change_yuan IS 'What it changes the balance by.';
COMMENT ON COLUMN build.wallet_statement__b1.balance_yuan IS 'The balance after it.';
COMMENT ON COLUMN build.wallet_statement__b1.held_yuan IS 'The held sum after it.';
COMMENT ON COLUMN build.wallet_statement__b1.session_id IS 'For which session.';
COMMENT ON COLUMN build.wallet_statement__b1.payment_id IS 'By which payment.';
COMMENT ON COLUMN build.wallet_statement__b1.refund_id IS 'By which refund.';
COMMENT ON COLUMN build.wallet_statement__b1.occurred_at IS 'When.';
DROP VIEW IF EXISTS read.wallet_statement;
CREATE VIEW read.wallet_statement AS SELECT * FROM build.wallet_statement__b1;

-- receivables, version 2, from: session.settled session.receivable_paid
CREATE TABLE build.receivables__b1 (
    session_id uuid NOT NULL,
    operator_id uuid NOT NULL,
    user_id uuid,
    station_id uuid NOT NULL,
    mode text,
    due_yuan numeric(18,2) NOT NULL,
    open_yuan numeric(18,2) NOT NULL,
    since_at timestamptz NOT NULL,
    paid_at timestamptz,
    position bigint NOT NULL,
    CONSTRAINT receivables__b1_key PRIMARY KEY (session_id)
) WITH (fillfactor = 85);
CREATE INDEX receivables__b1_operator_id_since_at ON build.receivables__b1 (operator_id, since_at, session_id);
CREATE INDEX receivables__b1_operator_id_user_id_since_at ON build.receivables__b1 (operator_id, user_id, since_at, session_id);
COMMENT ON TABLE build.receivables__b1 IS 'What is owed, or was, for a session that its prepayment or wallet did not cover (应收账款).';
COMMENT ON COLUMN build.receivables__b1.session_id IS 'For which session.';
COMMENT ON COLUMN build.receivables__b1.operator_id IS 'Whose: the tenant.';
COMMENT ON COLUMN build.receivables__b1.user_id IS 'Who owes it; none for a session that only a device knows of.';
COMMENT ON COLUMN build.receivables__b1.station_id IS 'At which station.';
COMMENT ON COLUMN build.receivables__b1.mode IS 'How the session was to be paid: `prepaid`, `wallet` or `postpaid`.';
COMMENT ON COLUMN build.receivables__b1.due_yuan IS 'What the bill comes to.';
COMMENT ON COLUMN build.receivables__b1.open_yuan IS 'What is still to be paid; nothing once it is paid, or the bill came down.';
COMMENT ON COLUMN build.receivables__b1.since_at IS 'Since when.';
COMMENT ON COLUMN build.receivables__b1.paid_at IS 'When a part of it was last paid.';
COMMENT ON COLUMN build.receivables__b1.position IS 'The position that this row holds.';
DROP VIEW IF EXISTS read.receivables;
CREATE VIEW read.receivables AS SELECT * FROM build.receivables__b1;

-- journal, version 1, from: payment.succeeded payment.received_late payment.receipt_accepted payment.receipt_applied payment.refund_succeeded session.billed session.bill_corrected session.settled wallet.captured wallet.credited
CREATE TABLE build.journal__b1 (
    position bigint NOT NULL,
    line bigint NOT NULL,
    operator_id uuid NOT NULL,
    kind text NOT NULL,
    account text NOT NULL,
    detail text NOT NULL,
    debit_yuan numeric(18,2) NOT NULL,
    credit_yuan numeric(18,2) NOT NULL,
    business_on date NOT NULL,
    occurred_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL,
    event_id uuid NOT NULL,
    session_id uuid,
    payment_id uuid,
    user_id uuid,
    rules_version bigint NOT NULL,
    CONSTRAINT journal__b1_key PRIMARY KEY (position, line)
) WITH (fillfactor = 85);
CREATE INDEX journal__b1_operator_id_account ON build.journal__b1 (operator_id, account, position, line);
CREATE INDEX journal__b1_operator_id_account_detail_business_on ON build.journal__b1 (operator_id, account, detail, business_on, position, line);
CREATE INDEX journal__b1_operator_id_session_id ON build.journal__b1 (operator_id, session_id, position, line);
CREATE INDEX journal__b1_operator_id_payment_id ON build.journal__b1 (operator_id, payment_id, position, line);
CREATE INDEX journal__b1_operator_id_business_on ON build.journal__b1 (operator_id, business_on, position, line);
COMMENT ON TABLE build.journal__b1 IS 'A posting (分录): one line of a journal entry.';
COMMENT ON COLUMN build.journal__b1.position IS 'The position of the event that was posted: the entry''s number.';
COMMENT ON COLUMN build.journal__b1.line IS 'The line of the entry, from 1.';
COMMENT ON COLUMN build.journal__b1.operator_id IS 'Whose books: the tenant.';
COMMENT ON COLUMN build.journal__b1.kind IS 'What the entry is about.';
COMMENT ON COLUMN build.journal__b1.account IS 'The account''s number in the chart.';
COMMENT ON COLUMN build.journal__b1.detail IS 'What the account is kept by: a channel, a user, a kind of fee; empty when it stands alone.';
COMMENT ON COLUMN build.journal__b1.debit_yuan IS 'What stands in the debit column.';
COMMENT ON COLUMN build.journal__b1.credit_yuan IS 'What stands in the credit column.';
COMMENT ON COLUMN build.journal__b1.business_on IS 'Under which date it stands in the books, in the books'' zone.';
COMMENT ON COLUMN build.journal__b1.occurred_at IS 'When the world did it.';
COMMENT ON COLUMN build.journal__b1.recorded_at IS 'When we recorded it.';
COMMENT ON COLUMN build.journal__b1.event_id IS 'The event that was posted.';
COMMENT ON COLUMN build.journal__b1.session_id IS 'For which session.';
COMMENT ON COLUMN build.journal__b1.payment_id IS 'By which payment.';
COMMENT ON COLUMN build.journal__b1.user_id IS 'Whose money.';
COMMENT ON COLUMN build.journal__b1.rules_version IS 'The version of the posting rules.';
DROP VIEW IF EXISTS read.journal;
CREATE VIEW read.journal AS SELECT * FROM build.journal__b1;

-- balances, version 1, from: payment.succeeded payment.received_late payment.receipt_accepted payment.receipt_applied payment.refund_succeeded session.billed session.bill_corrected session.settled wallet.captured wallet.credited
CREATE TABLE build.balances__b1 (
    operator_id uuid NOT NULL,
    account text NOT NULL,
    detail text NOT NULL,
    business_on date NOT NULL,
    debit_yuan numeric(18,2) NOT NULL,
    credit_yuan numeric(18,2) NOT NULL,
    posting_count bigint NOT NULL,
    position bigint NOT NULL,
    CONSTRAINT balances__b1_key PRIMARY KEY (operator_id, account, detail, business_on)
) WITH (fillfactor = 85);
COMMENT ON TABLE build.balances__b1 IS 'What was posted to an account on a business date.';
COMMENT ON COLUMN build.balances__b1.operator_id IS 'Whose books: the tenant.';
COMMENT ON COLUMN build.balances__b1.account IS 'The account''s number in the chart.';
COMMENT ON COLUMN build.balances__b1.detail IS 'What the account is kept by, but for customers: a channel, a kind of fee.';
COMMENT ON COLUMN build.balances__b1.business_on IS 'The date in the books.';
COMMENT ON COLUMN build.balances__b1.debit_yuan IS 'Sum of the debits.';
COMMENT ON COLUMN build.balances__b1.credit_yuan IS 'Sum of the credits.';
COMMENT ON COLUMN build.balances__b1.posting_count IS 'How many postings.';
COMMENT ON COLUMN build.balances__b1.position IS 'The position that this row holds.';
DROP VIEW IF EXISTS read.balances;
CREATE VIEW read.balances AS SELECT * FROM build.balances__b1;

-- accounts, version 1, from: payment.succeeded payment.received_late payment.receipt_accepted payment.receipt_applied payment.refund_succeeded session.billed session.bill_corrected session.settled wallet.captured wallet.credited
CREATE TABLE build.accounts__b1 (
    operator_id uuid NOT NULL,
    account text NOT NULL,
    detail text NOT NULL,
    name text NOT NULL,
    debit_yuan numeric(18,2) NOT NULL,
    credit_yuan numeric(18,2) NOT NULL,
    balance_yuan numeric(18,2) NOT NULL,
    posting_count bigint NOT NULL,
    posted_at timestamptz NOT NULL,
    position bigint NOT NULL,
    CONSTRAINT accounts__b1_key PRIMARY KEY (operator_id, account, detail)
) WITH (fillfactor = 85);
COMMENT ON TABLE build.accounts__b1 IS 'An account (科目) with its detail.';
COMMENT ON COLUMN build.accounts__b1.operator_id IS 'Whose books: the tenant.';
COMMENT ON COLUMN build.accounts__b1.account IS 'The account''s number in the chart.';
COMMENT ON COLUMN build.accounts__b1.detail IS 'What it is kept by: a channel, a user, a kind of fee; empty when it stands alone.';
COMMENT ON COLUMN build.accounts__b1.name IS 'What it holds, for people.';
COMMENT ON COLUMN build.accounts__b1.debit_yuan IS 'Sum of the debits.';
COMMENT ON COLUMN build.accounts__b1.credit_yuan IS 'Sum of the credits.';
COMMENT ON COLUMN build.accounts__b1.balance_yuan IS 'Debits less credits.';
COMMENT ON COLUMN build.accounts__b1.posting_count IS 'How many postings.';
COMMENT ON COLUMN build.accounts__b1.posted_at IS 'When it was last posted to.';
COMMENT ON COLUMN build.accounts__b1.position IS 'The position that this row holds.';
DROP VIEW IF EXISTS read.accounts;
CREATE VIEW read.accounts AS SELECT * FROM build.accounts__b1;

-- daily_statistics, version 2, from: session.billed session.bill_corrected
CREATE TABLE build.daily_statistics__b1 (
    operator_id uuid NOT NULL,
    station_id uuid NOT NULL,
    local_on date NOT NULL,
    session_count bigint NOT NULL,
    energy_kwh numeric(14,4) NOT NULL,
    energy_fee_yuan numeric(18,2) NOT NULL,
    service_fee_yuan numeric(18,2) NOT NULL,
    idle_fee_yuan numeric(18,2) NOT NULL,
    tax_yuan numeric(18,2) NOT NULL,
    total_yuan numeric(18,2) NOT NULL,
    occupied_s bigint NOT NULL,
    position bigint NOT NULL,
    CONSTRAINT daily_statistics__b1_key PRIMARY KEY (operator_id, station_id, local_on)
) WITH (fillfactor = 85);
CREATE INDEX daily_statistics__b1_operator_id_local_on ON build.daily_statistics__b1 (operator_id, local_on, station_id);
COMMENT ON TABLE build.daily_statistics__b1 IS 'A station''s day.';
COMMENT ON COLUMN build.daily_statistics__b1.operator_id IS 'Whose: the tenant.';
COMMENT ON COLUMN build.daily_statistics__b1.station_id IS 'At which station.';
COMMENT ON COLUMN build.daily_statistics__b1.local_on IS 'On which day, on the station''s calendar.';
COMMENT ON COLUMN build.daily_statistics__b1.session_count IS 'How many sessions were billed.';
COMMENT ON COLUMN build.daily_statistics__b1.energy_kwh IS 'The energy that they delivered.';
COMMENT ON COLUMN build.daily_statistics__b1.energy_fee_yuan IS 'Energy fees (电费), tax included.';
COMMENT ON COLUMN build.daily_statistics__b1.service_fee_yuan IS 'Service fees (服务费), tax included.';
COMMENT ON COLUMN build.daily_statistics__b1.idle_fee_yuan IS 'Idle fees (占位费), tax included.';
COMMENT ON COLUMN build.daily_statistics__b1.tax_yuan IS 'The tax in all of them.';
COMMENT ON COLUMN build.daily_statistics__b1.total_yuan IS 'All fees, tax included.';
COMMENT ON COLUMN build.daily_statistics__b1.occupied_s IS 'For how long vehicles had the connectors.';
COMMENT ON COLUMN build.daily_statistics__b1.position IS 'The position that this row holds.';
DROP VIEW IF EXISTS read.daily_statistics;
CREATE VIEW read.daily_statistics AS SELECT * FROM build.daily_statistics__b1;

-- audit_trail, version 1, from: connector.came_online connector.fault_cleared connector.faulted connector.occupied connector.registered connector.released connector.retired connector.went_offline journal.rules_adopted key.created key.revoked operator.booking_changed operator.changed operator.closed operator.registered payment.closed payment.disputed payment.disputes_closed payment.failed payment.initiated payment.prepared payment.receipt_accepted payment.receipt_applied payment.received_late payment.refund_disputed payment.refund_failed payment.refund_requested payment.refund_succeeded payment.succeeded pile.changed pile.registered pile.retired projection.event_quarantined projection.swap_approved session.abandoned session.authorised session.bill_corrected session.billed session.closed_by_operator session.discovered session.faulted session.meter_disputed session.meter_read session.receivable_paid session.record_accepted session.record_disputed session.refused session.requested session.settled session.start_timed_out session.started session.starting session.stop_requested session.stopped session.tariff_assigned session.unplugged station.changed station.ownership_changed station.registered station.retired station.tariff_assigned tariff.version_published tariff.withdrawn user.changed user.closed user.erased user.registered wallet.captured wallet.credited wallet.held wallet.refund_part_failed wallet.refund_part_succeeded wallet.refund_requested wallet.released wallet.topped_up
CREATE TABLE build.audit_trail__b1 (
    position bigint NOT NULL,
    operator_id uuid NOT NULL,
    event_type text NOT NULL,
    stream text NOT NULL,
    revision bigint NOT NULL,
    event_id uuid NOT NULL,
    command_id uuid NOT NULL,
    causation_id uuid,
    correlation_id uuid NOT NULL,
    actor_kind text NOT NULL,
    actor text NOT NULL,
    occurred_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL,
    CONSTRAINT audit_trail__b1_key PRIMARY KEY (position)
) WITH (fillfactor = 85);
CREATE INDEX audit_trail__b1_operator_id ON build.audit_trail__b1 (operator_id, position);
CREATE INDEX audit_trail__b1_operator_id_stream ON build.audit_trail__b1 (operator_id, stream, position);
CREATE INDEX audit_trail__b1_operator_id_correlation_id ON build.audit_trail__b1 (operator_id, correlation_id, position);
COMMENT ON TABLE build.audit_trail__b1 IS 'One event, without what it says.';
COMMENT ON COLUMN build.audit_trail__b1.position IS 'Its place in the log.';
COMMENT ON COLUMN build.audit_trail__b1.operator_id IS 'Whose: the tenant.';
COMMENT ON COLUMN build.audit_trail__b1.event_type IS 'Its stored name.';
COMMENT ON COLUMN build.audit_trail__b1.stream IS 'Its stream.';
COMMENT ON COLUMN build.audit_trail__b1.revision IS 'Its place in the stream.';
COMMENT ON COLUMN build.audit_trail__b1.event_id IS 'Which.';
COMMENT ON COLUMN build.audit_trail__b1.command_id IS 'The command that became it.';
COMMENT ON COLUMN build.audit_trail__b1.causation_id IS 'The event that caused the command.';
COMMENT ON COLUMN build.audit_trail__b1.correlation_id IS 'One id for all that belongs to one story.';
COMMENT ON COLUMN build.audit_trail__b1.actor_kind IS 'What kind of party did it: `user`, `partner`, `device`, `system` or `staff`.';
COMMENT ON COLUMN build.audit_trail__b1.actor IS 'Who did it.';
COMMENT ON COLUMN build.audit_trail__b1.occurred_at IS 'When the world did it.';
COMMENT ON COLUMN build.audit_trail__b1.recorded_at IS 'When we recorded it.';
DROP VIEW IF EXISTS read.audit_trail;
CREATE VIEW read.audit_trail AS SELECT * FROM build.audit_trail__b1;

-- notices, version 1, from: connector.faulted payment.refund_succeeded session.record_disputed session.settled
CREATE TABLE build.notices__b1 (
    position bigint NOT NULL,
    operator_id uuid NOT NULL,
    notice_id uuid NOT NULL,
    kind text NOT NULL,
    body jsonb NOT NULL,
    occurred_at timestamptz NOT NULL,
    CONSTRAINT notices__b1_key PRIMARY KEY (position)
) WITH (fillfactor = 85);
CREATE INDEX notices__b1_operator_id_kind ON build.notices__b1 (operator_id, kind, position);
COMMENT ON TABLE build.notices__b1 IS 'One notice.';
COMMENT ON COLUMN build.notices__b1.position IS 'Where the event stands that it comes from.';
COMMENT ON COLUMN build.notices__b1.operator_id IS 'Whose: the tenant.';
COMMENT ON COLUMN build.notices__b1.notice_id IS 'By this a receiver knows a repetition: the event''s id.';
COMMENT ON COLUMN build.notices__b1.kind IS 'What it is about.';
COMMENT ON COLUMN build.notices__b1.body IS 'What it says.';
COMMENT ON COLUMN build.notices__b1.occurred_at IS 'When it happened.';
DROP VIEW IF EXISTS read.notices;
CREATE VIEW read.notices AS SELECT * FROM build.notices__b1;
