package dbtest_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/occid/occid/internal/dbtest"
	"github.com/occid/occid/internal/pgtest"
	"github.com/occid/occid/occi"
	"github.com/occid/occid/store"
)

// TestDatabasesAreApart writes to two databases of each make and finds but that in each.
func TestDatabasesAreApart(t *testing.T) {
	t.Parallel()
	ctx, c := t.Context(), pgtest.Run(t)
	template, err := dbtest.Template(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	all := []string{dbtest.SQLite(t), dbtest.SQLite(t)}
	for range 2 {
		url, _, err := c.Create(ctx, template)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, url)
	}
	for _, dsn := range all {
		s, err := store.Open(ctx, dsn)
		if err != nil {
			t.Fatal(err)
		}
		x := &occi.Entity{ID: uuid.New(), Kind: "http://example.org/occi#thing", Title: "x"}
		if err := s.Commit(ctx, &occi.Change{At: time.Now(), Puts: []*occi.Entity{x}}); err != nil {
			t.Error(err)
		}
		page, err := s.List(ctx, &occi.Query{})
		if err != nil || len(page.Entities) != 1 || page.Entities[0].ID != x.ID {
			t.Errorf("%s holds %v, %v; want what was written alone", dsn, page, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}
