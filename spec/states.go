package spec

import (
	"sort"

	"github.com/occid/occid/occi"
)

// statesAt tells where the parts of a kind's state machine are written.
type statesAt struct {
	self        place
	attribute   place
	message     place
	initial     place
	failed      place
	auto        place
	ready       place
	values      []place
	aliases     map[string]place
	transitions []place
}

// setStates gives a kind its state machine.
func (b *builder) setStates(src *source, k *occi.Kind, d *stateDef) {
	at := func(key string) place { return place{src, line(d.node, key), k.ID()} }
	k.States = &occi.States{Attribute: d.Attribute, Message: d.Message, Initial: d.Initial, Failed: d.Failed, Auto: d.Auto, Ready: d.Ready,
		Aliases: map[string]string{}}
	b.states[k.ID()] = &statesAt{self: place{src, d.node.Line, k.ID()}, attribute: at("attribute"), message: at("message"),
		initial: at("initial"), failed: at("failed"), auto: at("auto"), ready: at("ready"), aliases: map[string]place{}}
	b.addStates(src, k, d)
}

// addStates adds values, aliases and transitions to a kind's state machine.
func (b *builder) addStates(src *source, k *occi.Kind, d *stateDef) {
	s, at := k.States, b.states[k.ID()]
	if s == nil || at == nil {
		b.bad(place{src, d.node.Line, k.ID()}, "has no states of its own to extend")
		return
	}
	ext := at.self.line != d.node.Line || at.self.src != src
	for i, v := range d.Values {
		p := place{src, itemLine(d.node, "values", i), k.ID()}
		if has(s.Values, v) {
			b.bad(p, "state %q is there already", v)
			continue
		}
		s.Values = append(s.Values, v)
		at.values = append(at.values, p)
		if ext {
			b.widen(k, s.Attribute, v)
		}
	}
	for _, name := range sortedKeys(d.Aliases) {
		p := place{src, d.node.Line, k.ID()}
		if _, m := entry(d.node, "aliases"); m != nil {
			p.line = line(m, name)
		}
		if _, ok := s.Aliases[name]; ok {
			b.bad(p, "alias %q is there already", name)
			continue
		}
		s.Aliases[name] = d.Aliases[name]
		at.aliases[name] = p
	}
	for _, t := range d.Transitions {
		s.Transitions = append(s.Transitions, occi.Transition{From: t.From, Action: t.Action, To: t.To, Through: t.Through})
		at.transitions = append(at.transitions, place{src, t.node.Line, k.ID()})
	}
}

// widen adds a value to the enumeration of the attribute that holds the state.
func (b *builder) widen(k *occi.Kind, name, v string) {
	for _, p := range b.chain(k) {
		if a := p.Attribute(name); a != nil && len(a.Enum) > 0 && !has(a.Enum, v) {
			a.Enum = append(a.Enum[:len(a.Enum):len(a.Enum)], v)
		}
	}
}

// checkStates checks a kind's own state machine.
func (b *builder) checkStates(k *occi.Kind) {
	at, s := b.states[k.ID()], k.States
	if at == nil {
		return
	}
	holder := b.find(k, s.Attribute)
	switch {
	case holder == nil:
		b.bad(at.attribute, "state attribute %s is not among the kind's", s.Attribute)
	case holder.Type != occi.String:
		b.bad(at.attribute, "state attribute %s is not a string", s.Attribute)
	case !holder.Internal:
		b.bad(at.attribute, "state attribute %s must be internal", s.Attribute)
	}
	if s.Message != "" && b.find(k, s.Message) == nil {
		b.bad(at.message, "message attribute %s is not among the kind's", s.Message)
	}
	if !has(s.Values, s.Initial) {
		b.bad(at.initial, "initial state %q is not among the values", s.Initial)
	}
	if s.Failed != "" && !has(s.Values, s.Failed) {
		b.bad(at.failed, "failed state %q is not among the values", s.Failed)
	}
	if s.Auto != "" {
		if _, ok := s.Next(s.Initial, s.Auto); !ok {
			b.bad(at.auto, "no transition leads from %s by action %q", s.Initial, s.Auto)
		}
	}
	if s.Ready != "" && !has(s.Values, s.Ready) {
		b.bad(at.ready, "ready state %q is not among the values", s.Ready)
	}
	b.checkAliases(at, s)
	b.checkTransitions(k, at, s)
	b.checkValues(at, s, holder)
}

func (b *builder) checkAliases(at *statesAt, s *occi.States) {
	for _, name := range sortedKeys(s.Aliases) {
		if has(s.Values, name) {
			b.bad(at.aliases[name], "alias %q is a state itself", name)
		}
		if to := s.Aliases[name]; to != "" && !has(s.Values, to) {
			b.bad(at.aliases[name], "alias %q stands for unknown state %q", name, s.Aliases[name])
		}
	}
}

func (b *builder) checkTransitions(k *occi.Kind, at *statesAt, s *occi.States) {
	seen := map[[3]string]bool{}
	for i, t := range s.Transitions {
		p := at.transitions[i]
		for _, v := range []string{t.From, t.To} {
			if !has(s.Values, v) {
				b.bad(p, "transition names unknown state %q", v)
			}
		}
		if t.Action != "" && !b.hasAction(k, t.Action) {
			b.bad(p, "transition names unknown action %q", t.Action)
		}
		key := [3]string{t.From, t.Action}
		if t.Action == "" {
			key[2] = t.To
		}
		if seen[key] {
			b.bad(p, "there is another transition from %s by action %q", t.From, t.Action)
		}
		seen[key] = true
	}
}

// checkValues holds the states against what leads to them and against the
// attribute that holds them, nil if there is none.
func (b *builder) checkValues(at *statesAt, s *occi.States, holder *occi.Attribute) {
	reached := reachable(s)
	for i, v := range s.Values {
		if !reached[v] && has(s.Values, s.Initial) {
			b.bad(at.values[i], "state %q cannot be reached", v)
		}
		if holder != nil && len(holder.Enum) > 0 && !has(holder.Enum, v) {
			b.bad(at.values[i], "state %q is not in the enumeration of %s", v, s.Attribute)
		}
	}
}

// reachable lists the states that lead from the initial and the failed one.
func reachable(s *occi.States) map[string]bool {
	reached := map[string]bool{s.Initial: true}
	if s.Failed != "" {
		reached[s.Failed] = true
	}
	for again := true; again; {
		again = false
		for _, t := range s.Transitions {
			if reached[t.From] && !reached[t.To] {
				reached[t.To], again = true, true
			}
		}
	}
	return reached
}

func (b *builder) find(k *occi.Kind, name string) *occi.Attribute {
	for _, p := range b.chain(k) {
		if a := p.Attribute(name); a != nil {
			return a
		}
	}
	return nil
}

func (b *builder) hasAction(k *occi.Kind, term string) bool {
	for _, p := range b.chain(k) {
		for _, a := range p.Actions {
			if a.Term == term {
				return true
			}
		}
	}
	return false
}

func has(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

func sortedKeys(m map[string]string) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}
