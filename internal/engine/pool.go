package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/occid/occid/hypervisor"
	"github.com/occid/occid/occi"
)

// Pool is a storage pool of a host. What volumes may take of it together is its
// capacity times Overcommit.
type Pool struct {
	Name string
	// Default is set on the one that volumes are in which are to be in none, and
	// machines' own disks.
	Default bool
	// CapacityBytes is its size; 0 means what its host says. Until that is known all
	// volumes are taken to fit.
	CapacityBytes int64
	Overcommit    float64 // 0 means 1
	// Unlimited takes whatever is asked for.
	Unlimited bool
	// Type, Source and Target tell what it is of, as hypervisor.Pool does.
	Type, Source, Target string
	// Shared says that what has this name, type, source and target on other hosts is the
	// same place. Of a file server that goes without saying.
	Shared bool
	// Apart says that it must not be shared: hosts keep what is theirs alone in it.
	Apart bool
	// added is set on one that was added at run time: what its row says of it holds.
	added bool
}

// poolEvery is how often hosts are asked how large their pools are.
const poolEvery = time.Minute

// gauge learns how large the pools are of which the operator does not say, and how
// full all are.
func (h *host) gauge(ctx context.Context) {
	for failures := 0; ; {
		all, err := h.ask(ctx)
		if ctx.Err() != nil {
			return
		}
		if werr := h.showPools(ctx); werr != nil && ctx.Err() == nil {
			h.e.log.Warn("what is shown of pools was not brought up to date", "host", h.name, "error", werr)
		}
		pause := poolEvery
		if failures++; err == nil && all {
			failures = 0
		} else {
			h.e.log.Warn("pools of a host cannot be looked at", "host", h.name, "error", err)
			pause = min(pause, backoff(failures))
		}
		select {
		case <-ctx.Done():
			return
		case <-h.remeter:
		case <-time.After(pause):
		}
	}
}

// offers lists the pools that volumes can be in.
func (h *host) offers() []Pool { return *h.pools.Load() }

// ask asks the host for its pools, and reports whether it has told of all.
func (h *host) ask(ctx context.Context) (all bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, observeTime)
	defer cancel()
	list, err := h.drv.Pools(ctx)
	if err != nil {
		h.mu.Lock()
		h.here = nil
		h.mu.Unlock()
		return false, err
	}
	h.mu.Lock()
	h.here = map[string]bool{}
	for _, p := range list {
		h.told[p.Name], h.here[p.Name] = p, true
	}
	h.mu.Unlock()
	return !slices.ContainsFunc(h.offers(), func(p Pool) bool {
		return !slices.ContainsFunc(list, func(o hypervisor.PoolStatus) bool { return o.Name == p.Name })
	}), nil
}

// hasPool reports whether the host has a pool of a name.
func (h *host) hasPool(name string) bool {
	return slices.ContainsFunc(h.offers(), func(p Pool) bool { return p.Name == name })
}

// defaultPool names the pool of volumes that are to be in none; "" without pools.
func (h *host) defaultPool() string {
	for _, p := range h.offers() {
		if p.Default {
			return p.Name
		}
	}
	return ""
}

// limit is the most that volumes may take of a pool together, in bytes; 0 for no
// limit.
func (h *host) limit(name string) int64 {
	p, ok := h.pool(name)
	if !ok || p.Unlimited {
		return 0
	}
	h.mu.Lock()
	row := h.stored[name]
	h.mu.Unlock()
	if over := cmp.Or(p.Overcommit, row.overcommit); over > 0 {
		return int64(float64(h.capacity(p)) * over)
	}
	return h.capacity(p)
}

// pool gives the pool of a name.
func (h *host) pool(name string) (p Pool, ok bool) {
	all := h.offers()
	i := slices.IndexFunc(all, func(p Pool) bool { return p.Name == name })
	if i < 0 {
		return Pool{}, false
	}
	return all[i], true
}

// capacity is the size of a pool, in bytes; 0 if that is not known.
func (h *host) capacity(p Pool) int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return cmp.Or(p.CapacityBytes, h.stored[p.Name].capacity, h.told[p.Name].CapacityBytes)
}

// poolKey names a pool among those of all hosts.
func poolKey(host, pool string) string { return host + "\n" + pool }

// poolOf names the pool that the volume of an entity is in, on its host.
func (h *host) poolOf(m *occi.Model, x *occi.Entity) string {
	return cmp.Or(role(m, x, roleVolumePool).Text, h.defaultPool())
}

