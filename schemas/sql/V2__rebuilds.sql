-- Rebuilds: builds that are filled in parts beside the one that serves, and what everybody can see of them.

ALTER TABLE build.registry
    ADD COLUMN projection text,
    ADD COLUMN pinned     boolean NOT NULL DEFAULT false,
    DROP CONSTRAINT registry_state_is_known,
    ADD CONSTRAINT registry_state_is_known CHECK (state IN ('filling', 'serving', 'retired', 'as_of'));

COMMENT ON COLUMN build.registry.projection IS 'The projection whose fold fills it, where its name is another: a view of the past.';
COMMENT ON COLUMN build.registry.pinned IS 'Somebody went back to this build: nothing takes its place by itself.';

CREATE TABLE build.filled (
    name   text   NOT NULL,
    number bigint NOT NULL,
    first  bigint NOT NULL,
    beyond bigint NOT NULL,
    rows   bigint NOT NULL,
    CONSTRAINT filled_key PRIMARY KEY (name, number, first),
    CONSTRAINT filled_build FOREIGN KEY (name, number) REFERENCES build.registry (name, number) ON DELETE CASCADE,
    CONSTRAINT filled_is_a_range CHECK (first < beyond AND rows >= 0)
);

COMMENT ON TABLE build.filled IS 'Parts of a build that are filled: written in the transaction that writes their rows, so that an interrupted rebuild goes on with the others.';
COMMENT ON COLUMN build.filled.first IS 'Of a projection with keys, the first place of the part; of a journal, its first position.';
COMMENT ON COLUMN build.filled.beyond IS 'The first one that is no longer in it.';

CREATE TABLE build.rebuild (
    name       text        NOT NULL,
    number     bigint      NOT NULL,
    phase      text        NOT NULL,
    wanted     text        NOT NULL DEFAULT 'run',
    job        jsonb       NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT rebuild_key PRIMARY KEY (name, number),
    CONSTRAINT rebuild_wanted_is_known CHECK (wanted IN ('run', 'pause', 'cancel'))
) WITH (fillfactor = 50);

COMMENT ON TABLE build.rebuild IS 'Every rebuild that there is or was: how far it is, what was counted and what differed.';
COMMENT ON COLUMN build.rebuild.wanted IS 'What people want of it: to go on, to pause, to end.';
