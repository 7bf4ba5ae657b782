-- The account with which Grafana reads the read models: nothing but the views of schema "read", and no longer than half a minute at a time.
-- Run it in the ledger's database as a superuser, after role "ledger" has been made; running it again changes nothing. It has to be run again after
-- `DROP SCHEMA read CASCADE`. Give the account a password then: ALTER ROLE ledger_reader PASSWORD '…'.
--
-- It sees every operator's figures. Names, numbers and plates are sealed in the views, as everywhere.
--
-- Never make a view of your own on a view of schema "read": a rebuild drops and makes them, and yours would stand in its way.

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'ledger_reader') THEN
        CREATE ROLE ledger_reader LOGIN;
    END IF;
END
$$;

ALTER ROLE ledger_reader SET default_transaction_read_only = on;
ALTER ROLE ledger_reader SET statement_timeout = '30s';
ALTER ROLE ledger_reader SET idle_in_transaction_session_timeout = '30s';
ALTER ROLE ledger_reader SET search_path = read;

DO $$
BEGIN
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO ledger_reader', current_database());
END
$$;

-- The ledger owns its schemas; whoever makes a view is who can show it to others, today and after the next rebuild.
SET ROLE ledger;
CREATE SCHEMA IF NOT EXISTS read;
GRANT USAGE ON SCHEMA read TO ledger_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA read TO ledger_reader;
ALTER DEFAULT PRIVILEGES IN SCHEMA read GRANT SELECT ON TABLES TO ledger_reader;
RESET ROLE;
