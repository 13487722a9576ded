package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/occid/occid/occi"
)

const (
	// firstLookTime is how long a request waits for hosts that nobody has asked yet what
	// they are: the server has just begun.
	firstLookTime = 5 * time.Second
	// hostsShown is how many hosts are named that have no room.
	hostsShown = 50
)

// What machines may have of a host, times what it has, unless that is configured.
const (
	coresOvercommit  = 4
	memoryOvercommit = 1
)

// view is what the row of a host says of placing there.
type view struct {
	of version

	title  string
	state  string
	open   bool
	labels []string
	pools  []uuid.UUID
	cores  int64 // the most that may be taken; 0 for no limit
	memory int64 // bytes
}

// version tells how old a row is that was read.
type version struct{ serial, revision int64 }

func versionOf(x *occi.Entity) version { return version{x.Serial, x.Revision} }

// before reports whether another row of the same is newer.
func (v version) before(o version) bool {
	return v.serial < o.serial || v.serial == o.serial && v.revision < o.revision
}

// see takes in what the row of a host says, unless that is older than what it said before:
// rows are read by many at once.
func (h *host) see(m *occi.Model, x *occi.Entity) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if now := h.view.Load(); now != nil && versionOf(x).before(now.of) {
		return
	}
	limit := func(have, over string, unit float64) int64 {
		return int64(role(m, x, have).Num * role(m, x, over).Num * unit)
	}
	h.view.Store(&view{of: versionOf(x), title: x.Title, state: m.State(x), open: len(takesOf(m, x)) == 0, labels: strings.Fields(role(m, x, roleNodeLabels).Text), pools: poolsOf(m, x),
		cores: limit(roleNodeCores, roleNodeCoresOver, 1), memory: limit(roleNodeMemory, roleNodeMemoryOver, gib)})
}

// called is what people call the host.
func (h *host) called() string {
	if v := h.view.Load(); v != nil && v.title != "" {
		return v.title
	}
	return h.title
}

// seen takes in what a change said of hosts.
func (e *Engine) seen(m *occi.Model, puts []*occi.Entity) {
	for _, x := range puts {
		if part(m, x).stores {
			e.seenPool(m, x)
		}
		if !part(m, x).own {
			continue
		}
		h := e.host(x.Host)
		if h == nil {
			signal(e.regather)
			continue
		}
		// What the server has written itself of the host comes of a look at it.
		if v := h.view.Load(); v == nil || v.of != versionOf(x) {
			signal(h.relook)
		}
		h.see(m, x)
	}
}

// need is what is to be placed on one host.
type need struct {
	takes    []occi.Take
	sums     map[string]int64
	whats    []string // the keys of sums, in order
	machines bool
	labels   []string
	pools    []poolNeed
	leaves   int64            // how many of them are on another host now
	suits    func(*host) bool // it has the pools asked for
	// used tells what is taken of a host, by which it is judged.
	used func(host, what string) int64
}

// choose finds the host for what is to be placed, with what is taken as this server
// knows it, and promises it; or tells of each why not. The ledger is locked.
func (e *Engine) choose(among []*host, n *need) (*host, []occi.Problem) {
	var best *host
	var score float64
	var ps []occi.Problem
	for _, h := range among {
		v := h.view.Load()
		if why := n.refusal(h, v); why != "" {
			ps = append(ps, occi.Problem{What: h.called(), Text: why})
			continue
		}
		s := 0.0
		if n.machines {
			s = n.fullness(h, v)
		}
		if e.cfg.Pack {
			s = -s
		}
		if best == nil || s < score || s == score && h.placed.Load() < best.placed.Load() {
			best, score = h, s
		}
	}
	return best, ps
}

// fullness is the greater of the parts that are taken of what may be taken of a host.
func (n *need) fullness(h *host, v *view) float64 {
	part := func(what string, most int64) float64 {
		if most <= 0 {
			return 0
		}
		return float64(n.used(h.name, what)) / float64(most)
	}
	return math.Max(part(takeCores, v.cores), part(takeMemory, v.memory))
}

// refusal says why something cannot be placed on a host; "" if it can.
func (n *need) refusal(h *host, v *view) string {
	switch {
	case v == nil:
		return "not seen yet"
	case !v.open:
		return "in state " + v.state
	case !n.suits(h):
		return "without the pool"
	case !n.machines:
		return ""
	}
	for _, label := range n.labels {
		if !slices.Contains(v.labels, label) {
			return "without the label " + label
		}
	}
	for _, p := range n.pools {
		if !slices.Contains(v.pools, p.id) {
			return "not in the pool " + p.name
		}
	}
	for _, what := range n.whats {
		if why := n.short(h, v, what); why != "" {
			return why
		}
	}
	return ""
}

// short says why a host has not so much of something left; "" if it has.
func (n *need) short(h *host, v *view, what string) string {
	used, asked := n.used(h.name, what), n.sums[what]
	if group, ok := strings.CutPrefix(what, takeApart); ok {
		if used+asked > 1 {
			return "the group " + groupName(group) + " would have more than one there"
		}
		return ""
	}
	if group, ok := strings.CutPrefix(what, takeTogether); ok {
		if used == 0 && n.used("", what) > n.leaves {
			return "the group " + groupName(group) + " is on another host"
		}
		return ""
	}
	most := v.most(what)
	if most <= 0 || used+asked <= most {
		return ""
	}
	return shortText(what, asked, max(0, most-used))
}

// most is how much may be taken of something; 0 for no limit.
func (v *view) most(what string) int64 {
	switch what {
	case takeCores:
		return v.cores
	case takeMemory:
		return v.memory
	}
	return 0
}

