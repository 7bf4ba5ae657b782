-- The registry of builds. The builds' own tables are made from the projections' row types (schemas/sql/read_models.sql shows them), and
-- each view in schema "read" shows the table of the build that serves. Everything here can be deleted: it comes back from the log.

CREATE SCHEMA IF NOT EXISTS read;
CREATE SCHEMA IF NOT EXISTS build;

CREATE TABLE build.registry (
    name        text        NOT NULL,
    number      bigint      NOT NULL,
    version     bigint      NOT NULL,
    shape       text        NOT NULL,
    state       text        NOT NULL,
    position    bigint      NOT NULL DEFAULT 0,
    last_event  uuid,
    applied     bigint      NOT NULL DEFAULT 0,
    ignored     bigint      NOT NULL DEFAULT 0,
    quarantined bigint      NOT NULL DEFAULT 0,
    halt        jsonb,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT registry_key PRIMARY KEY (name, number),
    CONSTRAINT registry_state_is_known CHECK (state IN ('filling', 'serving', 'retired')),
    CONSTRAINT registry_counts_are_not_negative CHECK (position >= 0 AND applied >= 0 AND ignored >= 0 AND quarantined >= 0)
) WITH (fillfactor = 50);

-- A view shows one build.
CREATE UNIQUE INDEX registry_one_serves ON build.registry (name) WHERE state = 'serving';

COMMENT ON TABLE  build.registry IS 'One build of a projection: its table is build.<name>__b<number>.';
COMMENT ON COLUMN build.registry.position IS 'The rows hold exactly the events up to here. Moves by compare-and-set, in the transaction that writes the rows.';
COMMENT ON COLUMN build.registry.last_event IS 'The last event up to there: another one in that place means another ledger.';
COMMENT ON COLUMN build.registry.halt IS 'The event that the projection cannot apply, quoted, and why.';