// volumePool names the pool where a volume has its room: the default may have become
// another one since it was made.
func (h *host) volumePool(ctx context.Context, volume uuid.UUID) (string, error) {
	if len(h.offers()) == 0 {
		return "", nil
	}
	rooms, err := h.e.store.Rooms(ctx, []uuid.UUID{volume})
	_, pool, _ := strings.Cut(rooms[volume].Pool, "\n")
	return pool, err
}

// room is what a volume of an entity takes of a pool.
func (h *host) room(of *occi.Entity, volume uuid.UUID, pool string, bytes int64) occi.Room {
	return occi.Room{Volume: volume, Entity: of.ID, Pool: poolKey(h.name, pool), Bytes: bytes, Limit: h.limit(pool)}
}

// rooms gives what the volumes of an entity take, as far as that can be told: of a
// machine's own disk if its image is known. A host without pools has none.
func (p *plan) rooms(x *occi.Entity) []occi.Room {
	h, k := p.e.host(x.Host), p.m.Kind(x.Kind)
	if h == nil || k == nil || len(h.offers()) == 0 {
		return nil
	}
	var out []occi.Room
	switch {
	case k.Host == "volume" && hypervisor.IsAdopted(x.ID) && !h.hasPool(h.poolOf(p.m, x)):
		// It is in a pool that is not offered.
	case k.Host == "volume":
		out = append(out, h.room(x, x.ID, h.poolOf(p.m, x), volumeOf(p.m, x).SizeBytes))
	case part(p.m, x).machine:
		if disk := ephemeral(p.m, x); disk != nil {
			out = append(out, h.room(x, disk.Volume, h.defaultPool(), bytesOf(role(p.m, x, roleEphemeral))))
		}
		if disk := root(p.m, x); disk != nil {
			if image := p.entity(imageOf(p.m, x)); image != nil {
				size := max(volumeOf(p.m, image).SizeBytes, bytesOf(role(p.m, x, roleDiskSize)))
				out = append(out, h.room(x, disk.Volume, h.poolOf(p.m, image), size))
			}
		}
	}
	return out
}

// takeRooms has the change take what volumes come to take with it. Of machines
// whose disks grow it reads the images, in one query.
func (p *plan) takeRooms(ctx context.Context) error {
	var images []uuid.UUID
	for _, x := range p.change.Puts {
		h, old := p.e.host(x.Host), p.known[x.ID]
		if h != nil && len(h.offers()) > 0 && old != nil && role(p.m, old, roleDiskSize) != role(p.m, x, roleDiskSize) {
			images = append(images, imageOf(p.m, x))
		}
	}
	if err := p.read(ctx, images); err != nil {
		return err
	}
	for _, x := range p.change.Puts {
		if x.Deleted || x.Host == "" {
			continue
		}
		var before []occi.Room
		if x.Revision > 0 {
			old := p.known[x.ID]
			if old == nil || old.Host != x.Host {
				continue
			}
			before = p.rooms(old)
		}
		after := p.rooms(x)
		for _, r := range before {
			if !slices.ContainsFunc(after, func(o occi.Room) bool { return o.Volume == r.Volume }) {
				r.Bytes = 0
				p.change.Rooms = append(p.change.Rooms, r)
			}
		}
		for _, r := range after {
			if !slices.ContainsFunc(before, func(o occi.Room) bool { return o.Volume == r.Volume }) {
				if err := p.comesTo(p.e.host(x.Host), r); err != nil {
					return err
				}
			}
			if !slices.Contains(before, r) {
				p.change.Rooms = append(p.change.Rooms, r)
			}
		}
	}
	return nil
}

// settleRooms puts down what the volumes of an entity take now that a task is over
// which may have changed that, whether they fit or not.
func (p *plan) settleRooms(w *occi.Entity) {
	if w == nil || w.Deleted || slices.ContainsFunc(p.change.Removes, func(r occi.Removal) bool { return r.ID == w.ID }) {
		return
	}
	for _, r := range p.rooms(w) {
		r.Limit = 0
		p.change.Rooms = append(p.change.Rooms, r)
	}
}

// resizes reports whether a task changes the size of a volume, or learns it.
func (p *plan) resizes(w *occi.Entity, t *occi.Task) bool {
	if !t.Attributes.Get(paramCopy).IsZero() {
		return true
	}
	k := p.m.Kind(w.Kind)
	if k == nil {
		return false
	}
	action := p.m.ActionOf(k, w.Mixins, t.Verb)
	return action != nil && operations[action.Do] != nil && operations[action.Do].sets == roleSize
}