// groupName is what people call a group.
func groupName(group string) string { return group[strings.LastIndexByte(group, '/')+1:] }

// shortText says that less is free of something than is needed.
func shortText(what string, asked, free int64) string {
	show := func(n int64) string { return strconv.FormatInt(n, 10) }
	if what == takeMemory {
		show = sizeText
	}
	return fmt.Sprintf("%s of %s free, %s needed", show(free), what, show(asked))
}

// limits are what bounds takes of a host. It is called with the ledger's mu held.
func (e *Engine) limits(h *host, takes []occi.Take) []occi.Limit {
	var out []occi.Limit
	v := h.view.Load()
	for what, amount := range sumTakes(takes) {
		switch {
		case strings.HasPrefix(what, takeApart):
			out = append(out, occi.Limit{Host: h.name, What: what, Most: 1})
		case strings.HasPrefix(what, takeTogether):
			// Those elsewhere: there are none as long as all are here.
			out = append(out, occi.Limit{What: what, Most: e.ledger.kept(h.name, what) + amount})
		case v != nil && v.most(what) > 0:
			out = append(out, occi.Limit{Host: h.name, What: what, Most: v.most(what)})
		}
	}
	slices.SortFunc(out, func(a, b occi.Limit) int { return cmp.Compare(a.What, b.What) })
	return out
}

// firstLook waits until the hosts were asked once what they are, or for a while.
func (e *Engine) firstLook(ctx context.Context) {
	late := time.NewTimer(firstLookTime)
	defer late.Stop()
	for _, h := range e.all() {
		select {
		case <-h.looked:
		case <-late.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// takes has the change say what its entities take.
func (p *plan) takes() {
	for _, x := range p.change.Puts {
		if !x.Deleted {
			x.Takes = takesOf(p.m, x)
		}
	}
}

// bounds bounds what the entities of the change come to take.
func (p *plan) bounds() {
	p.e.ledger.mu.Lock()
	defer p.e.ledger.mu.Unlock()
	for _, x := range p.change.Puts {
		old, h := p.known[x.ID], p.e.host(x.Host)
		if x.Deleted || h == nil || !part(p.m, x).machine || old == nil && x.Revision > 0 {
			continue
		}
		for _, at := range []*host{h, p.e.host(x.Moving)} {
			if at == nil {
				continue
			}
			var before map[string]int64
			if x.Revision > 0 {
				before = sumTakes(old.TakesOf(at.name))
			}
			var more []occi.Take
			for what, amount := range sumTakes(x.TakesOf(at.name)) {
				if amount > before[what] {
					more = append(more, occi.Take{What: what, Amount: amount - before[what]})
				}
			}
			p.bound(p.e.limits(at, more))
		}
	}
}

// bound adds limits to the change, each once.
func (p *plan) bound(limits []occi.Limit) {
	for _, l := range limits {
		i := slices.IndexFunc(p.change.Limits, func(o occi.Limit) bool { return o.Host == l.Host && o.What == l.What })
		switch {
		case i < 0:
			p.change.Limits = append(p.change.Limits, l)
		case l.Host == "":
			// Of each of several machines of a group.
			p.change.Limits[i].Most++
		}
	}
}

// book puts down what machines take that were made before that was accounted.
func (p *plan) book(ctx context.Context, rows []*occi.Entity) error {
	change := occi.Change{At: p.now}
	for _, x := range rows {
		if takes := takesOf(p.m, x); len(x.Takes) == 0 && len(takes) > 0 && !x.Deleted {
			w := x.Clone()
			w.Takes = takes
			change.Puts = append(change.Puts, w)
		}
	}
	if len(change.Puts) == 0 {
		return nil
	}
	// What others change meanwhile is put down with that.
	return ignoreConflict(p.e.store.Commit(ctx, &change))
}

// overload gives what a host has too little of, nil of any other error.
func overload(err error) *occi.Overload {
	var over *occi.Overload
	if errors.As(err, &over) {
		return over
	}
	return nil
}

// overloaded makes an error of what a host has too little of. What could be on another
// host is placed again, by what is stored.
func (p *plan) overloaded(ctx context.Context, over *occi.Overload, err error) error {
	if over.What == takeClosed && strings.Contains(over.Host, poolKey("", "")) {
		return errors.Join(err, p.e.gatherPools(ctx))
	}
	if over.What == takeClosed {
		return p.shut(ctx, over.Host, err)
	}
	if reread := p.e.ledger.reload(ctx, p.e.store, time.Now()); reread != nil {
		return reread
	}
	if len(p.placed) > 0 {
		return err
	}
	name := over.Host
	if h := p.e.host(over.Host); h != nil {
		name = h.called()
	}
	return final{occi.Problems(occi.Conflict, "there is no room for the change",
		[]occi.Problem{{What: name, Text: shortText(over.What, over.Asked, over.Free)}})}
}

// shut makes an error of a host on which nothing is to be placed, as its row says, which
// this server did not know yet.
func (p *plan) shut(ctx context.Context, name string, err error) error {
	if reread := p.e.reviewHosts(ctx); reread != nil {
		return reread
	}
	h := p.e.host(name)
	if len(p.placed) > 0 || h == nil {
		return err
	}
	if v := h.view.Load(); v != nil && !v.open {
		return conflict("the host %s is in state %s", h.called(), v.state)
	}
	return err
}

// reviewHosts reads what is shown of the hosts.
func (e *Engine) reviewHosts(ctx context.Context) error {
	page, err := e.store.List(ctx, &occi.Query{Kinds: kindsFor(e.Model(), "node")})
	if err != nil {
		return err
	}
	e.seen(e.Model(), page.Entities)
	return nil
}
