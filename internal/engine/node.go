package engine

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/occid/occid/hypervisor"
	"github.com/occid/occid/occi"
)

const (
	// describeTime bounds the question to a host what it is. One that hangs is known to
	// be down after that and Config.Describe; one that is only busy may take seconds.
	describeTime = 10 * time.Second
	// remainShown is how many machines are named that a host keeps.
	remainShown = 20
)

// noConnection begins the message of a host that does not answer.
const noConnection = "no connection: "

// nodeSpace is what UUIDs of hosts are made in. All servers of a database find the same
// for a name without asking the host, whose own may be another's too: hosts in
// containers of one machine share its firmware.
var nodeSpace = uuid.MustParse("6f1b1a6e-6f63-5c69-8468-6f7374730001")

// nodeID is the UUID under which a host of a name is shown.
func nodeID(name string) uuid.UUID { return uuid.NewSHA1(nodeSpace, []byte(name)) }

// enrol makes what hosts are shown as, of those that are new. What is shown of one that
// is configured no more, and that no other server watches, is down.
func (e *Engine) enrol(ctx context.Context) error {
	kinds := kindsFor(e.Model(), "node")
	if len(kinds) == 0 {
		return nil
	}
	watched, err := e.watched(ctx)
	if err != nil {
		return err
	}
	_, err = retry(ctx, func() (*Outcome, error) {
		page, err := e.store.List(ctx, &occi.Query{Kinds: kinds})
		if err != nil {
			return nil, err
		}
		p := e.plan(Caller{})
		known := map[string]bool{}
		for _, x := range page.Entities {
			known[x.Host] = true
			if e.opens(p.m, x) {
				continue
			}
			if s := p.m.Kind(x.Kind).States; e.host(x.Host) == nil && !watched[x.Host] && p.m.State(x) != s.Initial {
				w := p.put(x)
				w.Attributes.Set(s.Attribute, occi.Str(s.Initial))
				p.say(w, "not in the configuration of the server that was started last")
			}
		}
		for _, h := range e.all() {
			if !known[h.name] && !h.added {
				p.put(h.newNode(p.m, kinds[0]))
			}
		}
		e.seen(p.m, page.Entities)
		if len(p.change.Puts) == 0 {
			return nil, nil
		}
		p.takes()
		err = e.store.Commit(ctx, &p.change)
		if err == nil {
			e.seen(p.m, p.change.Puts)
		}
		return nil, err
	})
	return err
}

// newNode gives what a host is shown as before it is known.
func (h *host) newNode(m *occi.Model, kind string) *occi.Entity {
	x := &occi.Entity{ID: nodeID(h.name), Kind: kind, Host: h.name, Title: h.title}
	if s := m.Kind(kind).States; s != nil {
		x.Attributes.Set(s.Attribute, occi.Str(s.Initial))
		say(m, x, noConnection+"not tried yet")
	}
	return x
}

// describe keeps what a host is shown as true to what it tells of itself.
func (h *host) describe(ctx context.Context) {
	tick := time.NewTicker(h.e.cfg.Describe)
	defer tick.Stop()
	first := sync.OnceFunc(func() { close(h.looked) })
	for {
		select {
		case <-h.relook: // that is what is done now
		default:
		}
		if err := h.describeOnce(ctx); err != nil && ctx.Err() == nil {
			h.e.log.Warn("what is shown of a host was not brought up to date", "host", h.name, "error", err)
		}
		first()
		select {
		case <-ctx.Done():
			return
		case <-h.relook:
		case <-tick.C:
		}
	}
}

// info asks the host what it is, which it must answer soon.
func (h *host) info(ctx context.Context) (hypervisor.Info, error) {
	ctx, cancel := context.WithTimeout(ctx, describeTime)
	defer cancel()
	return h.drv.Info(ctx)
}

