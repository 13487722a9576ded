package hypertest

import (
	"context"
	"errors"
	"slices"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/occid/occid/hypervisor"
)

// watch gathers the states that the host reports of a domain; it has begun when
// the first is there.
func (s *suite) watch(id uuid.UUID) <-chan hypervisor.Event {
	s.Helper()
	events := make(chan hypervisor.Event, 64)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = s.drv.Watch(ctx, func(e hypervisor.Event) {
			if e.Domain == id {
				events <- e
			}
		})
	}()
	s.Cleanup(func() { cancel(); <-ended })
	return events
}

// wantEvent waits until the host reports a state.
func (s *suite) wantEvent(events <-chan hypervisor.Event, want hypervisor.Event) {
	s.Helper()
	ctx := s.ctx()
	for {
		select {
		case e := <-events:
			if e == want {
				return
			}
		case <-ctx.Done():
			s.Fatalf("no event %+v", want)
		}
	}
}

func (s *suite) events() {
	d, ctx := s.domain(), s.ctx()
	events := s.watch(d.ID)
	is := func(state hypervisor.State) hypervisor.Event { return hypervisor.Event{Domain: d.ID, State: state} }
	// Watch begins at some time after it was called: what is changed until then is
	// not reported.
	for begun := false; !begun; {
		s.ok("start", s.drv.StartDomain(ctx, d.ID))
		s.ok("stop", s.powerOff(ctx, d.ID))
		s.look(d.ID)
		begun = len(events) > 0
	}
	s.wantEvent(events, is(hypervisor.Stopped))
	s.ok("start", s.drv.StartDomain(ctx, d.ID))
	s.wantEvent(events, is(hypervisor.Running))
	s.ok("suspend", s.drv.SuspendDomain(ctx, d.ID, hypervisor.SuspendRAM))
	s.wantEvent(events, is(hypervisor.Paused))
	s.ok("resume", s.drv.StartDomain(ctx, d.ID))
	s.ok("hibernate", s.drv.SuspendDomain(ctx, d.ID, hypervisor.SuspendDisk))
	s.wantEvent(events, is(hypervisor.Saved))
	s.ok("delete", s.drv.DeleteDomain(ctx, d.ID))
	s.wantEvent(events, hypervisor.Event{Domain: d.ID, State: hypervisor.Stopped, Gone: true})
}

// ended checks that nothing is done for a caller that has gone.
func (s *suite) ended() {
	d := s.domain()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	s.is("start", s.drv.StartDomain(ctx, d.ID), hypervisor.ErrUnavailable)
	_, err := s.drv.Domains(ctx)
	s.is("list", err, hypervisor.ErrUnavailable)
	if err := s.drv.Watch(ctx, func(hypervisor.Event) {}); err == nil {
		s.Error("Watch gave no error though its context ended")
	}
	s.wantState("a call whose context had ended", d.ID, hypervisor.Stopped)
}

func (s *suite) closed() {
	_, err := s.drv.Info(s.ctx())
	s.ok("info", err)
	watched := make(chan error)
	go func() { watched <- s.drv.Watch(context.Background(), func(hypervisor.Event) {}) }()
	s.ok("close", s.drv.Close())
	s.ok("close again", s.drv.Close())
	s.is("watch", <-watched, hypervisor.ErrUnavailable)
	_, err = s.drv.Info(s.ctx())
	s.is("info", err, hypervisor.ErrUnavailable)
}

// random tries sequences of calls against a model of what they lead to.
func random(s *suite) {
	d := s.spec()
	calls := []struct {
		name string
		call func(context.Context, uuid.UUID) error
		to   map[hypervisor.State]hypervisor.State // none: an error
	}{
		{"define", func(ctx context.Context, _ uuid.UUID) error { return s.drv.DefineDomain(ctx, d) },
			map[hypervisor.State]hypervisor.State{"": hypervisor.Stopped, hypervisor.Stopped: hypervisor.Stopped,
				hypervisor.Running: hypervisor.Running, hypervisor.Paused: hypervisor.Paused, hypervisor.Saved: hypervisor.Saved}},
		{"start", s.drv.StartDomain, all(hypervisor.Running)},
		{"power off", s.powerOff, all(hypervisor.Stopped)},
		{"restart", func(ctx context.Context, id uuid.UUID) error {
			return s.drv.RestartDomain(ctx, id, hypervisor.RestartGraceful)
		}, all(hypervisor.Running)},
		{"suspend", s.suspend(hypervisor.SuspendRAM), map[hypervisor.State]hypervisor.State{hypervisor.Running: hypervisor.Paused,
			hypervisor.Paused: hypervisor.Paused, hypervisor.Saved: hypervisor.Saved}},
		{"hibernate", s.suspend(hypervisor.SuspendDisk), map[hypervisor.State]hypervisor.State{hypervisor.Running: hypervisor.Saved,
			hypervisor.Paused: hypervisor.Saved, hypervisor.Saved: hypervisor.Saved}},
		{"delete", s.drv.DeleteDomain, map[hypervisor.State]hypervisor.State{"": "", hypervisor.Stopped: "", hypervisor.Running: "",
			hypervisor.Paused: "", hypervisor.Saved: ""}},
	}
	rapid.Check(s.T, func(t *rapid.T) {
		ctx := context.Background()
		if err := s.drv.DeleteDomain(ctx, d.ID); err != nil {
			t.Fatal(err)
		}
		var state hypervisor.State // "" while it is not there
		for _, i := range rapid.SliceOfN(rapid.IntRange(0, len(calls)-1), 1, 20).Draw(t, "calls") {
			c := calls[i]
			err := c.call(ctx, d.ID)
			next, possible := c.to[state]
			if state == "" && !possible && !errors.Is(err, hypervisor.ErrNotFound) || possible == (err != nil) {
				t.Fatalf("%s while it is %q: %v", c.name, state, err)
			}
			if possible {
				state = next
			}
			domains, err := s.drv.Domains(ctx)
			if err != nil {
				t.Fatal(err)
			}
			var got hypervisor.State
			if i := slices.IndexFunc(domains, func(x hypervisor.DomainStatus) bool { return x.ID == d.ID }); i >= 0 {
				got = domains[i].State
			}
			if got != state {
				t.Fatalf("after %s the domain is %q, want %q", c.name, got, state)
			}
		}
	})
}

// all leads to one state from every state that a domain may be in.
func all(to hypervisor.State) map[hypervisor.State]hypervisor.State {
	return map[hypervisor.State]hypervisor.State{hypervisor.Stopped: to, hypervisor.Running: to, hypervisor.Paused: to, hypervisor.Saved: to}
}
