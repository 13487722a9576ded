package engine_test

import (
	"context"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/occid/occid/internal/engine"
	"github.com/occid/occid/occi"
)

// lateStore has something done before tasks are read, once.
type lateStore struct {
	engine.Store
	once   sync.Once
	before func()
}

func (s *lateStore) Unfinished(ctx context.Context, lanes []uuid.UUID, reach ...string) ([]*occi.Task, error) {
	s.once.Do(s.before)
	return s.Store.Unfinished(ctx, lanes, reach...)
}

// TestAnActionIsJudgedByOneState has a task end between the reading of a machine
// and that of its tasks.
func TestAnActionIsJudgedByOneState(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	vm := c.create(draft(compute))
	release := make(chan struct{})
	c.host.intercept(func(_ context.Context, op string, _ uuid.UUID) error {
		if op == "start domain" {
			<-release
		}
		return nil
	})
	first, err := c.act(vm, "start")
	if err != nil {
		t.Fatal(err)
	}
	late := &lateStore{Store: c.store, before: func() {
		close(release)
		c.settled(first)
	}}
	_, err = c.server(late, "other").Act(c.ctx, engine.Caller{}, []uuid.UUID{vm.ID}, &occi.Draft{Action: "suspend"}, engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
}
