package engine_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/occid/occid/internal/engine"
	"github.com/occid/occid/occi"
)

// purging tells when something was purged.
type purging struct {
	engine.Store
	tasks, keys, events chan int
}

func told(ch chan int, n int, err error) (int, error) {
	if n > 0 {
		ch <- n
	}
	return n, err
}

func (s purging) PurgeTasks(ctx context.Context, before time.Time, n int) (int, error) {
	n, err := s.Store.PurgeTasks(ctx, before, n)
	return told(s.tasks, n, err)
}

func (s purging) PurgeKeys(ctx context.Context, before time.Time, n int) (int, error) {
	n, err := s.Store.PurgeKeys(ctx, before, n)
	return told(s.keys, n, err)
}

func (s purging) PurgeEvents(ctx context.Context, before time.Time, n int) (int, error) {
	n, err := s.Store.PurgeEvents(ctx, before, n)
	return told(s.events, n, err)
}

// TestWhatIsOldIsForgotten has a server forget what another one keeps for ever.
func TestWhatIsOldIsForgotten(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	create := func() (*occi.Entity, uuid.UUID) {
		t.Helper()
		out, err := c.Create(c.ctx, engine.Caller{}, compute, []*occi.Draft{draft(compute)}, engine.Options{Key: "k", Hash: "h"})
		if err != nil {
			t.Fatal(err)
		}
		x := c.settled(out)
		if out.Repeated {
			return x, uuid.Nil
		}
		return x, out.Tasks[0].ID
	}
	first, task := create()
	if again, _ := create(); again.ID != first.ID {
		t.Fatalf("the key made %s and %s", first.ID, again.ID)
	}
	if _, err := c.Task(c.ctx, engine.Caller{}, task); err != nil {
		t.Fatal(err)
	}

	p := purging{c.store, make(chan int, 1), make(chan int, 1), make(chan int, 1)}
	e := engine.New(engine.Config{Store: p, Model: func() *occi.Model { return c.model }, Worker: "other", Hosts: []engine.Host{{Name: "one", Driver: c.host}},
		KeepTasks: time.Millisecond, KeepKeys: time.Millisecond, KeepEvents: time.Millisecond, Logger: slog.New(slog.DiscardHandler)})
	if err := e.Start(c.ctx); err != nil {
		t.Fatal(err)
	}
	for ch, want := range map[chan int]int{p.tasks: 1, p.keys: 1, p.events: 0} {
		select {
		case n := <-ch:
			if want > 0 && n != want {
				t.Errorf("purged %d, want %d", n, want)
			}
		case <-c.ctx.Done():
			t.Fatal("nothing is purged")
		}
	}
	e.Stop()
	if _, err := c.Task(c.ctx, engine.Caller{}, task); !errors.Is(err, occi.NotFound) {
		t.Errorf("the task: %v", err)
	}
	if second, _ := create(); second.ID == first.ID {
		t.Error("a forgotten key still gives what it made")
	}
}
