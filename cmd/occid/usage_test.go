package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestUsageOutlivesKills kills a server again and again while machines are made, changed
// and deleted: every machine that is there has been used since it was made, and the audit
// trail is whole.
func TestUsageOutlivesKills(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db := "sqlite:" + filepath.Join(dir, "occid.db")
	args := []string{"--db", db, "--data", dir}
	for range 4 {
		p := start(t, args...)
		var answered atomic.Int64
		var clients sync.WaitGroup
		for range 3 {
			clients.Go(func() {
				for answered.Load() < 40 {
					status, h, _, err := p.ask("POST", "/compute/", `{"title":"a","cores":2,"memory":"1 GiB"}`, asJSON)
					if err != nil || status != 201 {
						return
					}
					path := strings.TrimPrefix(h.Get("Location"), p.url)
					for _, then := range []struct{ method, path, body string }{{"POST", path + "?action=start", ""}, {"POST", path, `{"cores":1}`}, {"DELETE", path, ""}} {
						if _, _, _, err := p.ask(then.method, then.path, then.body, asJSON); err != nil {
							return
						}
						// Every fourth machine is deleted.
						if n := answered.Add(1); then.method == "POST" && then.body != "" && n%4 != 0 {
							break
						}
					}
				}
			})
		}
		for answered.Load() < 20 && !p.ended() {
			select {
			case <-p.log.seen:
			case <-time.After(time.Millisecond):
			}
		}
		p.kill()
		clients.Wait()
	}
	p := start(t, args...)
	p.settled()

	var made struct {
		Resources []struct{ Entity, Time string }
	}
	readJSON(t, p, "/audit/?what=created&entity_kind=http://schemas.ogf.org/occi/infrastructure%23compute&number=10000", &made)
	began := map[string]time.Time{}
	for _, r := range made.Resources {
		at, err := time.Parse(time.RFC3339Nano, r.Time)
		if err != nil {
			t.Fatal(err)
		}
		began[r.Entity] = at.Truncate(time.Second)
	}
	var used struct {
		Usage []struct {
			Entity, Kind    string
			To              time.Time
			Seconds, Amount int64
		}
	}
	readJSON(t, p, "/usage?by=entity&from=2020-01-01", &used)
	there := map[string]bool{}
	_, uris := p.curl(200, "GET", "/compute/.uri", "")
	for uri := range strings.FieldsSeq(uris) {
		there[uri[strings.LastIndexByte(uri, '/')+1:]] = true
	}
	checked, to := map[string]bool{}, time.Time{}
	for _, u := range used.Usage {
		id := u.Entity[strings.LastIndexByte(u.Entity, '/')+1:]
		to = u.To
		whole := int64(u.To.Sub(began[id]) / time.Second)
		switch {
		case began[id].IsZero():
			t.Errorf("%s was used and never made", id)
		case u.Kind == "computes" && there[id]:
			if checked[id] = true; u.Amount != whole || u.Seconds != whole {
				t.Errorf("%s is there for %d s and was used for %d", id, whole, u.Amount)
			}
		case u.Seconds > whole:
			t.Errorf("%s of %s were used for %d s of %d", u.Kind, id, u.Seconds, whole)
		}
	}
	for id := range there {
		if !checked[id] && began[id].Before(to) {
			t.Errorf("%s is there since %s and was not used up to %s", id, began[id], to)
		}
	}
	if len(there) < 8 {
		t.Errorf("there are only %d machines", len(there))
	}
	if out, err := audits(t, "verify", "--db", db); err != nil {
		t.Errorf("%s, %v", out, err)
	}
}

// readJSON asks for JSON.
func readJSON(t *testing.T, p *program, path string, to any) {
	t.Helper()
	_, text := p.curl(200, "GET", path, "", "Accept: application/json")
	if err := json.Unmarshal([]byte(text), to); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
}
