-- The log. Rows are only ever added; the hash chain in `meta` shows when one was changed behind our back.
CREATE TABLE streams (
    no INTEGER PRIMARY KEY,
    name TEXT NOT NULL CONSTRAINT streams_name UNIQUE
) STRICT;

CREATE TABLE types (
    no INTEGER PRIMARY KEY,
    name TEXT NOT NULL CONSTRAINT types_name UNIQUE
) STRICT;

-- `pos` is dense from 1, `rev` is dense from 0 in its stream. `occurred` and `recorded` are microseconds since 1970, UTC.
-- `meta`: layout (1 byte, 1), kind of actor (1 byte), prev_hash (32), hash (32), command, correlation and operator id (16 each),
-- whether a causation id follows (1 byte), that id (16), the actor's id in UTF-8. `data`: MessagePack with named fields.
CREATE TABLE events (
    pos INTEGER PRIMARY KEY,
    stream INTEGER NOT NULL,
    rev INTEGER NOT NULL,
    id BLOB NOT NULL,
    type INTEGER NOT NULL,
    version INTEGER NOT NULL,
    occurred INTEGER NOT NULL,
    recorded INTEGER NOT NULL,
    meta BLOB NOT NULL,
    data BLOB NOT NULL
) STRICT;

CREATE UNIQUE INDEX events_stream ON events (stream, rev);

CREATE TRIGGER events_are_never_changed BEFORE UPDATE ON events BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
CREATE TRIGGER events_are_never_deleted BEFORE DELETE ON events BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
CREATE TRIGGER streams_are_never_changed BEFORE UPDATE ON streams BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
CREATE TRIGGER streams_are_never_deleted BEFORE DELETE ON streams BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
CREATE TRIGGER types_are_never_changed BEFORE UPDATE ON types BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
CREATE TRIGGER types_are_never_deleted BEFORE DELETE ON types BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;

-- For people with any SQLite tool, in any year.
CREATE VIEW readable_events AS
SELECT
    events.pos AS position,
    streams.name AS stream,
    events.rev AS revision,
    types.name AS type,
    events.version AS version,
    strftime('%Y-%m-%dT%H:%M:%S', events.occurred / 1000000, 'unixepoch') || 'Z' AS occurred_at,
    strftime('%Y-%m-%dT%H:%M:%S', events.recorded / 1000000, 'unixepoch') || 'Z' AS recorded_at,
    CASE substr(events.meta, 2, 1)
        WHEN x'00' THEN 'user' WHEN x'01' THEN 'partner' WHEN x'02' THEN 'device' WHEN x'03' THEN 'system' WHEN x'04' THEN 'staff'
    END || ':' || CAST(substr(events.meta, CASE substr(events.meta, 115, 1) WHEN x'01' THEN 132 ELSE 116 END) AS TEXT) AS actor,
    lower(hex(events.id)) AS event_id,
    lower(hex(substr(events.meta, 67, 16))) AS command_id,
    lower(hex(substr(events.meta, 83, 16))) AS correlation_id,
    lower(hex(substr(events.meta, 99, 16))) AS operator_id,
    lower(hex(substr(events.meta, 3, 32))) AS prev_hash,
    lower(hex(substr(events.meta, 35, 32))) AS hash,
    events.data AS payload
FROM events
JOIN streams ON streams.no = events.stream
JOIN types ON types.no = events.type;
