-- +goose Up

-- Mixins that users defined. Identifiers and locations are ASCII; seq is the order
-- of definition.
CREATE TABLE mixins (
    id       TEXT   PRIMARY KEY,
    location TEXT   NOT NULL UNIQUE,
    seq      BIGINT NOT NULL,
    doc      BYTEA  NOT NULL
);

-- +goose Down
DROP TABLE mixins;
