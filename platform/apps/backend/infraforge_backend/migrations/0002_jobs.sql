-- Jobs, their results, and what is still to be told to the message bus.
CREATE TABLE jobs (
    id          uuid PRIMARY KEY,
    project_id  uuid NOT NULL REFERENCES projects ON DELETE CASCADE,
    kind        text NOT NULL,
    file        text,
    state       text NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'done', 'dead')),
    error       text NOT NULL DEFAULT '',
    created_by  text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz
);
CREATE INDEX jobs_latest_first ON jobs (project_id, created_at DESC, id DESC);
CREATE INDEX jobs_queued ON jobs (id) WHERE state = 'queued';

-- One effect a job, whatever is delivered how often: the key says so.
CREATE TABLE job_results (
    job_id uuid PRIMARY KEY REFERENCES jobs ON DELETE CASCADE,
    result jsonb NOT NULL,
    at     timestamptz NOT NULL DEFAULT now()
);

-- Written in the transaction of the change it tells of, deleted once the bus has confirmed it.
CREATE TABLE outbox (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    message_id text NOT NULL UNIQUE,
    subject    text NOT NULL,
    payload    text NOT NULL
);

-- The worker's logins own nothing: they read what jobs are about and write how they ended.
GRANT SELECT (id, name) ON projects TO app_worker;
GRANT SELECT ON files, jobs TO app_worker;
GRANT UPDATE (state, error, finished_at) ON jobs TO app_worker;
GRANT INSERT, SELECT ON job_results TO app_worker;
GRANT INSERT (message_id, subject, payload) ON outbox TO app_worker;
