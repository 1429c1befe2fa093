-- The application's database; run in it, any number of times.
-- Nothing that the application made is called here by a name that it could have made, too.
SET search_path = pg_catalog;

-- Its logins act as app_owner, which makes and owns what is theirs. Neither the database nor the
-- schema is: who owns a schema may drop whatever is in it, the audit trail as well.
ALTER DATABASE infraforge OWNER TO CURRENT_USER;
REVOKE ALL ON DATABASE infraforge FROM PUBLIC;
GRANT CONNECT ON DATABASE infraforge TO vault, app_owner, app_worker;

ALTER SCHEMA public OWNER TO CURRENT_USER;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE, CREATE ON SCHEMA public TO app_owner;
GRANT USAGE ON SCHEMA public TO app_worker, audit_owner;

CREATE EXTENSION IF NOT EXISTS pg_stat_statements SCHEMA public;
REVOKE ALL ON public.pg_stat_statements, public.pg_stat_statements_info FROM PUBLIC;

-- Who did what: written and read by the application, changed and removed by nobody but prune_audit.
-- Called by the application's migrations once the table is there, and here for one that is.
CREATE OR REPLACE FUNCTION public.keep_audit_apart() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF to_regclass('public.audit') IS NULL THEN
    RETURN;
  END IF;
  -- how many like it a row stands for; and no row is larger than a page of text
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
  -- its number and its time are not the writer's to choose
  GRANT SELECT, INSERT (actor, role, action, target, outcome, request_id, count)
    ON public.audit TO app_owner;
END $$;
REVOKE ALL ON FUNCTION public.keep_audit_apart() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.keep_audit_apart() TO app_owner;
SELECT public.keep_audit_apart();

-- Removes up to 5,000 of the oldest rows that need not be kept; how many. Denials and all else are
-- counted apart: nobody drives changes out of the trail by being denied. Numbers and times grow
-- together, so the oldest of each kind are all that has to be looked at, however many there are.
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
