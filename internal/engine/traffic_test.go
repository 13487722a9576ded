package engine_test

import (
	"context"
	"sync"
	"testing"

	"github.com/occid/occid/internal/engine"
	"github.com/occid/occid/occi"
)

// stuck is a store in which changes of entities with a title wait for release.
type stuck struct {
	engine.Store
	title            string
	once             sync.Once
	entered, release chan struct{}
}

func (s *stuck) Commit(ctx context.Context, c *occi.Change) error {
	if len(c.Puts) > 0 && c.Puts[0].Title == s.title {
		s.once.Do(func() { close(s.entered) })
		<-s.release
	}
	return s.Store.Commit(ctx, c)
}

// TestWorkGivesWayButNotForever has a request that is never stored: what others
// asked for is done all the same.
func TestWorkGivesWayButNotForever(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.Stop()
	st := &stuck{Store: c.store, title: "stuck", entered: make(chan struct{}), release: make(chan struct{})}
	c.Engine = c.server(st, "test")
	if err := c.Start(c.ctx); err != nil {
		t.Fatal(err)
	}
	vm := c.create(draft(compute))
	done := make(chan error)
	go func() {
		_, err := c.Create(c.ctx, engine.Caller{}, compute, []*occi.Draft{draft(compute, occi.AttrTitle, st.title)}, engine.Options{})
		done <- err
	}()
	<-st.entered
	c.mustAct(vm, "start")
	c.until("the machine runs", func() bool { return c.state(c.get(vm.ID)) == "active" })
	if err := c.delete(vm.ID); err != nil {
		t.Error(err)
	}
	close(st.release)
	if err := <-done; err != nil {
		t.Error(err)
	}
}
