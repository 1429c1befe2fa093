-- The application's database; run in it, any number of times.
-- With this search_path no unqualified name resolves to an object of the application.
SET search_path = pg_catalog;

-- Its logins act as app_owner, which creates and owns their tables. It owns neither the database nor
-- the schema, because the owner of a schema may drop anything in it, the audit trail included.
ALTER DATABASE infraforge OWNER TO CURRENT_USER;
REVOKE ALL ON DATABASE infraforge FROM PUBLIC;
GRANT CONNECT ON DATABASE infraforge TO vault, app_owner, app_worker;

ALTER SCHEMA public OWNER TO CURRENT_USER;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE, CREATE ON SCHEMA public TO app_owner;
GRANT USAGE ON SCHEMA public TO app_worker, audit_owner;

CREATE EXTENSION IF NOT EXISTS pg_stat_statements SCHEMA public;
REVOKE ALL ON public.pg_stat_statements, public.pg_stat_statements_info FROM PUBLIC;

-- The audit trail: the application writes and reads it, nobody changes it, and only prune_audit
-- removes rows. The migrations call this once the table exists; this file calls it for an older one.
CREATE OR REPLACE FUNCTION public.keep_audit_apart() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF to_regclass('public.audit') IS NULL THEN
    RETURN;
  END IF;
  -- count: how many equal events a row stands for. No row is larger than a page of text.
  ALTER TABLE public.audit ADD COLUMN IF NOT EXISTS count integer NOT NULL DEFAULT 1;
  ALTER TABLE public.audit DROP CONSTRAINT IF EXISTS audit_is_bounded;
  ALTER TABLE public.audit ADD CONSTRAINT audit_is_bounded CHECK (
    octet_length(actor) + octet_length(role) + octet_length(action) + octet_length(target)
      + octet_length(outcome) + octet_length(request_id) <= 4096 AND count > 0
  ) NOT VALID;
  CREATE INDEX IF NOT EXISTS audit_denials ON public.audit (id) WHERE outcome = 'denied';
  CREATE INDEX IF NOT EXISTS audit_changes ON public.audit (id) WHERE outcome <> 'denied';
  ALTER TABLE public.audit OWNER TO audit_owner;
  GRANT ALL ON public.audit TO audit_owner;
  REVOKE ALL ON public.audit FROM PUBLIC, app_owner, app_worker;
  -- the writer may not choose a row's number or time
  GRANT SELECT, INSERT (actor, role, action, target, outcome, request_id, count)
    ON public.audit TO app_owner;
END $$;
REVOKE ALL ON FUNCTION public.keep_audit_apart() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.keep_audit_apart() TO app_owner;
SELECT public.keep_audit_apart();

-- Removes up to 5,000 of the oldest rows that have expired, and returns how many. It counts denials
-- and all other rows apart, so that nobody can push changes out of the trail with denied requests.
-- Numbers and times grow together, so it reads only the oldest of each kind, however many there are.
CREATE OR REPLACE FUNCTION public.prune_audit() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  removed bigint;
BEGIN
  DELETE FROM public.audit WHERE id IN (
    SELECT id FROM (
      SELECT id, at FROM public.audit WHERE outcome = 'denied' ORDER BY id LIMIT 2500
    ) denials WHERE at < now() - interval '90 days' OR id <= (
      SELECT id FROM public.audit WHERE outcome = 'denied' ORDER BY id DESC OFFSET 100000 LIMIT 1)
    UNION ALL
    SELECT id FROM (
      SELECT id, at FROM public.audit WHERE outcome <> 'denied' ORDER BY id LIMIT 2500
    ) changes WHERE at < now() - interval '400 days' OR id <= (
      SELECT id FROM public.audit WHERE outcome <> 'denied' ORDER BY id DESC OFFSET 1000000 LIMIT 1)
  );
  GET DIAGNOSTICS removed = ROW_COUNT;
  RETURN removed;
END $$;
ALTER FUNCTION public.prune_audit() OWNER TO audit_owner;
REVOKE ALL ON FUNCTION public.prune_audit() FROM PUBLIC, app_owner;
GRANT EXECUTE ON FUNCTION public.prune_audit() TO app_owner;
