package engine_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/occid/occid/internal/auth"
	"github.com/occid/occid/internal/engine"
	"github.com/occid/occid/occi"
)

const (
	securityGroup = "http://schemas.occid.org/occi/network#security_group"
	groupRules    = "occid.security.rules"
)

// group describes a security group of a user.
func group(term, rules string, depends ...string) occi.DraftCategory {
	if len(depends) == 0 {
		depends = []string{securityGroup}
	}
	return occi.DraftCategory{ID: tags + term, Depends: depends, Attributes: []occi.DraftAttr{{Name: groupRules, Value: occi.Str(rules)}}}
}

// regroup defines a group, as ann, and waits until all that have it follow.
func (c *cloud) regroup(d occi.DraftCategory) *engine.Outcome {
	c.t.Helper()
	out, err := c.Define(c.ctx, engine.Caller{Name: "ann", Project: "lab", Roles: auth.Member}, []occi.DraftCategory{d}, engine.Options{})
	if err == nil {
		err = c.Wait(c.ctx, out.IDs())
	}
	if err != nil {
		c.t.Fatal(err)
	}
	return out
}

// member gives a mixin to an entity, or takes it.
func (c *cloud) member(mixin string, id uuid.UUID, add bool) {
	c.t.Helper()
	m := engine.Members{Add: refs(id)}
	if !add {
		m = engine.Members{Drop: refs(id)}
	}
	out, err := c.Associate(c.ctx, engine.Caller{}, mixin, m, engine.Options{})
	if err == nil {
		err = c.Wait(c.ctx, out.IDs())
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

// ins tells what may come in to the interfaces of a machine on its host.
func (c *cloud) ins(vm uuid.UUID) string {
	c.host.mu.Lock()
	defer c.host.mu.Unlock()
	var out []string
	for _, n := range c.host.domains[vm].NICs {
		var rules []string
		for _, r := range n.Rules {
			text := r.Protocol
			if r.ToPort > 0 {
				text += fmt.Sprintf(" %d-%d", r.FromPort, r.ToPort)
			}
			if r.Source.IsValid() {
				text += " " + r.Source.String()
			}
			rules = append(rules, text)
		}
		slices.Sort(rules)
		switch {
		case !n.Filtered:
			out = append(out, "spoofing")
		case n.Grouped:
			out = append(out, "["+strings.Join(rules, ", ")+"]")
		default:
			out = append(out, "all")
		}
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

func TestSecurityGroups(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	vm, net := c.create(draft(compute)), c.create(draft(network))
	one, two := c.create(link(nic, vm, net)), c.create(link(nic, vm, net))
	want := func(when, ins string) {
		t.Helper()
		if got := c.ins(vm.ID); got != ins {
			t.Errorf("%s: %s may come in, want %s", when, got, ins)
		}
	}
	want("without groups", "all all")
	c.regroup(group("ssh", "tcp 22 198.51.100.7/24"))
	c.regroup(group("web", "tcp 80; tcp 443"))
	c.member(tags+"ssh", one.ID, true)
	want("a group of an interface", "[tcp 22-22 198.51.100.0/24] all")
	if got := c.get(one.ID).Attributes.Get(groupRules); !got.IsZero() {
		t.Errorf("the group's rules were copied: %s", got)
	}
	c.member(tags+"web", vm.ID, true)
	want("a group of the machine", "[tcp 22-22 198.51.100.0/24, tcp 443-443, tcp 80-80] [tcp 443-443, tcp 80-80]")
	if out := c.regroup(group("web", "tcp 80\nudp")); len(out.Tasks) != 1 || len(out.Defined) != 1 {
		t.Errorf("defining a group anew left the tasks %v and defined %v", out.Tasks, out.Defined)
	}
	want("the group changed", "[tcp 22-22 198.51.100.0/24, tcp 80-80, udp] [tcp 80-80, udp]")
	if out := c.regroup(group("web", "udp; tcp 80")); len(out.Tasks) != 1 {
		t.Errorf("another order left the tasks %v", out.Tasks)
	}
	c.update(two, groupRules, "icmp")
	want("an interface with rules of its own", "[icmp, tcp 80-80, udp] [tcp 22-22 198.51.100.0/24, tcp 80-80, udp]")
	c.member(tags+"web", vm.ID, false)
	c.regroup(group("ssh", ""))
	want("a group that lets nothing in", "[] [icmp]")
	c.member(securityGroup, two.ID, false)
	c.undefine(tags + "ssh")
	c.until("the groups are gone", func() bool { return c.ins(vm.ID) == "all all" })
	c.host.mu.Lock()
	if slices.ContainsFunc(c.host.log, func(op string) bool { return strings.HasPrefix(op, "detach") }) {
		t.Errorf("an interface was unplugged: %q", c.host.log)
	}
	c.host.mu.Unlock()
	c.update(one, "occi.networkinterface.mac", "02:00:00:00:00:77", groupRules, "tcp")
	c.host.mu.Lock()
	defer c.host.mu.Unlock()
	if !slices.ContainsFunc(c.host.log, func(op string) bool { return strings.HasPrefix(op, "detach") }) {
		t.Errorf("an interface with another address was not plugged in anew: %q", c.host.log)
	}
}

// TestGroupsOfGroups has groups that depend on others, some of which are not there
// yet.
func TestGroupsOfGroups(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	vm, net := c.create(draft(compute)), c.create(draft(network))
	eth := c.create(link(nic, vm, net))
	want := func(when, ins string) {
		t.Helper()
		c.until(when, func() bool { return c.ins(vm.ID) == ins })
	}
	c.regroup(group("more", "udp 53", securityGroup, tags+"base"))
	c.member(tags+"more", eth.ID, true)
	want("a group whose base is missing", "[udp 53-53]")
	c.regroup(group("base", "tcp 22"))
	want("the base is there", "[tcp 22-22, udp 53-53]")
	c.regroup(group("base", "tcp 23"))
	want("the base is defined anew", "[tcp 23-23, udp 53-53]")
	c.undefine(tags + "base")
	want("the base is gone", "[udp 53-53]")
	c.shut()
	c.open()
	c.update(vm, "occi.core.title", "again")
	want("after a restart", "[udp 53-53]")
}

func TestGroupsThatAreRefused(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	vm := c.create(draft(compute))
	define := func(who string, d occi.DraftCategory) error {
		_, err := c.Define(c.ctx, engine.Caller{Name: who, Project: map[string]string{"ann": "lab", "bob": "other"}[who], Roles: auth.Member}, []occi.DraftCategory{d}, engine.Options{})
		return err
	}
	c.regroup(group("ssh", "tcp 22"))
	wantClass(t, define("ann", group("ssh", "tcp 22; banana")), occi.Invalid, groupRules, "rule 2", "banana")
	wantClass(t, define("bob", group("ssh", "tcp 23")), occi.Conflict, "ssh")
	if _, err := c.Define(c.ctx, engine.Caller{}, []occi.DraftCategory{group("all", "tcp 22")}, engine.Options{}); err != nil {
		t.Fatal(err)
	}
	wantClass(t, define("bob", group("all", "tcp 23")), occi.Forbidden, "all", "everybody's")
	other := group("ssh", "tcp 23")
	other.Title = "SSH"
	wantClass(t, define("ann", other), occi.Conflict, "ssh")
	if err := define("ann", occi.DraftCategory{ID: tags + "ssh", Depends: []string{securityGroup}}); err != nil {
		t.Errorf("to tell of a group without its rules gives %v", err)
	}
	if got := c.Model().Mixin(tags + "ssh").Attributes[0].Default.Text; got != "tcp 22" {
		t.Errorf("the group's rules are %q", got)
	}

	// As many rules as an entity can have are in four full groups.
	full := func(k int) string {
		var rules []string
		for i := range 64 {
			rules = append(rules, fmt.Sprintf("tcp %d", 64*k+i+1))
		}
		return strings.Join(rules, ";")
	}
	for k := range 4 {
		c.regroup(group(fmt.Sprint("full", k), full(k)))
		c.member(tags+fmt.Sprint("full", k), vm.ID, true)
	}
	_, err := c.Associate(c.ctx, engine.Caller{}, tags+"ssh", engine.Members{Add: refs(vm.ID)}, engine.Options{})
	if err != nil {
		t.Errorf("a rule that is there already is too much: %v", err)
	}
	wantClass(t, define("ann", group("ssh", "udp 1")), occi.Conflict, vm.ID.String(), "257 rules")
	c.regroup(group("more", "udp 1"))
	_, err = c.Associate(c.ctx, engine.Caller{}, tags+"more", engine.Members{Add: refs(vm.ID)}, engine.Options{})
	wantClass(t, err, occi.Invalid, groupRules, "257 rules")
	d := draft(compute)
	d.Mixins = []string{tags + "full0", tags + "full1", tags + "full2", tags + "full3", tags + "more"}
	_, err = c.try(d)
	wantClass(t, err, occi.Invalid, groupRules, "257 rules")
}

// TestGroupsAsTheyAreNow has a task see what a group is as it is left, however soon it is
// claimed.
func TestGroupsAsTheyAreNow(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	vm, net := c.create(draft(compute)), c.create(draft(network))
	c.create(link(nic, vm, net))
	c.regroup(group("web", "tcp 80"))
	c.member(tags+"web", vm.ID, true)
	for i := range 20 {
		port := 1000 + i
		c.regroup(group("web", fmt.Sprintf("tcp %d", port)))
		if got, want := c.ins(vm.ID), fmt.Sprintf("[tcp %d-%d]", port, port); got != want {
			t.Fatalf("%s may come in, want %s", got, want)
		}
	}
}
