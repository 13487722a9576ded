-- +goose Up

-- What was done, by whom. The records of a transaction are in one row, or in a few: seq
-- is the number of the last in it, first that of the first, at when the last one was.
-- hash is of this row and of the hash before. Triggers keep rows from being changed; see
-- store/guard.go.
CREATE TABLE audit (
    seq   BIGINT NOT NULL PRIMARY KEY,
    first BIGINT NOT NULL,
    at    BIGINT NOT NULL,
    doc   BYTEA  NOT NULL,
    hash  BYTEA  NOT NULL
);

-- Up to which row the audit trail may be forgotten, with the hash of that.
CREATE TABLE audit_checkpoints (
    seq  BIGINT NOT NULL PRIMARY KEY,
    at   BIGINT NOT NULL,
    hash BYTEA  NOT NULL
);

-- What an entity used, and from when to when: ended is 0 as long as it does. entity is its
-- number.
CREATE TABLE usage (
    entity    BIGINT NOT NULL,
    id        UUID   NOT NULL,
    began     BIGINT NOT NULL,
    ended     BIGINT NOT NULL,
    kind      TEXT   NOT NULL,
    project   BYTEA  NOT NULL,
    owner     BYTEA  NOT NULL,
    computes  BIGINT NOT NULL,
    cores     BIGINT NOT NULL,
    memory    BIGINT NOT NULL,
    storage   BIGINT NOT NULL,
    addresses BIGINT NOT NULL,
    PRIMARY KEY (entity, began)
);
CREATE INDEX usage_ended ON usage (ended, began);

-- +goose Down
DROP TABLE usage;
DROP TABLE audit_checkpoints;
DROP TABLE audit;
