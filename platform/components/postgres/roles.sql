-- Roles; run in database postgres, any number of times.
DO $$
BEGIN
  -- owns the application's tables and cannot log in: logins come and go, their tables stay
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'app_owner') THEN
    CREATE ROLE app_owner NOLOGIN;
  END IF;
  -- owns the audit trail; nobody acts as this role, and Vault makes nobody a member of it
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'audit_owner') THEN
    CREATE ROLE audit_owner NOLOGIN;
  END IF;
  -- has the rights of workers' logins; the tables grant them
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'app_worker') THEN
    CREATE ROLE app_worker NOLOGIN;
  END IF;
  -- Vault's login. It has no password, so nobody can log in as it, until Vault gets one.
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'vault') THEN
    CREATE ROLE vault LOGIN;
  END IF;
END $$;

ALTER ROLE app_owner NOLOGIN NOSUPERUSER NOCREATEROLE NOCREATEDB NOREPLICATION NOBYPASSRLS;
ALTER ROLE audit_owner NOLOGIN NOSUPERUSER NOCREATEROLE NOCREATEDB NOREPLICATION NOBYPASSRLS;
ALTER ROLE app_worker NOLOGIN NOSUPERUSER NOCREATEROLE NOCREATEDB NOREPLICATION NOBYPASSRLS;
ALTER ROLE vault LOGIN CREATEROLE NOSUPERUSER NOCREATEDB NOREPLICATION NOBYPASSRLS CONNECTION LIMIT 20;

-- Vault may make others members of app_owner, but may neither act as it nor read what it owns.
GRANT app_owner TO vault WITH ADMIN TRUE, INHERIT FALSE, SET FALSE;
GRANT app_worker TO vault WITH ADMIN TRUE, INHERIT FALSE, SET FALSE;
-- Vault also ends the sessions of a login that it revokes.
GRANT pg_signal_backend TO vault;

REVOKE ALL ON DATABASE postgres, template1 FROM PUBLIC;
DO $$
BEGIN
  -- Patroni creates this role with the cluster
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'rewinder') THEN
    GRANT CONNECT ON DATABASE postgres TO rewinder;
  END IF;
END $$;
