-- +goose Up

-- What changed. The events of a transaction are in one row, or in a few: seq is the
-- number of the last in it, first that of the first, at when the last one was.
CREATE TABLE events (
    seq   BIGINT NOT NULL PRIMARY KEY,
    first BIGINT NOT NULL,
    at    BIGINT NOT NULL,
    doc   BYTEA  NOT NULL
);

-- +goose Down
DROP TABLE events;
