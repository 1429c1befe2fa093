-- Roles; run in database postgres, any number of times.
DO $$
BEGIN
  -- owns the application's tables and cannot log in: logins come and go, what they made stays
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'app_owner') THEN
    CREATE ROLE app_owner NOLOGIN;
  END IF;
  -- owns the audit trail; nobody acts as it, and Vault makes nobody a member of it
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'audit_owner') THEN
    CREATE ROLE audit_owner NOLOGIN;
  END IF;
  -- what workers' logins may do; the tables say what that is
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'app_worker') THEN
    CREATE ROLE app_worker NOLOGIN;
  END IF;
  -- Vault's login. It has no password, and so no way in, until Vault is told one.
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'vault') THEN
    CREATE ROLE vault LOGIN;
  END IF;
END $$;

ALTER ROLE app_owner NOLOGIN NOSUPERUSER NOCREATEROLE NOCREATEDB NOREPLICATION NOBYPASSRLS;
ALTER ROLE audit_owner NOLOGIN NOSUPERUSER NOCREATEROLE NOCREATEDB NOREPLICATION NOBYPASSRLS;
ALTER ROLE app_worker NOLOGIN NOSUPERUSER NOCREATEROLE NOCREATEDB NOREPLICATION NOBYPASSRLS;
ALTER ROLE vault LOGIN CREATEROLE NOSUPERUSER NOCREATEDB NOREPLICATION NOBYPASSRLS CONNECTION LIMIT 20;

-- Vault may make others members of app_owner, and neither act as it nor read what it owns.
GRANT app_owner TO vault WITH ADMIN TRUE, INHERIT FALSE, SET FALSE;
GRANT app_worker TO vault WITH ADMIN TRUE, INHERIT FALSE, SET FALSE;
-- A login that is revoked loses its sessions too.
GRANT pg_signal_backend TO vault;

REVOKE ALL ON DATABASE postgres, template1 FROM PUBLIC;
DO $$
BEGIN
  -- Patroni's, made when the cluster was
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'rewinder') THEN
    GRANT CONNECT ON DATABASE postgres TO rewinder;
  END IF;
END $$;
