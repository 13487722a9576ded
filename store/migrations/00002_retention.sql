-- +goose Up

-- What is over for long is found by when that was.
CREATE INDEX tasks_finished ON tasks (finished) WHERE over;

-- When a key was made is in its document only, which the databases read
-- differently. Keys from before count from the last change there was.
ALTER TABLE keys ADD COLUMN created BIGINT NOT NULL DEFAULT 0;
UPDATE keys SET created = (SELECT COALESCE(MAX(updated), 0) FROM kinds);
CREATE INDEX keys_created ON keys (created);

-- +goose Down
DROP INDEX keys_created;
ALTER TABLE keys DROP COLUMN created;
DROP INDEX tasks_finished;
