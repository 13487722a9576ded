package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/occid/occid/hypervisor"
	"github.com/occid/occid/hypervisor/libvirt"
	"github.com/occid/occid/internal/engine"
)

// standardPool is the one that each host has without being told.
const standardPool = "occid"

// standardDir is where that is, unless it is described.
const standardDir = "/var/lib/libvirt/images/occid"

// pool is a pool as --pools describes it.
type pool struct {
	host  string // whose it is, all hosts' if empty
	there libvirt.Pool
	rules engine.Pool
}

// parsePool reads NAME=TYPE:SOURCE and what follows it, separated by commas.
func parsePool(text string) (pool, error) {
	var p pool
	bad := func(format string, args ...any) (pool, error) {
		return pool{}, fmt.Errorf("--pools: %s: %s", text, fmt.Sprintf(format, args...))
	}
	parts := strings.Split(text, ",")
	name, of, ok := strings.Cut(parts[0], "=")
	kind, source, ok2 := strings.Cut(of, ":")
	if !ok || !ok2 || name == "" || source == "" {
		return bad("NAME=TYPE:SOURCE is meant, as in fast=dir:/srv/fast")
	}
	p.there = libvirt.Pool{Name: name, Type: libvirt.PoolType(kind), Source: source}
	p.rules.Name, p.rules.Type, p.rules.Source = name, kind, source
	switch p.there.Type {
	case libvirt.PoolDir:
		p.there.Target, p.there.Source = source, ""
	case libvirt.PoolNFS, libvirt.PoolLogical:
	default:
		return bad("%q is not dir, logical or nfs", kind)
	}
	for _, part := range parts[1:] {
		key, value, _ := strings.Cut(part, "=")
		var err error
		switch key {
		case "default":
			p.rules.Default = true
		case "unlimited":
			p.rules.Unlimited = true
		case "shared":
			if p.rules.Shared = true; p.there.Type == libvirt.PoolLogical {
				return bad("a volume group is of one host")
			}
		case "host":
			p.host = value
		case "target":
			p.there.Target, p.rules.Target = value, value
		case "overcommit":
			if p.rules.Overcommit, err = ratio(value); err != nil {
				return bad("overcommit %v", err)
			}
		case "capacity":
			if p.rules.CapacityBytes, err = parseSize(value); err != nil {
				return bad("capacity: %v", err)
			}
		default:
			return bad("there is no setting %q", key)
		}
	}
	return p, nil
}

var sizeUnits = []struct {
	name  string
	bytes float64
}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}}

// parseSize reads a size such as 100GiB.
func parseSize(text string) (int64, error) {
	for _, u := range sizeUnits {
		number, ok := strings.CutSuffix(text, u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		if err == nil && n > 0 && n*u.bytes < 1<<62 {
			return int64(n * u.bytes), nil
		}
	}
	return 0, fmt.Errorf("%q is not a size such as 100GiB", text)
}

// poolText makes the text of a pool of its mapping in a file.
func poolText(n *yaml.Node) (string, error) {
	var keys map[string]string
	if err := n.Decode(&keys); err != nil {
		return "", err
	}
	text := keys["name"] + "=" + keys["type"] + ":" + keys["source"]
	if keys["type"] == "dir" && keys["source"] == "" {
		text += keys["target"]
		delete(keys, "target")
	}
	for _, key := range []string{"name", "type", "source"} {
		delete(keys, key)
	}
	var more []string
	for key, value := range keys {
		switch {
		case key != "default" && key != "unlimited" && key != "shared":
			more = append(more, key+"="+value)
		case value == "true":
			more = append(more, key)
		}
	}
	slices.Sort(more)
	return strings.Join(append([]string{text}, more...), ","), nil
}

// poolsOf gives a host's driver and the engine the pools of that host. The standard
// pool is always among them, unlimited unless it is described.
func (o *options) poolsOf(uri string, c *libvirt.Config) ([]engine.Pool, error) {
	var rules []engine.Pool
	standard, chosen := engine.Pool{Name: standardPool, Unlimited: true, Type: hypervisor.PoolDir, Source: standardDir, Apart: true}, 0
	for _, text := range o.Pools {
		p, err := parsePool(text)
		if err != nil {
			return nil, err
		}
		if p.host != "" && p.host != uri {
			continue
		}
		if p.rules.Default {
			chosen++
			c.DefaultPool = p.there.Name
		}
		if p.there.Name != standardPool {
			c.Pools, rules = append(c.Pools, p.there), append(rules, p.rules)
			continue
		}
		if p.there.Type != libvirt.PoolDir {
			return nil, fmt.Errorf("--pools: %s: the pool %s is a directory", text, standardPool)
		}
		if p.rules.Shared {
			return nil, fmt.Errorf("--pools: %s: config drives are in the pool %s, which is each host's own", text, standardPool)
		}
		c.PoolDir, standard, standard.Apart = p.there.Target, p.rules, true
		rules = append(rules, standard)
	}
	if chosen > 1 {
		return nil, fmt.Errorf("--pools: %s has %d default pools", uri, chosen)
	}
	if !slices.ContainsFunc(rules, func(p engine.Pool) bool { return p.Name == standardPool }) {
		rules = append(rules, standard)
	}
	for i := range rules {
		rules[i].Default = rules[i].Default || chosen == 0 && rules[i].Name == standardPool
	}
	return rules, nil
}

// checkPools refuses pools that cannot be, before any host is spoken to.
func (o *options) checkPools() error {
	for _, text := range o.Pools {
		p, err := parsePool(text)
		if err != nil {
			return err
		}
		if p.host != "" && !slices.Contains(o.Libvirt, p.host) {
			return fmt.Errorf("--pools: %s: --libvirt names no host %q", text, p.host)
		}
	}
	for _, uri := range o.Libvirt {
		if _, err := o.poolsOf(uri, &libvirt.Config{}); err != nil {
			return err
		}
	}
	return nil
}