// noRoom makes the answer to a client of a pool that is full, nil of any other
// error.
func noRoom(err error) error {
	var full *occi.NoRoom
	if !errors.As(err, &full) {
		return nil
	}
	_, pool, _ := strings.Cut(full.Pool, "\n")
	return conflict("the pool %s has no room for %s more: %s are free", pool, sizeText(full.Asked), sizeText(full.Free))
}

func sizeText(bytes int64) string {
	return strings.TrimSuffix(fmt.Sprintf("%.3f", float64(bytes)/gib), ".000") + " GiB"
}

// pools gives new volumes their pools: those that the client chose, of their hosts.
func (b *creation) pools() error {
	var ps []occi.Problem
	for _, x := range b.tops {
		k, h := b.m.Kind(x.Kind), b.e.host(x.Host)
		a := roleAttr(b.m, x, roleVolumePool)
		if a == nil || h == nil || k.Host != "volume" {
			continue
		}
		switch given := x.Attributes.Get(a.Name).Text; {
		case given == "" && h.defaultPool() != "":
			x.Attributes.Set(a.Name, occi.Str(h.defaultPool()))
		case given != "" && !h.hasPool(given):
			ps = append(ps, occi.Problem{What: a.Name, Text: b.e.noPool(h, given)})
		}
	}
	return occi.Problems(occi.Invalid, "it cannot be placed", ps)
}

// noPool says which pools there are instead of one.
func (e *Engine) noPool(h *host, name string) string {
	var here, all []string
	for _, o := range e.all() {
		for _, p := range o.offers() {
			if all = append(all, p.Name); o == h {
				here = append(here, p.Name)
			}
		}
	}
	slices.Sort(all)
	slices.Sort(here)
	switch all = slices.Compact(all); {
	case len(all) == 0:
		return fmt.Sprintf("there is no pool %q; the pools have no names here", name)
	case slices.Contains(all, name):
		return fmt.Sprintf("there is no pool %q on the host of what it is linked to; that has %s", name, strings.Join(here, ", "))
	}
	return fmt.Sprintf("there is no pool %q; there are %s", name, strings.Join(all, ", "))
}

// suits reports whether a host has the pools that new volumes are to be in.
func (b *creation) suits(h *host, xs []*occi.Entity) bool {
	for _, x := range xs {
		name := role(b.m, x, roleVolumePool).Text
		if name != "" && !h.hasPool(name) {
			return false
		}
		k := b.m.Kind(x.Kind)
		if (k.Host == "volume" || ephemeral(b.m, x) != nil) && h.closed(cmp.Or(name, h.defaultPool())) {
			return false
		}
	}
	return true
}

// account puts down what volumes take that were made before pools were accounted, of
// a page of rows.
func (s *survey) account(ctx context.Context, rows []*occi.Entity) error {
	p := s.h.e.plan(Caller{})
	if err := p.book(ctx, rows); err != nil || len(s.h.offers()) == 0 {
		return err
	}
	var want []occi.Room
	var ids []uuid.UUID
	for _, x := range rows {
		all := p.rooms(x)
		if disk := root(p.m, x); disk != nil && part(p.m, x).machine {
			if v, ok := s.found.made[disk.Volume]; ok {
				all = append(all, s.h.room(x, v.ID, v.Pool, v.SizeBytes))
			}
		}
		for _, r := range all {
			if v, ok := s.found.made[r.Volume]; ok && v.Pool != "" {
				r.Pool = poolKey(s.h.name, v.Pool)
			}
			r.Limit = 0
			want, ids = append(want, r), append(ids, r.Volume)
		}
	}
	have, err := s.h.e.store.Rooms(ctx, ids)
	if err != nil {
		return err
	}
	want = slices.DeleteFunc(want, func(r occi.Room) bool { _, ok := have[r.Volume]; return ok || r.Bytes <= 0 })
	if len(want) == 0 {
		return nil
	}
	err = s.h.e.store.Commit(ctx, &occi.Change{At: p.now, Rooms: want})
	if !errors.Is(err, occi.Conflict) {
		return err
	}
	// One of them is gone.
	for _, r := range want {
		if err := ignoreConflict(s.h.e.store.Commit(ctx, &occi.Change{At: p.now, Rooms: []occi.Room{r}})); err != nil {
			return err
		}
	}
	return nil
}
