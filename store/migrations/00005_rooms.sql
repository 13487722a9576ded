-- +goose Up

-- What volumes take of pools, and what all of a pool take together.
CREATE TABLE rooms (
    volume UUID   NOT NULL PRIMARY KEY,
    entity UUID   NOT NULL,
    pool   BYTEA  NOT NULL,
    bytes  BIGINT NOT NULL
);

CREATE INDEX rooms_entity ON rooms (entity);

CREATE TABLE pools (
    pool  BYTEA  NOT NULL PRIMARY KEY,
    bytes BIGINT NOT NULL
);

-- +goose Down
DROP TABLE pools;
DROP TABLE rooms;
