package store

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/occid/occid/occi"
)

//go:embed migrations/*.sql
var migrations embed.FS

// migrate brings the schema to this program's version. A newer one is refused.
func migrate(ctx context.Context, db *sql.DB, d *dialect, r *reckoning) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	options := []goose.ProviderOption{goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()),
		goose.WithGoMigrations(accounting(r.charges), settling(d, r))}
	if d.goose == goose.DialectPostgres {
		// Servers that start together must not migrate together.
		locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 60))
		if err != nil {
			return err
		}
		options = append(options, goose.WithSessionLocker(locker))
	}
	p, err := goose.NewProvider(d.goose, db, files, options...)
	if err != nil {
		return err
	}
	have, newest, err := p.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("read the version of the schema: %w", err)
	}
	if have > newest {
		return occi.E(occi.Unsupported, "the database has version %d of the schema; this program knows up to %d", have, newest)
	}
	if 0 < have && have < newest && r.uses == nil {
		return occi.E(occi.Unsupported, "the database has version %d of the schema; occid brings it to version %d when it serves it", have, newest)
	}
	if have < newest {
		if _, err := p.Up(ctx); err != nil {
			return fmt.Errorf("bring the schema from version %d to %d: %w", have, newest, err)
		}
	}
	return guard(ctx, db, d.guards)
}
