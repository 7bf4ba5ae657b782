-- The keys of personal data, in a database that all processes share. Nothing else has them: back it up, and never drop it.
CREATE SCHEMA subject_keys;

CREATE TABLE subject_keys.subjects (
    subject uuid PRIMARY KEY,
    key bytea NOT NULL CHECK (length(key) = 32)
);

-- Who has a phone number, by a keyed hash of it.
CREATE TABLE subject_keys.lookups (
    lookup text PRIMARY KEY,
    subject uuid NOT NULL
);
CREATE INDEX lookups_subject ON subject_keys.lookups (subject);

-- The key of those hashes.
CREATE TABLE subject_keys.lookup_key (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    key bytea NOT NULL CHECK (length(key) = 32)
);
