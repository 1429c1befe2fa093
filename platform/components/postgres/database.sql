-- The application's database; run in it, any number of times.
ALTER DATABASE infraforge OWNER TO app_owner;
REVOKE ALL ON DATABASE infraforge FROM PUBLIC;
GRANT CONNECT ON DATABASE infraforge TO vault, app_worker;

ALTER SCHEMA public OWNER TO app_owner;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO app_worker;

CREATE EXTENSION IF NOT EXISTS pg_stat_statements SCHEMA public;
REVOKE ALL ON pg_stat_statements, pg_stat_statements_info FROM PUBLIC;
