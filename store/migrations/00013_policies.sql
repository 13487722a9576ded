-- +goose Up

-- Whose an entity is, be it shared or not. What was shared before is filled in by the
-- program, which can read the documents.
ALTER TABLE entities ADD COLUMN project BYTEA NOT NULL DEFAULT '';
UPDATE entities SET project = reach WHERE length(reach) <> 1;

-- +goose Down
ALTER TABLE entities DROP COLUMN project;
