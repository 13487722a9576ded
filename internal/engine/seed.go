package engine

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"github.com/occid/occid/internal/iso"
)

// seedLabel is the label that guests know the drive of the NoCloud data source by.
const seedLabel = "cidata"

// redefine has the host hold what a machine is, with its config drive.
func redefine(ctx context.Context, j *job) error {
	d := domainOf(j.m, j.x)
	var err error
	if d.Seed, err = seed(ctx, j); err != nil {
		return err
	}
	return j.drv.DefineDomain(ctx, d)
}

// seed gives the config drive of a machine, nil for none.
func seed(ctx context.Context, j *job) ([]byte, error) {
	if j.cfg.Seed == nil || !role(j.m, j.x, roleImported).IsZero() {
		// What is in the guest has been set up, and must not be taken for a new one.
		return nil, nil
	}
	var ids []uuid.UUID
	for _, l := range j.x.Links {
		if l.Target.ID != uuid.Nil {
			ids = append(ids, l.Target.ID)
		}
	}
	linked, err := j.entities(ctx, ids)
	if err != nil {
		return nil, err
	}
	files, err := j.cfg.Seed(ctx, j.m, j.x, linked)
	if err != nil || len(files) == 0 {
		return nil, err
	}
	image, err := iso.Image(seedLabel, files)
	if err != nil {
		return nil, fmt.Errorf("config drive: %w", err)
	}
	return image, nil
}

// reseed brings the config drive of a machine that is about to start up to date: what
// it is linked to may have changed since it was defined.
func reseed(ctx context.Context, j *job) error {
	if j.cfg.Seed == nil || j.defined {
		return nil
	}
	return redefine(ctx, j)
}
