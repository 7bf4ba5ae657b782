-- Snapshots of streams that grow for years. Nothing here is the truth: the file may be deleted whenever nobody has it open.
CREATE TABLE snapshots (
    stream TEXT NOT NULL CONSTRAINT snapshots_one_a_stream PRIMARY KEY,
    bytes BLOB NOT NULL
) STRICT, WITHOUT ROWID;
