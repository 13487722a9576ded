package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"time"
)

// load is what one measurement of a target gave.
type load struct {
	rate     float64 // requests per second
	p50, p99 time.Duration
}

var (
	rateLine  = regexp.MustCompile(`Requests/sec:\s+([\d.]+)`)
	quantile  = regexp.MustCompile(`(?m)^\s+(50|99)%\s+([\d.]+)(us|ms|s|m)$`)
	errorLine = regexp.MustCompile(`(?m)^\s+(Non-2xx or 3xx responses|Socket errors).*$`)
)

// readers is how many connections read at once.
const readers = 16

// wrkGet loads one URL with GET.
func (b *bench) wrkGet(url string, header ...string) (load, error) {
	var options []string
	for _, h := range header {
		options = append(options, "-H", h)
	}
	return b.wrk(url, readers, options...)
}

// wrkPost loads one URL with POST of a JSON body.
func (b *bench) wrkPost(url, body string) (load, error) {
	script := filepath.Join(b.dir, "post.lua")
	text := fmt.Sprintf("wrk.method, wrk.body = 'POST', %q\nwrk.headers['Content-Type'] = 'application/json'\n", body)
	if err := os.WriteFile(script, []byte(text), 0o600); err != nil {
		return load{}, err
	}
	return b.wrk(url, writers, "-s", script)
}

func (b *bench) wrk(url string, connections int, options ...string) (load, error) {
	args := append([]string{"-t1", fmt.Sprintf("-c%d", connections), fmt.Sprintf("-d%ds", b.seconds), "--latency"}, options...)
	out, err := exec.CommandContext(b.ctx, "wrk", append(args, url)...).CombinedOutput()
	if err != nil {
		return load{}, fmt.Errorf("wrk: %w: %s", err, out)
	}
	if bad := errorLine.Find(out); bad != nil {
		return load{}, fmt.Errorf("%s: %s", url, bad)
	}
	var l load
	m := rateLine.FindSubmatch(out)
	if m == nil {
		return load{}, fmt.Errorf("wrk said: %s", out)
	}
	if l.rate, err = strconv.ParseFloat(string(m[1]), 64); err != nil {
		return load{}, err
	}
	for _, q := range quantile.FindAllSubmatch(out, -1) {
		d, err := time.ParseDuration(string(q[2]) + string(q[3]))
		if err != nil {
			return load{}, err
		}
		if string(q[1]) == "50" {
			l.p50 = d
		} else {
			l.p99 = d
		}
	}
	return l, nil
}

// compare loads a target on two servers in turn and gives the medians.
func (b *bench) compare(t target, ours, bare *process) (load, load, error) {
	var header []string
	if t.accept != "" {
		header = append(header, "Accept: "+t.accept)
	}
	if t.conditional {
		resp, err := get(b.ctx, ours.url, t)
		if err != nil {
			return load{}, load{}, err
		}
		resp.Body.Close()
		header = append(header, "If-None-Match: "+resp.Header.Get("ETag"))
	}
	var mine, best []load
	for range b.rounds {
		own := header
		if t.login != "" {
			own = append(slices.Clone(header), t.login)
		}
		l, err := b.wrkGet(ours.url+t.path, own...)
		if err != nil {
			return load{}, load{}, err
		}
		mine = append(mine, l)
		if l, err = b.wrkGet(bare.url+t.path, header...); err != nil {
			return load{}, load{}, err
		}
		best = append(best, l)
	}
	return median(mine), median(best), nil
}

func median(ls []load) load {
	slices.SortFunc(ls, func(a, b load) int {
		switch {
		case a.rate < b.rate:
			return -1
		case a.rate > b.rate:
			return 1
		}
		return 0
	})
	return ls[len(ls)/2]
}
