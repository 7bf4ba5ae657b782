-- The keys of personal data. Unlike the log, this file forgets: destroying a key is what erases a person.
CREATE TABLE subjects (
    subject BLOB NOT NULL CONSTRAINT subjects_one_key PRIMARY KEY,
    key BLOB NOT NULL CONSTRAINT subjects_key_length CHECK (length(key) = 32)
) STRICT, WITHOUT ROWID;

CREATE TABLE lookups (
    lookup TEXT NOT NULL CONSTRAINT lookups_one_subject PRIMARY KEY,
    subject BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX lookups_subject ON lookups (subject);

-- The key of the look-up hashes: one row, made once.
CREATE TABLE lookup_key (
    one INTEGER PRIMARY KEY CONSTRAINT lookup_key_is_one CHECK (one = 1),
    key BLOB NOT NULL CONSTRAINT lookup_key_length CHECK (length(key) = 32)
) STRICT;
