package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/google/uuid"

	"github.com/occid/occid/hypervisor"
	"github.com/occid/occid/hypervisor/libvirt"
	"github.com/occid/occid/internal/engine"
	"github.com/occid/occid/internal/guest"
	"github.com/occid/occid/occi"
)

// guests is what machines ask about themselves: on the bridges of this host, and
// through the proxies of others.
type guests struct {
	handler *guest.Handler
	gate    *guest.Gate            // nil without a listener
	proxies net.Listener           // of proxies
	serves  func(name string) bool // which interfaces; nil for none
}

// drive gives the files of a machine's config drive.
func drive(_ context.Context, m *occi.Model, x *occi.Entity, linked map[uuid.UUID]*occi.Entity) (map[string][]byte, error) {
	return guest.Drive(guest.MachineOf(m, x, linked)), nil
}

// openGuests prepares the answers to machines, and listens for proxies if the
// options say so.
func (s *service) openGuests(eng *engine.Engine, bridges hypervisor.Bridges) error {
	o := s.options
	if o.GuestBridges[0] != "none" {
		s.guests.serves = serves(o.GuestBridges)
	}
	var key guest.Key
	if o.GuestListen != "" {
		path := o.GuestKeyFile
		if path == "" {
			path = filepath.Join(o.Data, "guest.key")
			if err := makeKey(path); err != nil {
				return fmt.Errorf("--data: %w", err)
			}
		}
		var err error
		if key, err = readKey(path); err != nil {
			return fmt.Errorf("--guest-key-file: %w", err)
		}
	}
	s.guests.handler = guest.NewHandler(guest.Config{Engine: eng, Bridge: libvirt.BridgeOf, Bridged: bridges.On, Secret: key, Version: version, Logger: s.log})
	if o.GuestListen == "" {
		return nil
	}
	l, err := listenAt(o.GuestListen)
	if err != nil {
		return fmt.Errorf("--guest-listen: %w", err)
	}
	s.guests.proxies = l
	s.guests.gate = &guest.Gate{Answerer: s.guests.handler, Key: key, Logger: s.log}
	return nil
}

// listenAt listens at a TCP address, or at unix:PATH, in place of the socket that a
// server which is gone has left there.
func listenAt(address string) (net.Listener, error) {
	path, local := strings.CutPrefix(address, "unix:")
	if !local {
		return net.Listen("tcp", address)
	}
	if c, err := net.Dial("unix", path); err == nil {
		c.Close()
		return nil, fmt.Errorf("%s is served by another process", path)
	}
	if info, err := os.Lstat(path); err == nil && info.Mode()&fs.ModeSocket != 0 {
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	return net.Listen("unix", path)
}

// serve answers machines until ctx ends.
func (g *guests) serve(ctx context.Context, s *service) error {
	var work sync.WaitGroup
	defer work.Wait()
	if g.serves != nil {
		b := &guest.Bridges{Answerer: g.handler, Serves: g.serves, Logger: s.log}
		work.Go(func() { b.Run(ctx) })
	}
	if g.gate == nil {
		return nil
	}
	return guest.Serve(ctx, g.proxies, g.gate, s.log)
}

// makeKey makes a file with a new key, unless it is there.
func makeKey(path string) error {
	b := make([]byte, 32)
	rand.Read(b)
	_, err := makeOnce(path, hex.EncodeToString(b)+"\n")
	return err
}

// readKey reads a key that nobody else can read.
func readKey(path string) (guest.Key, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s can be read or written by others (%s); it should have mode 0600", path, info.Mode().Perm())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	key := guest.Key(strings.TrimSpace(string(text)))
	if err := key.Check(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return key, nil
}
