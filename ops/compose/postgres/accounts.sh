#!/usr/bin/env bash
# The first start of PostgreSQL makes the ledger's accounts and databases, and the account that only reads.
set -euo pipefail

psql --set=ON_ERROR_STOP=1 --username=postgres --dbname=postgres --set=ledger="$(</run/secrets/postgres-ledger)" \
    --set=keys="$(</run/secrets/postgres-keys)" <<'SQL'
CREATE ROLE ledger LOGIN PASSWORD :'ledger';
CREATE DATABASE ledger OWNER ledger;
REVOKE CONNECT ON DATABASE ledger FROM PUBLIC;
CREATE ROLE ledger_keys LOGIN PASSWORD :'keys';
CREATE DATABASE keys OWNER ledger_keys;
REVOKE CONNECT ON DATABASE keys FROM PUBLIC;
SQL
psql --set=ON_ERROR_STOP=1 --username=postgres --dbname=ledger --file=/reader.sql
psql --set=ON_ERROR_STOP=1 --username=postgres --dbname=ledger --set=reader="$(</run/secrets/postgres-reader)" <<'SQL'
ALTER ROLE ledger_reader PASSWORD :'reader';
SQL
