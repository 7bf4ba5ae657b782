-- What goes out of a read model. How far belongs to the projection's name, not to a build: a rebuild moves nothing here, a swap only hands over.

CREATE TABLE build.sent (
    name           text        NOT NULL,
    position       bigint      NOT NULL,
    build          bigint      NOT NULL,
    handed_over_at bigint,
    updated_at     timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT sent_key PRIMARY KEY (name),
    CONSTRAINT sent_position_is_not_negative CHECK (position >= 0)
) WITH (fillfactor = 50);

COMMENT ON TABLE  build.sent IS 'How far the rows of a projection have been sent to their receiver. A sender holds the row while it sends, a swap while it swaps.';
COMMENT ON COLUMN build.sent.position IS 'What stands at or before it never goes out again, whatever becomes of the view.';
COMMENT ON COLUMN build.sent.build IS 'The build that it was sent from last, or that has taken over since.';
COMMENT ON COLUMN build.sent.handed_over_at IS 'Where both builds stood at the last swap.';
