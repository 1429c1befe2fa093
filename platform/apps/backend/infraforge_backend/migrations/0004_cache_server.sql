-- Which server holds the cache, beside the epoch (naming.py): its run id, or '' for none. `turn`
-- grows with every change of it.
ALTER TABLE cache_epoch ADD COLUMN server text NOT NULL DEFAULT '';
ALTER TABLE cache_epoch ADD COLUMN turn bigint NOT NULL DEFAULT 0;
UPDATE cache_epoch SET epoch = epoch + 1;

-- The name, held until the transaction ends. Volatile: the row is read after the lock is there.
CREATE FUNCTION held_cache_server() RETURNS text LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  PERFORM pg_advisory_xact_lock_shared(2034527);
  RETURN (SELECT server FROM cache_epoch);
END $$;

-- Writers are never held up for longer than this waits.
CREATE FUNCTION forget_cache_server(seen bigint) RETURNS boolean LANGUAGE plpgsql VOLATILE
SET lock_timeout = '300ms' AS $$
BEGIN
  UPDATE cache_epoch SET epoch = epoch + 1, server = '', turn = turn + 1 WHERE turn = seen;
  RETURN FOUND;
END $$;

CREATE FUNCTION name_cache_server(run_id text, seen bigint) RETURNS boolean LANGUAGE plpgsql VOLATILE
SET lock_timeout = '300ms' AS $$
BEGIN
  PERFORM pg_advisory_xact_lock(2034527);
  UPDATE cache_epoch SET server = run_id, turn = turn + 1 WHERE turn = seen AND server = '';
  RETURN FOUND;
END $$;
