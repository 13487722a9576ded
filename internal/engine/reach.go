package engine

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/occid/occid/hypervisor"
	"github.com/occid/occid/occi"
)

// lookAgain is for how long it is believed what a host had in a pool that it shares with
// one that is lost.
const lookAgain = 10 * time.Second

// lostDisk is a volume without which a machine cannot be started elsewhere.
type lostDisk struct {
	volume uuid.UUID
	called string // by whom the machine belongs to
	at     *host  // that has it, nil if that is not known
	pool   string // there
}

// sharing gives a pool of the host, and tells whether others may share it.
func (h *host) sharing(name string) (p Pool, shared bool) {
	p, ok := h.pool(name)
	h.mu.Lock()
	defer h.mu.Unlock()
	return p, ok && (p.Type == hypervisor.PoolNFS || p.Shared || h.stored[name].shared)
}

// samePlace reports whether what is in a pool of one host is in that of another, too.
func samePlace(h, o *host, pool string) bool {
	here, shared := h.sharing(pool)
	there, also := o.sharing(pool)
	return h == o || shared && also && here.Type == there.Type && here.Source == there.Source && here.Target == there.Target
}

// poolLook is what a host had in a pool when it was asked to look into that.
type poolLook struct {
	at  time.Time
	has map[uuid.UUID]bool
	err error
}

// lookInto has another host look into a pool, unless it did a while ago.
func (h *host) lookInto(ctx context.Context, o *host, pool string) (map[uuid.UUID]bool, error) {
	key := poolKey(o.name, pool)
	if l, ok := h.looks[key]; ok && time.Since(l.at) < lookAgain {
		return l.has, l.err
	}
	bounded, cancel := context.WithTimeout(ctx, observeTime)
	defer cancel()
	l := poolLook{has: map[uuid.UUID]bool{}}
	var vols []hypervisor.VolumeStatus
	vols, l.err = o.drv.LookInto(bounded, pool)
	for _, v := range vols {
		l.has[v.ID] = true
	}
	l.at = time.Now()
	h.looks[key] = l
	return l.has, l.err
}

// reach lists the hosts that reach all disks of what is lost, or finds out which disk none
// does.
func (g *going) reach(ctx context.Context) error {
	if err := g.findDisks(ctx); err != nil || g.stays != "" {
		return err
	}
	var nearest lack
	for _, o := range g.e.all() {
		if o == g.h {
			continue
		}
		l := g.lacks(ctx, o)
		if l.nearness == reaches {
			g.among = append(g.among, o)
		}
		if nearest.why == "" || l.nearness > nearest.nearness {
			nearest = l
		}
	}
	if len(g.among) == 0 && len(g.disks) > 0 {
		g.stays = nearest.why
		if nearest.why == "" {
			g.stays = g.disks[0].apart().why
		}
	}
	return ctx.Err()
}

// lack is why a host cannot be given what is lost, in words for whom that belongs to, who
// need not know hosts; and how near it comes to that.
type lack struct {
	nearness int
	why      string
}

const (
	sharesNot = iota
	silent
	findsNot
	reaches
)

func (d *lostDisk) apart() lack {
	if d.pool == "" {
		return lack{sharesNot, d.called + " is on its host only"}
	}
	return lack{sharesNot, d.called + " is in the pool " + d.pool + ", which no other host shares"}
}

// lacks finds out whether a host reaches all disks.
func (g *going) lacks(ctx context.Context, o *host) lack {
	for i := range g.disks {
		if d := &g.disks[i]; d.at == nil || !samePlace(d.at, o, d.pool) {
			return d.apart()
		}
	}
	for _, d := range g.disks {
		has, err := g.h.lookInto(ctx, o, d.pool)
		if err != nil {
			g.e.log.Warn("a host cannot look into a pool that it shares with one that is lost", "host", o.name, "pool", d.pool, "error", err)
			return lack{silent, d.called + " is in the pool " + d.pool + ", which no other host can look into now"}
		}
		if !has[d.volume] {
			return lack{findsNot, d.called + " is not found in the pool " + d.pool + " by the other hosts that share it"}
		}
	}
	return lack{nearness: reaches}
}

// meet has a host learn what the lost one has left in the pools that they share: scratch
// space and config drives. Where it cannot, the task that needs them says so.
func (g *going) meet(ctx context.Context, to *host) {
	for _, p := range to.offers() {
		if samePlace(g.h, to, p.Name) {
			_, _ = g.h.lookInto(ctx, to, p.Name)
		}
	}
}

// findDisks lists the disks that must be reached from elsewhere, or finds out why one
// has to stay. Scratch space is none: it may begin empty.
func (g *going) findDisks(ctx context.Context) error {
	for _, u := range g.volumes {
		g.needs(u.ID, g.m.Path(u))
		switch {
		case isImage(g.m, u):
			g.stays = g.m.Path(u) + " is an image, which machines of its host share"
		case u.Host != g.h.name || u.Moving != "":
			g.stays = g.m.Path(u) + " is on another host"
		case len(u.Tasks) > 0:
			g.stays = g.m.Path(u) + " has a task that is not over"
		}
	}
	var images []uuid.UUID
	for _, x := range g.machines {
		images = append(images, imageOf(g.m, x))
	}
	if err := g.read(ctx, images); err != nil {
		return err
	}
	for i, x := range g.machines {
		disk := root(g.m, x)
		if disk == nil {
			continue
		}
		g.needs(disk.Volume, "its disk "+disk.Target)
		switch image := g.entity(images[i]); {
		case image == nil:
			g.stays = "the image " + role(g.m, x, roleImage).Text + " of its disk " + disk.Target + " is gone"
		case isImage(g.m, image):
			// The disk holds only what differs from that.
			g.needs(image.ID, "the image "+g.m.Path(image)+" of its disk "+disk.Target)
		}
	}
	return g.findPools(ctx)
}

// needs adds a volume to the disks, once.
func (g *going) needs(volume uuid.UUID, called string) {
	if !slices.ContainsFunc(g.disks, func(d lostDisk) bool { return d.volume == volume }) {
		g.disks = append(g.disks, lostDisk{volume: volume, called: called})
	}
}

// findPools finds out where the disks are.
func (g *going) findPools(ctx context.Context) error {
	var ids []uuid.UUID
	for _, d := range g.disks {
		ids = append(ids, d.volume)
	}
	rooms, err := g.e.store.Rooms(ctx, ids)
	for i := range g.disks {
		d := &g.disks[i]
		at, pool, _ := strings.Cut(rooms[d.volume].Pool, "\n")
		d.at, d.pool = g.e.host(at), pool
	}
	return err
}

// leftAlone reports whether what a machine that was moved off the host has of scratch
// space there is what it uses where it is now.
func (h *host) leftAlone(ctx context.Context, x *occi.Entity, scratch uuid.UUID) (bool, error) {
	if x == nil || !slices.ContainsFunc(h.offers(), func(p Pool) bool { _, shared := h.sharing(p.Name); return shared }) {
		return false, nil
	}
	v, err := onHost(ctx, h.drv, scratch)
	if v == nil || err != nil {
		return false, err
	}
	_, shared := h.sharing(v.Pool)
	o := h.e.host(x.Host)
	return shared && (o == nil || samePlace(h, o, v.Pool)), nil
}
