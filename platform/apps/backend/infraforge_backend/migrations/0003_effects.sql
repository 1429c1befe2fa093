-- A job's row has an identity of its own: its messages bear it, not the name that a client chose.
-- tellings, told_at: how often and when last its workers were told of it.
ALTER TABLE jobs ADD COLUMN row_id uuid NOT NULL UNIQUE DEFAULT gen_random_uuid();
ALTER TABLE jobs ADD COLUMN tellings integer NOT NULL DEFAULT 1;
ALTER TABLE jobs ADD COLUMN told_at timestamptz NOT NULL DEFAULT now();

-- Whose turn it is to carry the outbox, and until when.
CREATE TABLE relay_turn (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    holder   uuid NOT NULL,
    until    timestamptz NOT NULL
);
INSERT INTO relay_turn (holder, until) VALUES (gen_random_uuid(), now());

-- Set before an object is removed from the store: from then on no upload can take it back.
ALTER TABLE discarded_objects ADD COLUMN going boolean NOT NULL DEFAULT false;

-- Names are kept in NFC. Where two become one, the one that was not gets a mark behind its name.
UPDATE jobs SET file = normalize(file, NFC) WHERE file IS NOT NFC NORMALIZED;
UPDATE files f SET name = CASE
    WHEN EXISTS (
      SELECT FROM files o WHERE o.project_id = f.project_id AND o.object_key <> f.object_key
        AND normalize(o.name, NFC) = normalize(f.name, NFC)
    ) THEN left(normalize(f.name, NFC), 40) || ' (' || left(md5(f.name), 8) || ')'
    ELSE normalize(f.name, NFC)
  END
WHERE f.name IS NOT NFC NORMALIZED;
UPDATE cache_epoch SET epoch = epoch + 1;

-- Who did what belongs to a role of its own (components/postgres/database.sql); repeats of a denial
-- are one row with their number.
SELECT keep_audit_apart();
