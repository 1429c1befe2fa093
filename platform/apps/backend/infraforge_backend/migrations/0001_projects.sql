-- Projects, their files, who did what, and the one number that ends the life of cached values.
CREATE TABLE projects (
    id          uuid PRIMARY KEY,
    name        text NOT NULL,
    description text NOT NULL,
    version     integer NOT NULL DEFAULT 1,
    created_by  text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX projects_latest_first ON projects (created_at DESC, id DESC);

CREATE TABLE files (
    project_id  uuid NOT NULL REFERENCES projects ON DELETE CASCADE,
    name        text COLLATE "C" NOT NULL,
    object_key  text NOT NULL UNIQUE,
    size        bigint NOT NULL CHECK (size >= 0),
    sha256      text NOT NULL,
    created_by  text NOT NULL,
    updated_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (project_id, name)
);

-- Every object in the store that no row of `files` names is named here, from before it exists
-- until after it is gone: nothing is ever orphaned, whoever dies when.
CREATE TABLE discarded_objects (
    object_key   text PRIMARY KEY,
    delete_after timestamptz NOT NULL
);
CREATE INDEX discarded_objects_due ON discarded_objects (delete_after);

CREATE TABLE audit (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at         timestamptz NOT NULL DEFAULT now(),
    actor      text NOT NULL,
    role       text NOT NULL,
    action     text NOT NULL,
    target     text NOT NULL,
    outcome    text NOT NULL,
    request_id text NOT NULL
);

CREATE TABLE cache_epoch (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    epoch    bigint NOT NULL
);
INSERT INTO cache_epoch (epoch) VALUES (1);
