package engine

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/occid/occid/occi"
)

// registry joins what the provider defines and what users do.
type registry struct {
	mu      sync.Mutex // held to change current
	current atomic.Pointer[joined]
}

// joined is a registry with what it is made of.
type joined struct {
	provider *occi.Model
	mixins   []*occi.Mixin
	revision int64
	model    *occi.Model
	// views are what projects see of model, by project.
	views  sync.Map
	viewed atomic.Int64 // how many are kept
}

// Model is the registry in force.
func (e *Engine) Model() *occi.Model {
	provider := e.cfg.Model()
	if j := e.registry.current.Load(); j != nil && j.provider == provider {
		return j.model
	}
	e.registry.mu.Lock()
	defer e.registry.mu.Unlock()
	j := e.registry.current.Load()
	if j == nil {
		j = &joined{}
	}
	return e.join(provider, j.mixins, j.revision)
}

// join puts a registry in force. Its lock is held.
func (e *Engine) join(provider *occi.Model, mixins []*occi.Mixin, revision int64) *occi.Model {
	model, hidden := provider.With(mixins, revision)
	for _, x := range hidden {
		e.log.Warn("a user's mixin is hidden by what the registry has come to define", "mixin", x.ID(), "location", x.Location)
	}
	e.registry.current.Store(&joined{provider: provider, mixins: mixins, revision: revision, model: model})
	return model
}

// Renew makes sure that the Model knows the mixins that users have defined on any
// server. Unless surely is set, that is looked up only if the store is known to
// have others.
func (e *Engine) Renew(ctx context.Context, surely bool) error {
	j := e.registry.current.Load()
	if !surely && j != nil && e.store.MixinsRevision() <= j.revision {
		return nil
	}
	e.registry.mu.Lock()
	defer e.registry.mu.Unlock()
	if j = e.registry.current.Load(); j == nil {
		j = &joined{}
	}
	mixins, revision, err := e.store.Mixins(ctx, j.revision)
	if err != nil {
		return err
	}
	if revision != j.revision || j.model == nil {
		e.join(e.cfg.Model(), mixins, revision)
	}
	return nil
}

// needs names the users' mixins that the plan's entities carry, beside those that
// it defines.
func (p *plan) needs() {
	for _, x := range p.change.Puts {
		for _, id := range x.Mixins {
			mx := p.m.Mixin(id)
			if !x.Deleted && mx != nil && mx.User && !slices.Contains(p.change.Needs, id) && !slices.Contains(p.change.Define, mx) {
				p.change.Needs = append(p.change.Needs, id)
			}
		}
	}
}

// stale renews the registry after a Conflict that may come of one out of date.
func (e *Engine) stale(ctx context.Context, c *occi.Change, err error) error {
	if errors.Is(err, occi.Conflict) && len(c.Needs)+len(c.Define)+len(c.Redefine)+len(c.Undefine) > 0 {
		if e2 := e.Renew(ctx, true); e2 != nil {
			return e2
		}
	}
	return err
}
