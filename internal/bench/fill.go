package main

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/occid/occid/internal/engine"
	"github.com/occid/occid/occi"
	"github.com/occid/occid/spec"
	"github.com/occid/occid/store"
)

const compute = "http://schemas.ogf.org/occi/infrastructure#compute"

// fill puts n computes into a database, on no host, and gives one of them.
// Compute i has the hostname "vm-i" with six digits.
func fill(ctx context.Context, dsn string, n int) (one uuid.UUID, err error) {
	return fillFor(ctx, dsn, n, "")
}

// fillFor is fill with computes of a project.
func fillFor(ctx context.Context, dsn string, n int, project string) (one uuid.UUID, err error) {
	m, err := spec.Builtin()
	if err != nil {
		return one, err
	}
	st, err := store.Open(ctx, dsn, store.WithModel(func() *occi.Model { return m }), store.WithUses(engine.Uses(func() *occi.Model { return m })))
	if err != nil {
		return one, err
	}
	defer func() {
		if cerr := st.Close(); err == nil {
			err = cerr
		}
	}()
	const batch = 1000
	for i := 0; i < n; i += batch {
		c := &occi.Change{At: time.Now().UTC().Truncate(time.Microsecond)}
		for j := i; j < min(n, i+batch); j++ {
			d := &occi.Draft{Kind: compute, Attributes: []occi.DraftAttr{
				{Name: occi.AttrTitle, Value: occi.Str(fmt.Sprintf("machine number %d", j))},
				{Name: "occi.compute.hostname", Value: occi.Str(hostname(j))},
				{Name: "occi.compute.cores", Value: occi.Int(int64(1 + j%8))},
				{Name: "occi.compute.memory", Value: occi.Float(float64(1 + j%16))}}}
			x, err := m.Build(d, uuid.New())
			if err != nil {
				return one, err
			}
			x.Project = project
			c.Puts = append(c.Puts, x)
			if j == n/2 {
				one = x.ID
			}
		}
		if err := st.Commit(ctx, c); err != nil {
			return one, err
		}
	}
	return one, nil
}

func hostname(i int) string { return fmt.Sprintf("vm-%06d", i) }
