package store

import (
	"context"
	"database/sql"
	"fmt"
)

// The audit trail is append-only: what is in it is neither changed nor deleted, but for
// rows that a checkpoint covers, and a checkpoint is of a row that is there. The databases
// have no way in common to say so, which is why no migration does.
const (
	sqliteGuards = `
CREATE TRIGGER IF NOT EXISTS audit_once BEFORE INSERT ON audit
	WHEN EXISTS (SELECT 1 FROM audit WHERE seq >= NEW.seq)
	BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;
CREATE TRIGGER IF NOT EXISTS audit_unchanged BEFORE UPDATE ON audit
	BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;
CREATE TRIGGER IF NOT EXISTS audit_kept BEFORE DELETE ON audit
	WHEN NOT EXISTS (SELECT 1 FROM audit_checkpoints WHERE seq >= OLD.seq)
	BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;
CREATE TRIGGER IF NOT EXISTS audit_checkpoints_true BEFORE INSERT ON audit_checkpoints
	WHEN NOT EXISTS (SELECT 1 FROM audit WHERE seq = NEW.seq AND hash = NEW.hash)
		OR EXISTS (SELECT 1 FROM audit_checkpoints WHERE seq >= NEW.seq)
	BEGIN SELECT RAISE(ABORT, 'a checkpoint is of a row of the audit trail'); END;
CREATE TRIGGER IF NOT EXISTS audit_checkpoints_unchanged BEFORE UPDATE ON audit_checkpoints
	BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;
CREATE TRIGGER IF NOT EXISTS audit_checkpoints_kept BEFORE DELETE ON audit_checkpoints
	BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;`

	postgresGuards = `
DO $guards$
BEGIN
	PERFORM pg_advisory_xact_lock(%d);
	IF EXISTS (SELECT 1 FROM pg_trigger WHERE tgname = 'audit_checkpoints_truncated' AND tgrelid = 'audit_checkpoints'::regclass) THEN
		RETURN;
	END IF;
	CREATE OR REPLACE FUNCTION audit_kept() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		IF TG_TABLE_NAME = 'audit' AND TG_OP = 'DELETE' AND EXISTS (SELECT 1 FROM audit_checkpoints WHERE seq >= OLD.seq) THEN
			RETURN OLD;
		END IF;
		RAISE EXCEPTION 'the audit trail is append-only';
	END $$;
	CREATE OR REPLACE FUNCTION audit_truncated() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		RAISE EXCEPTION 'the audit trail is append-only';
	END $$;
	CREATE OR REPLACE FUNCTION audit_checkpoint_true() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		IF NOT EXISTS (SELECT 1 FROM audit WHERE seq = NEW.seq AND hash = NEW.hash) OR EXISTS (SELECT 1 FROM audit_checkpoints WHERE seq >= NEW.seq) THEN
			RAISE EXCEPTION 'a checkpoint is of a row of the audit trail';
		END IF;
		RETURN NEW;
	END $$;
	CREATE OR REPLACE TRIGGER audit_kept BEFORE UPDATE OR DELETE ON audit FOR EACH ROW EXECUTE FUNCTION audit_kept();
	CREATE OR REPLACE TRIGGER audit_truncated BEFORE TRUNCATE ON audit FOR EACH STATEMENT EXECUTE FUNCTION audit_truncated();
	CREATE OR REPLACE TRIGGER audit_checkpoints_true BEFORE INSERT ON audit_checkpoints FOR EACH ROW EXECUTE FUNCTION audit_checkpoint_true();
	CREATE OR REPLACE TRIGGER audit_checkpoints_kept BEFORE UPDATE OR DELETE ON audit_checkpoints FOR EACH ROW EXECUTE FUNCTION audit_kept();
	CREATE OR REPLACE TRIGGER audit_checkpoints_truncated BEFORE TRUNCATE ON audit_checkpoints FOR EACH STATEMENT EXECUTE FUNCTION audit_truncated();
END $guards$;`
)

// guard has the database keep the audit trail, if it does not yet.
func guard(ctx context.Context, db *sql.DB, guards string) error {
	if _, err := db.ExecContext(ctx, guards); err != nil {
		return fmt.Errorf("have the database keep the audit trail: %w", err)
	}
	return nil
}
