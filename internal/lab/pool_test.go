package lab_test

import (
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestPools has storages of a real host in a directory of choice, as many as it
// has room for, and tells what keeps others from being used: a volume group that
// is not there, and a file server that is away.
func TestPools(t *testing.T) {
	t.Parallel()
	ctx := need(t)
	h := newHost(ctx, t)
	c := &cloud{ctx: ctx, t: t, url: startOccid(ctx, t, h, "--pools",
		"fast=dir:/var/lib/libvirt/fast,capacity=1GiB,host="+h.URI+";vg=logical:no-such-group;nfs1=nfs:127.0.0.1:/export").URL}
	sized := func(size float64, pool string) entity {
		a := map[string]any{"occi.storage.size": size}
		if pool != "" {
			a["occid.storage.pool"] = pool
		}
		return entity{Kind: storage, Attributes: a}
	}
	plain, fast := c.create("/storage/", sized(0.0625, "")), c.create("/storage/", sized(0.75, "fast"))
	for url, x := range map[string]struct{ pool, dir string }{plain: {"occid", "/var/lib/libvirt/images/occid/"}, fast: {"fast", "/var/lib/libvirt/fast/"}} {
		if got := c.get(url).Attributes["occid.storage.pool"]; got != x.pool {
			t.Errorf("it is in %v, want %s", got, x.pool)
		}
		if _, err := os.Stat(h.Path(x.dir + path(url)[len("/storage/"):] + ".qcow2")); err != nil {
			t.Error(err)
		}
	}
	if status, text := c.answered(sized(0.5, "fast")); status != http.StatusConflict || !strings.Contains(text, "pool fast") || !strings.Contains(text, "0.250 GiB are free") {
		t.Errorf("%d: %s", status, text)
	}
	if status, text := c.answered(sized(0.5, "slow")); status != http.StatusBadRequest || !strings.Contains(text, "fast, nfs1, occid, vg") {
		t.Errorf("%d: %s", status, text)
	}
	for pool, word := range map[string]string{"vg": "no-such-group", "nfs1": "mount"} {
		// Several at once are in each other's way, which is no reason to give any up.
		var urls []string
		for range 4 {
			urls = append(urls, c.accepted(sized(0.0625, pool)))
		}
		for _, url := range urls {
			c.tells(url+"/tasks/", "pool "+pool+" cannot be started", word)
		}
	}
	for _, url := range []string{plain, fast} {
		c.send(http.MethodDelete, url, nil)
	}
}

// post sends an entity without waiting for its host.
func (c *cloud) post(x entity) (*http.Response, string) {
	c.t.Helper()
	resp, text := c.ask(http.MethodPost, c.url+"/storage/", x)
	return resp, string(text)
}

func (c *cloud) answered(x entity) (int, string) {
	c.t.Helper()
	resp, text := c.post(x)
	return resp.StatusCode, text
}

// accepted gives the URL of what was accepted.
func (c *cloud) accepted(x entity) string {
	c.t.Helper()
	resp, text := c.post(x)
	url := resp.Header.Get("Location")
	if resp.StatusCode != http.StatusCreated || url == "" {
		c.t.Fatalf("%s: %s", resp.Status, text)
	}
	if strings.HasPrefix(url, "/") {
		url = c.url + url
	}
	return url
}

// tells waits until an answer holds some words.
func (c *cloud) tells(url string, words ...string) {
	c.t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		_, text := c.send(http.MethodGet, url, nil)
		missing := slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(string(text), w) })
		if !missing {
			return
		}
		select {
		case <-tick.C:
		case <-c.ctx.Done():
			c.t.Fatalf("%s does not tell of %v: %s", url, words, text)
		}
	}
}
