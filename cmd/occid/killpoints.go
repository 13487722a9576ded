//go:build killpoints

package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/occid/occid/internal/engine"
	"github.com/occid/occid/occi"
)

func main() { command(killer(os.Getenv(killAt), os.Getenv(killLog))) }

// Built with the tag killpoints the program counts points from when the file that killAt
// names is there, kills itself at the point of the number in it, from 1, and writes the names
// of the points that it passes to the file that killLog names.
const (
	killAt  = "OCCID_TEST_KILL_AT"
	killLog = "OCCID_TEST_KILL_LOG"
)

// killer makes the seams that count points: before and after each durable write
// and each call that changes a host.
func killer(order, file string) seams {
	k := &killing{order: order, file: file}
	return seams{
		store: func(s engine.Store) engine.Store { return countingStore{s, k} },
		trace: func(op string, after bool) {
			if after {
				k.pass("after " + op)
			} else {
				k.pass("before " + op)
			}
		},
	}
}

type killing struct {
	mu          sync.Mutex
	at, n       int // at is 0 until there is an order
	order, file string
}

func (k *killing) pass(point string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.at == 0 {
		text, err := os.ReadFile(k.order)
		if err != nil {
			return
		}
		k.at, _ = strconv.Atoi(string(text))
	}
	k.n++
	f, err := os.OpenFile(k.file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err == nil {
		fmt.Fprintln(f, point)
		f.Close()
	}
	if k.n == k.at {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}

type countingStore struct {
	engine.Store
	k *killing
}

func (s countingStore) Commit(ctx context.Context, c *occi.Change) error {
	s.k.pass("before commit")
	defer s.k.pass("after commit")
	return s.Store.Commit(ctx, c)
}

// Claim counts only claims that found something; nothing durable happens between
// them and the commit before.
func (s countingStore) Claim(ctx context.Context, host, worker string, n int, now time.Time, lease time.Duration) ([]*occi.Task, time.Time, error) {
	tasks, next, err := s.Store.Claim(ctx, host, worker, n, now, lease)
	if len(tasks) > 0 {
		s.k.pass("after claim")
	}
	return tasks, next, err
}
