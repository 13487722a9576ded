package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"libvirt.org/go/libvirt"
)

// emptyPause is how long Empty waits before it looks again.
const emptyPause = 50 * time.Millisecond

// Empty returns when the host has no domain, network, network filter, volume, process
// and network interface that it did not have when it was made. What ends a little
// late, such as a network's DHCP server, is waited for until ctx ends; the error
// then names what is left.
func (h *Host) Empty(ctx context.Context) error {
	for {
		now, err := h.inventory()
		if err != nil {
			return err
		}
		var left []string
		for _, thing := range slices.Sorted(maps.Keys(now)) {
			if now[thing] > h.initial[thing] {
				left = append(left, thing)
			}
		}
		if len(left) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("left on the host: %s", strings.Join(left, ", "))
		case <-time.After(emptyPause):
		}
	}
}

// inventory counts what the host has, by kind and name.
func (h *Host) inventory() (map[string]int, error) {
	have := map[string]int{}
	c, err := libvirt.NewConnect(h.URI)
	if err != nil {
		return nil, fmt.Errorf("look what the host has: %w", err)
	}
	defer c.Close()
	for _, list := range []func(*libvirt.Connect, map[string]int) error{domains, networks, filters, volumes} {
		if err := list(c, have); err != nil {
			return nil, fmt.Errorf("look what the host has: %w", err)
		}
	}
	interfaces, err := os.ReadDir(h.Path("/sys/class/net"))
	if err != nil {
		return nil, err
	}
	for _, i := range interfaces {
		have["interface "+i.Name()]++
	}
	// They are a place, as pools are.
	delete(have, "network occid-metadata")
	delete(have, "interface occmeta")
	return have, h.processes(have)
}

func domains(c *libvirt.Connect, have map[string]int) error {
	list, err := c.ListAllDomains(0)
	if err != nil {
		return err
	}
	for _, d := range list {
		name, e := d.GetName()
		have["domain "+name]++
		err = errors.Join(err, e, d.Free())
	}
	return err
}

func networks(c *libvirt.Connect, have map[string]int) error {
	list, err := c.ListAllNetworks(0)
	if err != nil {
		return err
	}
	for _, n := range list {
		name, e := n.GetName()
		have["network "+name]++
		err = errors.Join(err, e, n.Free())
	}
	return err
}

func filters(c *libvirt.Connect, have map[string]int) error {
	list, err := c.ListAllNWFilters(0)
	if err != nil {
		return err
	}
	for _, f := range list {
		name, e := f.GetName()
		have["filter "+name]++
		err = errors.Join(err, e, f.Free())
	}
	return err
}

// volumes counts those of the active pools. The pools themselves are the place
// where volumes are, as directories are for files.
func volumes(c *libvirt.Connect, have map[string]int) error {
	pools, err := c.ListAllStoragePools(libvirt.CONNECT_LIST_STORAGE_POOLS_ACTIVE)
	if err != nil {
		return err
	}
	for _, p := range pools {
		list, e := p.ListAllStorageVolumes(0)
		err = errors.Join(err, e)
		for _, v := range list {
			name, e := v.GetName()
			have["volume "+name]++
			err = errors.Join(err, e, v.Free())
		}
		err = errors.Join(err, p.Free())
	}
	return err
}

// processes counts those that run, by name. What has ended and is not reaped yet
// is not counted, nor is what ends meanwhile.
func (h *Host) processes(have map[string]int) error {
	stats, err := filepath.Glob(h.Path("/proc/[0-9]*/stat"))
	if err != nil {
		return err
	}
	for _, file := range stats {
		stat, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		name, rest, _ := bytes.Cut(stat, []byte(") "))
		_, name, _ = bytes.Cut(name, []byte(" ("))
		if !bytes.HasPrefix(rest, []byte("Z")) {
			have["process "+string(name)]++
		}
	}
	return nil
}
