package engine

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/occid/occid/occi"
)

// What is taken of hosts. Groups are those of a project.
const (
	takeCores    = "cores"
	takeMemory   = "memory" // bytes
	takeMachines = "computes"
	// takeClosed is what a host takes of itself that nothing is to be placed on.
	takeClosed   = "closed"
	takeApart    = "apart "
	takeTogether = "together "
)

// ledger is what this server knows of what is taken of the hosts. It chooses by that;
// the store alone decides whether there is room.
type ledger struct {
	reading sync.Mutex // held while the store is asked
	begun   time.Time  // when it was asked last; of reading

	mu sync.Mutex
	// taken is as the store says, with what this server has placed since; promised is
	// what requests under way are about to take.
	taken, promised amounts
	moves           int // counts the changes of taken that are not the store's
	// ended is when the store's last answer was there. What was begun to be stored before
	// that may be in it, and is not added: too little is mended by the store's refusal,
	// too much would refuse what there is room for.
	ended time.Time
	// doubtful is whether there was such: the store is asked before the next choice that
	// no other request is in the way of.
	doubtful bool
}

// amounts are what is taken, by host and what; of all hosts under no name.
type amounts map[string]map[string]int64

// staleTime is how long an answer of the store is preferred to none that came while
// something was placed here.
const staleTime = 10 * time.Second

// reload asks the store, unless that was done after a time already.
func (l *ledger) reload(ctx context.Context, st Store, after time.Time) error {
	return l.ask(ctx, st, after, func(bool) bool { return true })
}

// refresh asks the store for what other servers place. What comes while something is
// placed here may be without that, and is taken only if there was nothing else for long.
func (l *ledger) refresh(ctx context.Context, st Store, every time.Duration) error {
	return l.ask(ctx, st, time.Now().Add(-every), func(moved bool) bool { return !moved || time.Since(l.begun) > staleTime })
}

// ask has what the store says taken over if it is to be, given whether something was
// placed here meanwhile.
func (l *ledger) ask(ctx context.Context, st Store, after time.Time, take func(moved bool) bool) error {
	l.reading.Lock()
	defer l.reading.Unlock()
	if l.begun.After(after) {
		return nil
	}
	l.mu.Lock()
	moves := l.moves
	l.mu.Unlock()
	begun := time.Now()
	loads, err := st.Loads(ctx)
	if err != nil {
		return err
	}
	taken := amounts{}
	for _, o := range loads {
		taken.add(o.Host, o.What, o.Amount)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if take(moves != l.moves) {
		l.taken, l.begun, l.ended, l.doubtful = taken, begun, time.Now(), moves != l.moves
	}
	return nil
}

// unsure reports whether the store should be asked before hosts are chosen. While
// requests are under way its answer would be as doubtful.
func (l *ledger) unsure() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.doubtful && !slices.ContainsFunc(slices.Collect(maps.Values(l.promised)), func(of map[string]int64) bool { return len(of) > 0 })
}

// kept gives what is stored as taken. It is called with mu held.
func (l *ledger) kept(host, what string) int64 { return l.taken[host][what] }

// used adds to that what is promised, of which some may be stored by now. It is called
// with mu held.
func (l *ledger) used(host, what string) int64 {
	return l.taken[host][what] + l.promised[host][what]
}

// add adds to what is taken of a host.
func (a amounts) add(host, what string, amount int64) {
	of := a[host]
	if of == nil {
		of = map[string]int64{}
		a[host] = of
	}
	if of[what] += amount; of[what] == 0 {
		delete(of, what)
	}
}

// takes adds takes of a host, a number of times.
func (a *amounts) takes(host string, takes []occi.Take, times int64) {
	if *a == nil {
		*a = amounts{}
	}
	for _, t := range takes {
		switch {
		case t.Shared:
			a.add("", t.What, times*t.Amount)
		case t.Host != "":
			a.add(t.Host, t.What, times*t.Amount)
		default:
			a.add(host, t.What, times*t.Amount)
		}
	}
}

// placing is what a request is about to take of a host.
type placing struct {
	host  string
	takes []occi.Take
}

// settle ends the promises of a plan, which were stored or came to nothing.
func (l *ledger) settle(p *plan) {
	l.mu.Lock()
	defer l.mu.Unlock()
	known := l.ended.Before(p.storing)
	for _, placed := range p.placed {
		l.promised.takes(placed.host, placed.takes, -1)
		if !p.stored {
			continue
		}
		l.moves++
		if known {
			l.taken.takes(placed.host, placed.takes, 1)
		} else {
			l.doubtful = true
		}
	}
}

// free puts down that what entities took is free.
func (l *ledger) free(xs ...*occi.Entity) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, x := range xs {
		l.moves++
		l.taken.takes(x.Host, x.Takes, -1)
	}
}

// changed puts down what entities take that there were before.
func (l *ledger) changed(p *plan) {
	l.mu.Lock()
	defer l.mu.Unlock()
	known := l.ended.Before(p.storing)
	for _, x := range p.change.Puts {
		old := p.known[x.ID]
		if old == nil || slices.Equal(old.Takes, x.Takes) && old.Host == x.Host {
			continue
		}
		l.moves++
		if known {
			l.taken.takes(old.Host, old.Takes, -1)
			l.taken.takes(x.Host, x.Takes, 1)
		} else {
			l.doubtful = true
		}
	}
}

// takesOf lists what an entity takes of its host.
func takesOf(m *occi.Model, x *occi.Entity) []occi.Take {
	switch p := part(m, x); {
	case x.Host == "":
		return nil
	case p.own:
		if k := m.Kind(x.Kind); k.States != nil && m.State(x) != reachableState(k.States) {
			return []occi.Take{{What: takeClosed, Amount: 1}}
		}
		return nil
	case p.stores:
		// It is out of use, unless it is only not there.
		if k := m.Kind(x.Kind); k.States != nil && m.State(x) != reachableState(k.States) && m.State(x) != k.States.Initial {
			return []occi.Take{{What: takeClosed, Amount: 1}}
		}
		return nil
	case !p.machine:
		return nil
	}
	takes := []occi.Take{{What: takeCores, Amount: int64(role(m, x, roleVCPUs).Num)},
		{What: takeMemory, Amount: bytesOf(role(m, x, roleMemory))}, {What: takeMachines, Amount: 1}}
	if group := role(m, x, roleApart).Text; group != "" {
		takes = append(takes, occi.Take{What: takeApart + x.Project + "/" + group, Amount: 1})
	}
	if group := role(m, x, roleTogether).Text; group != "" {
		what := takeTogether + x.Project + "/" + group
		takes = append(takes, occi.Take{What: what, Amount: 1}, occi.Take{What: what, Amount: 1, Shared: true})
	}
	if x.Moving != "" {
		for _, t := range slices.Clone(takes) {
			if t.Host = x.Moving; !t.Shared {
				takes = append(takes, t)
			}
		}
	}
	return takes
}

// sumTakes adds up takes by what is taken, those of all hosts left out.
func sumTakes(takes []occi.Take) map[string]int64 {
	all := map[string]int64{}
	for _, t := range takes {
		if !t.Shared {
			all[t.What] += t.Amount
		}
	}
	return all
}