// describeOnce asks the host and writes what it tells, if that is news.
func (h *host) describeOnce(ctx context.Context) error {
	info, fault := h.info(ctx)
	if ctx.Err() != nil {
		return nil
	}
	watches, certain, err := h.attend(ctx, fault == nil)
	if err != nil {
		return err
	}
	if err := h.e.ledger.refresh(ctx, h.e.store, h.e.cfg.Describe/2); err != nil {
		return err
	}
	_, err = retry(ctx, func() (*Outcome, error) {
		x, err := h.e.anyway(ctx, nodeID(h.name))
		if err == nil && x == nil && h.added {
			signal(h.e.regather)
			return nil, nil
		}
		if err == nil && x == nil {
			// Another server, which does not have the host, let it be deleted.
			err = h.e.enrol(ctx)
		}
		if err != nil || x == nil {
			return nil, err
		}
		m := h.e.Model()
		if !watches || !certain {
			h.see(m, x)
			return nil, nil
		}
		if fault == nil {
			if fault = h.cleanse(ctx, m, x); fault != nil {
				fault = fmt.Errorf("what was moved off it is not removed: %w", fault)
			}
		}
		w := x.Clone()
		h.heard(m, w, info, fault)
		w.Takes = takesOf(m, w)
		if !same(x, w) || !slices.Equal(x.Takes, w.Takes) {
			if err := h.e.store.Commit(ctx, &occi.Change{At: h.e.now(), Puts: []*occi.Entity{w}}); err != nil {
				return nil, err
			}
		}
		h.see(m, w)
		return nil, nil
	})
	if err == nil && watches && certain && fault != nil {
		err = h.markLost(ctx)
	}
	if err == nil && watches && certain {
		err = h.showPools(ctx)
	}
	return err
}

// heard puts down what a host has told, or why it did not. What an operator has taken
// out of use stays so.
func (h *host) heard(m *occi.Model, w *occi.Entity, info hypervisor.Info, fault error) {
	if !h.added {
		w.Title = h.title
	}
	k := m.Kind(w.Kind)
	if k == nil || k.States == nil {
		return
	}
	h.allocated(m, w)
	state, reachable := m.State(w), reachableState(k.States)
	aside := state != k.States.Initial && state != reachable
	if fault != nil {
		if !aside {
			w.Attributes.Set(k.States.Attribute, occi.Str(k.States.Initial))
		}
		text := noConnection + firstLine(fault.Error())
		if why := h.fence.fault.Load(); why != nil {
			text += "; " + *why
		}
		say(m, w, text)
		return
	}
	rules := h.rulesOf(m, w)
	own := rules.apply(&info)
	for _, row := range nodeRows {
		setRole(m, w, row.role, row.value(own))
	}
	var coresOver, memoryOver occi.Value
	if !own.Simulated {
		coresOver = occi.Float(cmp.Or(rules.CoresOvercommit, coresOvercommit))
		memoryOver = occi.Float(cmp.Or(rules.MemoryOvercommit, memoryOvercommit))
	}
	if !h.added || !own.Simulated {
		setRole(m, w, roleNodeCoresOver, coresOver)
		setRole(m, w, roleNodeMemoryOver, memoryOver)
	}
	setRole(m, w, roleNodeFenced, occi.Value{})
	setRole(m, w, roleNodeMoved, occi.Value{})
	if !aside {
		w.Attributes.Set(k.States.Attribute, occi.Str(reachable))
	}
	if !aside || strings.HasPrefix(w.Attributes.Get(k.States.Message).Text, noConnection) {
		say(m, w, "")
	}
}

// rulesOf gives what the operator says of a host: in the configuration, or in the row of
// one that was added.
func (h *host) rulesOf(m *occi.Model, x *occi.Entity) *Host {
	if !h.added {
		return &h.rules
	}
	return &Host{Labels: strings.Fields(role(m, x, roleNodeLabels).Text), Cores: int(role(m, x, roleNodeCoresOffered).Num),
		MemoryBytes:     bytesOf(role(m, x, roleNodeMemoryOffered)),
		CoresOvercommit: role(m, x, roleNodeCoresOver).Num, MemoryOvercommit: role(m, x, roleNodeMemoryOver).Num}
}

// apply gives what a host has as its operator says, who need not.
func (r *Host) apply(info *hypervisor.Info) *hypervisor.Info {
	own := *info
	own.CPUs = cmp.Or(r.Cores, info.CPUs)
	own.MemoryBytes = cmp.Or(r.MemoryBytes, info.MemoryBytes)
	own.Simulated = r.Unlimited || info.Simulated && r.Cores == 0 && r.MemoryBytes == 0
	return &own
}

