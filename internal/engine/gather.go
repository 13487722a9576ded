package engine

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/occid/occid/occi"
)

// opens reports whether an entity is a host that was added at run time and that this
// server can open.
func (e *Engine) opens(m *occi.Model, x *occi.Entity) bool {
	return e.cfg.Opener != nil && role(m, x, roleNodeURI).Text != ""
}

// offeredNode refuses hosts of URIs that cannot be opened.
func offeredNode(cfg *Config, m *occi.Model, old, x *occi.Entity) []occi.Problem {
	a := roleAttr(m, x, roleNodeURI)
	if old != nil || a == nil || cfg.Opener == nil {
		return nil
	}
	uri := x.Attributes.Get(a.Name).Text
	if uri == "" {
		return []occi.Problem{{What: a.Name, Text: "is missing: how is libvirt on the host reached?"}}
	}
	if err := cfg.Opener.Check(uri); err != nil {
		return []occi.Problem{{What: a.Name, Text: err.Error()}}
	}
	return nil
}

// node makes a new entity a host, under the UUID that comes of its URI. chosen tells
// that the client named one.
func (b *creation) node(x *occi.Entity, chosen bool) error {
	uri := role(b.m, x, roleNodeURI).Text
	id := nodeID(uri)
	if chosen && x.ID != id {
		return occi.Problems(occi.Invalid, "it is not possible", []occi.Problem{{What: occi.AttrID, Text: "the UUID comes of the URI, and is " + id.String()}})
	}
	x.ID, x.Host = id, uri
	if x.Title == "" {
		x.Title = uri
	}
	s := b.m.Kind(x.Kind).States
	x.Attributes.Set(s.Attribute, occi.Str(s.Initial))
	b.say(x, noConnection+"not tried yet")
	return nil
}

// adjustable refuses to change what the configuration says of a host.
func (p *plan) adjustable(old, next *occi.Entity) error {
	if part(p.m, old).stores {
		return p.adjustablePool(old, next)
	}
	if part(p.m, old).stray && !sameButTags(old, next) {
		return occi.E(occi.Forbidden, "%s is as its host has it; once it is imported it can be changed", p.m.Path(old))
	}
	if !part(p.m, old).own || p.e.opens(p.m, old) && !p.e.configures(old.Host) {
		return nil
	}
	if sameButTags(old, next) {
		return nil
	}
	return occi.E(occi.Forbidden, "%s is in the server's configuration; what that says of it is changed there", p.m.Path(old))
}

// sameButTags is same, mixins left aside.
func sameButTags(a, b *occi.Entity) bool {
	tagged := b.Clone()
	tagged.Mixins = a.Mixins
	return same(a, tagged)
}

// configures reports whether the configuration has a host.
func (e *Engine) configures(name string) bool {
	h := e.host(name)
	return h != nil && !h.added
}

// gatherTime is how long it takes at most until a host is tried again that could not be
// opened.
const gatherTime = 10 * time.Second

// gatherAgain opens hosts that are added and lets go of those that are gone, until ctx
// ends.
func (e *Engine) gatherAgain(ctx context.Context) {
	var again <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.regather:
		case <-again:
		}
		again = nil
		if err := e.gather(ctx); err != nil && ctx.Err() == nil {
			e.log.Warn("hosts that were added cannot be looked after", "error", err)
			again = time.After(gatherTime)
		}
	}
}

// gather has the hosts be those of the configuration and those that were added.
func (e *Engine) gather(ctx context.Context) error {
	page, err := e.store.List(ctx, &occi.Query{Kinds: kindsFor(e.Model(), "node")})
	if err != nil {
		return err
	}
	m := e.Model()
	rows := map[uuid.UUID]bool{}
	var errs []error
	for _, x := range page.Entities {
		if rows[x.ID] = true; e.opens(m, x) && e.host(x.Host) == nil {
			errs = append(errs, e.admit(ctx, x))
		}
	}
	for _, h := range e.all() {
		if h.added && !rows[nodeID(h.name)] {
			e.dismiss(ctx, h)
		}
	}
	for _, x := range page.Entities {
		if h := e.host(x.Host); h != nil && !h.watches() {
			h.see(m, x)
		}
	}
	return errors.Join(append(errs, e.gatherPools(ctx))...)
}

// admit begins to work with a host that was added.
func (e *Engine) admit(ctx context.Context, x *occi.Entity) error {
	of, err := e.cfg.Opener.Open(x.Host)
	if err != nil {
		return err
	}
	of.Name = x.Host
	h := newHost(e, of)
	h.added = true
	list := append(slices.Clone(e.all()), h)
	e.hosts.Store(&list)
	h.start(ctx)
	e.log.Info("a host was added", "host", h.name)
	return nil
}

// dismiss lets go of a host that is gone.
func (e *Engine) dismiss(ctx context.Context, h *host) {
	list := slices.DeleteFunc(slices.Clone(e.all()), func(o *host) bool { return o == h })
	e.hosts.Store(&list)
	h.end()
	if err := e.store.Unwatch(ctx, e.cfg.Worker, h.name); err != nil && ctx.Err() == nil {
		e.log.Warn("a host was not left to other servers", "host", h.name, "error", err)
	}
	e.log.Info("a host was removed", "host", h.name)
}
