-- +goose Up

-- What all that is placed on a host takes of something together. host is empty for what
-- is counted of all hosts.
CREATE TABLE loads (
    host   BYTEA  NOT NULL,
    what   BYTEA  NOT NULL,
    amount BIGINT NOT NULL,
    PRIMARY KEY (host, what)
);

-- +goose Down
DROP TABLE loads;
