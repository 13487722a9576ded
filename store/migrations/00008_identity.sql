-- +goose Up

-- Whose an entity or a task is, in whose lists it is; empty for the provider's.
ALTER TABLE entities ADD COLUMN reach BYTEA NOT NULL DEFAULT '';
ALTER TABLE tasks ADD COLUMN reach BYTEA NOT NULL DEFAULT '';
CREATE INDEX entities_reach ON entities (reach, kind, seq) WHERE NOT deleted AND length(reach) > 0;

-- What the table kinds counts, of what is somebody's.
CREATE TABLE tallies (
    reach    BYTEA  NOT NULL,
    kind     TEXT   NOT NULL,
    revision BIGINT NOT NULL,
    members  BIGINT NOT NULL,
    updated  BIGINT NOT NULL,
    PRIMARY KEY (reach, kind)
);

-- What users and tokens are recognised by.
CREATE TABLE secrets (
    entity UUID  PRIMARY KEY,
    name   BYTEA NOT NULL UNIQUE,
    owner  UUID  NOT NULL,
    hash   BYTEA NOT NULL
);

-- +goose Down
DROP TABLE secrets;
DROP TABLE tallies;
DROP INDEX entities_reach;
ALTER TABLE tasks DROP COLUMN reach;
ALTER TABLE entities DROP COLUMN reach;
