#!/usr/bin/env bash
# The first start of PostgreSQL makes the ledger's account and database, and the account that only reads.
set -euo pipefail

psql --set=ON_ERROR_STOP=1 --username=postgres --dbname=postgres --set=ledger="$(</run/secrets/postgres-ledger)" <<'SQL'
CREATE ROLE ledger LOGIN PASSWORD :'ledger';
CREATE DATABASE ledger OWNER ledger;
REVOKE CONNECT ON DATABASE ledger FROM PUBLIC;
SQL
psql --set=ON_ERROR_STOP=1 --username=postgres --dbname=ledger --file=/reader.sql
psql --set=ON_ERROR_STOP=1 --username=postgres --dbname=ledger --set=reader="$(</run/secrets/postgres-reader)" <<'SQL'
ALTER ROLE ledger_reader PASSWORD :'reader';
SQL
