-- +goose Up

-- Which server watches a host, whether it reaches it, since when that is so, and until
-- when it has the host to itself.
CREATE TABLE watches (
    host    BYTEA   NOT NULL PRIMARY KEY,
    worker  BYTEA   NOT NULL,
    reaches BOOLEAN NOT NULL,
    since   BIGINT  NOT NULL,
    until   BIGINT  NOT NULL
);

-- +goose Down
DROP TABLE watches;
