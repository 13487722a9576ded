package engine

import (
	"context"
	"time"
)

// How what is not kept for ever is forgotten.
const (
	purgeEvery = 10 * time.Minute
	// purgeBatch bounds a transaction, which others wait for.
	purgeBatch = 500
)

// kept is what is forgotten once it is old.
type kept struct {
	what  string
	age   time.Duration
	purge func(ctx context.Context, before time.Time, n int) (int, error)
}

// purge forgets what is old until ctx ends. Servers that share a database all do:
// what one has forgotten costs the others a look.
func (e *Engine) purge(ctx context.Context) {
	every := purgeEvery
	var all []kept
	for _, k := range []kept{
		{"tasks", e.cfg.KeepTasks, e.store.PurgeTasks},
		{"idempotency keys", e.cfg.KeepKeys, e.store.PurgeKeys},
		{"events", e.cfg.KeepEvents, e.store.PurgeEvents},
		{"tokens", tokenGrace, e.purgeTokens},
	} {
		if k.age > 0 {
			all = append(all, k)
			every = min(every, max(k.age, 100*time.Millisecond))
		}
	}
	if len(all) == 0 {
		return
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		for _, k := range all {
			e.forget(ctx, k)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// forget forgets all of one sort that is old, in batches.
func (e *Engine) forget(ctx context.Context, k kept) {
	before := e.now().Add(-k.age)
	for total := 0; ctx.Err() == nil; {
		n, err := k.purge(ctx, before, purgeBatch)
		if err != nil && ctx.Err() == nil {
			e.log.Warn("what is old was not forgotten", "what", k.what, "error", err)
		}
		total += n
		if err != nil || n < purgeBatch {
			if total > 0 {
				e.log.Debug("what is old was forgotten", "what", k.what, "count", total)
			}
			return
		}
	}
}
