-- The keys of personal data, in a database that all processes share. Nothing else has them: back it up, and never drop it.
CREATE SCHEMA IF NOT EXISTS subject_keys;

CREATE TABLE IF NOT EXISTS subject_keys.subjects (
    subject uuid PRIMARY KEY,
    key bytea NOT NULL CHECK (length(key) = 32)
);

-- Who has a phone number, by a keyed hash of it.
CREATE TABLE IF NOT EXISTS subject_keys.lookups (
    lookup text PRIMARY KEY,
    subject uuid NOT NULL
);
CREATE INDEX IF NOT EXISTS lookups_subject ON subject_keys.lookups (subject);

-- The key of those hashes.
CREATE TABLE IF NOT EXISTS subject_keys.lookup_key (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    key bytea NOT NULL CHECK (length(key) = 32)
);
