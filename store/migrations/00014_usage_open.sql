-- +goose Up

-- What an entity uses now: an index of (ended, began) finds what all of them do.
CREATE UNIQUE INDEX usage_open ON usage (entity) WHERE ended = 0;

-- +goose Down
DROP INDEX usage_open;
