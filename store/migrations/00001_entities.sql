-- One text for SQLite and PostgreSQL. Times are microseconds since 1970, 0 for
-- none. What is searched or ordered by is bytes: both databases compare those
-- alike, whatever their locale.

-- +goose Up

-- Counters per kind. The serial of core#entity numbers all entities, that of
-- core#task the tasks.
CREATE TABLE kinds (
    kind     TEXT   PRIMARY KEY,
    serial   BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    members  BIGINT NOT NULL,
    updated  BIGINT NOT NULL
);

CREATE TABLE entities (
    seq      BIGINT  PRIMARY KEY,
    id       UUID    NOT NULL UNIQUE,
    kind     TEXT    NOT NULL,
    serial   BIGINT  NOT NULL,
    revision BIGINT  NOT NULL,
    created  BIGINT  NOT NULL,
    updated  BIGINT  NOT NULL,
    deleted  BOOLEAN NOT NULL,
    host     BYTEA   NOT NULL,
    source   UUID,
    target   UUID,
    words    BYTEA   NOT NULL,
    doc      BYTEA   NOT NULL
);

CREATE INDEX entities_kind ON entities (kind, seq) WHERE NOT deleted;
CREATE INDEX entities_live ON entities (seq) WHERE NOT deleted;
CREATE INDEX entities_source ON entities (source) WHERE source IS NOT NULL;
CREATE INDEX entities_target ON entities (target) WHERE target IS NOT NULL;
CREATE INDEX entities_host ON entities (host, seq);

-- What filters and sorting look up: attributes, core attributes and mixins of
-- entities that are not deleted.
CREATE TABLE attributes (
    entity BIGINT NOT NULL,
    name   BYTEA  NOT NULL,
    key    BYTEA  NOT NULL,
    PRIMARY KEY (entity, name)
);

CREATE INDEX attributes_key ON attributes (name, key, entity);

CREATE TABLE tasks (
    seq        BIGINT  PRIMARY KEY,
    id         UUID    NOT NULL UNIQUE,
    entity     UUID    NOT NULL,
    lane       UUID    NOT NULL,
    host       BYTEA   NOT NULL,
    state      TEXT    NOT NULL,
    finished   BIGINT  NOT NULL,
    over       BOOLEAN NOT NULL,
    progress   BIGINT  NOT NULL,
    attempts   BIGINT  NOT NULL,
    started    BIGINT  NOT NULL,
    not_before BIGINT  NOT NULL,
    worker     BYTEA   NOT NULL,
    lease      BIGINT  NOT NULL,
    until      BIGINT  NOT NULL,
    doc        BYTEA   NOT NULL
);

CREATE INDEX tasks_entity ON tasks (entity, seq);
CREATE INDEX tasks_open ON tasks (host, seq) WHERE NOT over;
CREATE INDEX tasks_lane ON tasks (lane, seq) WHERE NOT over;

CREATE TABLE task_after (
    task  BIGINT NOT NULL,
    after UUID   NOT NULL,
    PRIMARY KEY (task, after)
);

CREATE TABLE keys (
    id  TEXT  PRIMARY KEY,
    doc BYTEA NOT NULL
);

-- +goose Down
DROP TABLE keys;
DROP TABLE task_after;
DROP TABLE tasks;
DROP TABLE attributes;
DROP TABLE entities;
DROP TABLE kinds;