// allocated puts down what is taken of a host and by which rules it may be.
func (h *host) allocated(m *occi.Model, w *occi.Entity) {
	l := &h.e.ledger
	l.mu.Lock()
	cores, memory, machines := l.kept(h.name, takeCores), l.kept(h.name, takeMemory), l.kept(h.name, takeMachines)
	l.mu.Unlock()
	setRole(m, w, roleNodeCoresUsed, occi.Int(cores))
	setRole(m, w, roleNodeMemoryUsed, inGiB(memory))
	setRole(m, w, roleNodeComputes, occi.Int(machines))
	setRole(m, w, roleNodeLabels, textValue(strings.Join(h.rulesOf(m, w).Labels, " ")))
}

// reachableState is the state that hosts come to by themselves.
func reachableState(s *occi.States) string {
	for _, t := range s.Transitions {
		if t.From == s.Initial && t.Action == "" {
			return t.To
		}
	}
	return s.Initial
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

// nodeRows are what hosts tell of themselves.
var nodeRows = []struct {
	role  string
	value func(*hypervisor.Info) occi.Value
}{
	{roleNodeName, func(i *hypervisor.Info) occi.Value { return textValue(i.Hostname) }},
	{roleNodeID, func(i *hypervisor.Info) occi.Value {
		if i.ID == uuid.Nil {
			return occi.Value{}
		}
		return occi.Str(i.ID.String())
	}},
	{roleNodeArch, func(i *hypervisor.Info) occi.Value { return textValue(i.Arch) }},
	{roleNodeHypervisor, func(i *hypervisor.Info) occi.Value { return textValue(i.Hypervisor) }},
	{roleNodeVersion, func(i *hypervisor.Info) occi.Value { return textValue(i.Version) }},
	{roleNodeManager, func(i *hypervisor.Info) occi.Value { return textValue(i.ManagerVersion) }},
	{roleNodeCores, func(i *hypervisor.Info) occi.Value { return occi.Int(int64(i.CPUs)) }},
	{roleNodeMemory, func(i *hypervisor.Info) occi.Value { return inGiB(i.MemoryBytes) }},
}

// textValue is a text as a value, the zero Value if there is none.
func textValue(text string) occi.Value {
	if text == "" {
		return occi.Value{}
	}
	return occi.Str(text)
}

// machines lists the machines on the host, in order of creation.
func (h *host) machines(ctx context.Context) ([]*occi.Entity, error) {
	var out []*occi.Entity
	of := occi.Either{Kinds: kindsFor(h.e.Model(), "domain")}
	for after := int64(0); ; {
		rows, err := h.e.store.HostMembers(ctx, h.name, of, after, sweepPage)
		if err != nil {
			return nil, err
		}
		if out = append(out, rows...); len(rows) < sweepPage {
			return out, nil
		}
		after = rows[len(rows)-1].Seq
	}
}

// activateNode makes sure that machines can be placed on a host.
func activateNode(ctx context.Context, j *job) error {
	_, err := j.drv.Info(ctx)
	return err
}

// dispensable refuses to delete a host that this server has, or that machines and
// others are on.
func (r *removal) dispensable(ctx context.Context, x *occi.Entity) error {
	switch ops := part(r.m, x); {
	case ops.stores:
		return r.unused(ctx, x)
	case ops.houses:
		return occi.E(occi.Forbidden, "%s goes with its pool", r.m.Path(x))
	case ops.stray:
		return occi.E(occi.Forbidden, "%s goes when its host does not have it any more", r.m.Path(x))
	case !ops.own:
		return nil
	}
	if h := r.e.host(x.Host); h != nil && !h.added {
		return occi.E(occi.Forbidden, "%s is in the server's configuration; it can be deleted once it is not", r.m.Path(x))
	}
	placed, err := r.e.store.HostRevisions(ctx, x.Host)
	if err != nil {
		return err
	}
	if len(placed) > 0 {
		return conflict("%s has %d resources that are placed on it", r.m.Path(x), len(placed))
	}
	if len(x.Tasks) > 0 {
		return conflict("%s has a task that is under way", r.m.Path(x))
	}
	r.change.Vacant = append(r.change.Vacant, x.Host)
	if err := r.poolsGo(ctx, x); err != nil {
		return err
	}
	if err := r.straysGo(ctx, x.Host); err != nil {
		return err
	}
	// Nor may a machine be on its way to it.
	r.bound([]occi.Limit{{Host: x.Host, What: takeMachines, Gate: true}})
	return nil
}
