package store_test

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/occid/occid/occi"
	"github.com/occid/occid/store"
)

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for dsn, want := range map[string]occi.Class{
		"":                              occi.Invalid,
		"sqlite:":                       occi.Invalid,
		"mysql://user:secret@h/db":      occi.Invalid,
		"postgres://user:secret@h:x/db": occi.Unavailable,
		"sqlite:" + filepath.Join(file, "none", "x.db"): occi.Unavailable,
		"postgres://u:secret@/db?host=" + t.TempDir():   occi.Unavailable,
	} {
		_, err := store.Open(t.Context(), dsn)
		wantClass(t, dsn, err, want)
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("the error tells the password: %v", err)
		}
		if strings.Contains(dsn, file) && !strings.Contains(err.Error(), file+": not a directory") {
			t.Errorf("the error does not say what is missing: %v", err)
		}
	}
}

func TestSQLiteMakesItsFolder(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "new")
	s := open(t, "sqlite:"+filepath.Join(dir, "deep", "x.db"))
	put(t, s, compute("x", 1))
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%s: %v, %v; want it private", dir, info, err)
	}
}

func TestSQLiteFileHasOneOwner(t *testing.T) {
	t.Parallel()
	dsn := freshDSN(t, "sqlite")
	s := open(t, dsn)
	_, err := store.Open(t.Context(), dsn)
	wantClass(t, "a second owner", err, occi.Unavailable)
	if err != nil && !strings.Contains(err.Error(), "in use by another process") {
		t.Errorf("the error does not say why: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, dsn)
}

func TestSQLiteFilesArePrivate(t *testing.T) {
	t.Parallel()
	dsn := "sqlite:" + filepath.Join(t.TempDir(), "store.db")
	put(t, open(t, dsn), compute("secret", 1))
	found, err := filepath.Glob(strings.TrimPrefix(dsn, "sqlite:") + "*")
	if err != nil || len(found) < 3 {
		t.Fatalf("files %v, %v", found, err)
	}
	for _, path := range found {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, %v; want 0600", path, info.Mode(), err)
		}
	}
}

func TestSQLitePathsAreTakenAsTheyAre(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"a b.db", "q?mode=memory", "100%41", "#hash", "ünï", "a&_pragma=synchronous(OFF)"} {
		dsn := "sqlite:" + filepath.Join(t.TempDir(), name)
		s := open(t, dsn)
		put(t, s, compute("x", 1))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		found, err := filepath.Glob(filepath.Join(filepath.Dir(strings.TrimPrefix(dsn, "sqlite:")), "*"))
		if err != nil || len(found) != 2 || found[0] != strings.TrimPrefix(dsn, "sqlite:") {
			t.Errorf("%s makes %v", name, found)
		}
	}
}

func TestNewerSchemaIsRefused(t *testing.T) {
	t.Parallel()
	const newer = `INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, %s)`
	for _, kind := range databases {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			dsn := freshDSN(t, kind)
			if err := open(t, dsn).Close(); err != nil {
				t.Fatal(err)
			}
			execute(t, dsn, fmt.Sprintf(newer, "TRUE"))
			_, err := store.Open(t.Context(), dsn)
			wantClass(t, "a newer schema", err, occi.Unsupported)
			if err != nil && !strings.Contains(err.Error(), "99999") {
				t.Errorf("the error does not name the version: %v", err)
			}
		})
	}
}

// execute runs statements beside any store.
func execute(t *testing.T, dsn, statement string) {
	t.Helper()
	if err := try(t, dsn, statement); err != nil {
		t.Fatal(err)
	}
}

// try runs statements that may be refused.
func try(t *testing.T, dsn, statement string) error {
	t.Helper()
	if path, ok := strings.CutPrefix(dsn, "sqlite:"); ok {
		db, err := sql.Open("sqlite", path+"?_pragma=busy_timeout(10000)")
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		_, err = db.Exec(statement)
		return err
	}
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	_, err = conn.Exec(t.Context(), statement)
	return err
}

func TestClosedStore(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store.Store) {
		if err := s.Ping(t.Context()); err != nil {
			t.Errorf("Ping: %v", err)
		}
		x := compute("x", 1)
		for range 2 {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
		wantClass(t, "Commit", s.Commit(t.Context(), &occi.Change{Puts: []*occi.Entity{x}}), occi.Unavailable)
		_, err := s.Entity(t.Context(), x.ID)
		wantClass(t, "Entity", err, occi.Unavailable)
		_, _, err = s.Claim(t.Context(), "h", "w", 1, start, 1)
		wantClass(t, "Claim", err, occi.Unavailable)
		_, _, err = s.Follow(t.Context())
		wantClass(t, "Follow", err, occi.Unavailable)
		wantClass(t, "Ping", s.Ping(t.Context()), occi.Unavailable)
	})
}

func TestUnreadableRowIsInternal(t *testing.T) {
	t.Parallel()
	for _, kind := range databases {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			dsn := freshDSN(t, kind)
			s := open(t, dsn)
			x := compute("x", 1)
			put(t, s, x)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			statement := `UPDATE entities SET doc = '{'`
			execute(t, dsn, statement)
			s = open(t, dsn)
			_, err := s.Entity(t.Context(), x.ID)
			wantClass(t, "an unreadable row", err, occi.Internal)
		})
	}
}

// downTo is the SQL that takes the newest schema back to a version.
func downTo(t *testing.T, version int) string {
	t.Helper()
	files, err := filepath.Glob("migrations/*.sql")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	sql := fmt.Sprintf("DELETE FROM goose_db_version WHERE version_id > %d", version)
	if version < 10 {
		sql = "DROP TABLE uses;" + sql // of no file
	}
	for _, f := range files {
		var of int
		if _, err := fmt.Sscanf(filepath.Base(f), "%d_", &of); err != nil {
			t.Fatal(f, err)
		}
		if of <= version {
			continue
		}
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		_, down, _ := strings.Cut(string(text), "-- +goose Down")
		sql = down + sql
	}
	return sql
}

// TestKeysOfTheFirstSchemaAreKept brings a database of version 1 up to date.
func TestKeysOfTheFirstSchemaAreKept(t *testing.T) {
	t.Parallel()
	down := downTo(t, 1)
	for _, kind := range databases {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			dsn := freshDSN(t, kind)
			s := open(t, dsn)
			change := &occi.Change{At: start, Puts: []*occi.Entity{compute("x", 1)}, Key: &occi.Key{Name: "k", Hash: "h", Created: start}}
			if err := s.Commit(t.Context(), change); err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			execute(t, dsn, down)
			_, err := store.Open(t.Context(), dsn)
			wantClass(t, "an older schema without a registry", err, occi.Unsupported)
			s = open(t, dsn, store.WithUses(coresAndStorage))
			for want, before := range []time.Time{start, start.Add(time.Second)} {
				if n, err := s.PurgeKeys(t.Context(), before, 10); n != want || err != nil {
					t.Errorf("purged %d before %s, %v; want %d", n, before, err, want)
				}
			}
		})
	}
}
