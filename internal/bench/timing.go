package main

import (
	"io"
	"slices"
	"time"
)

// timed is how long one GET takes, body included.
func (b *bench) timed(p *process, t target) (time.Duration, error) {
	began := time.Now()
	resp, err := get(b.ctx, p.url, t)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return time.Since(began), err
}

func middle(ds []time.Duration) time.Duration { return at(ds, 0.5) }

// at gives a quantile.
func at(ds []time.Duration, q float64) time.Duration {
	slices.Sort(ds)
	return ds[min(len(ds)-1, int(q*float64(len(ds))))]
}
