package server_test

import (
	"strings"
	"testing"
	"time"

	"github.com/occid/occid/internal/dbtest"
	"github.com/occid/occid/internal/engine"
	"github.com/occid/occid/render"
	"github.com/occid/occid/spec"
)

// observed is a cloud whose hosts are asked what machines use, with a machine that
// shows it.
func observed(t *testing.T, id string) (*cloud, string) {
	t.Helper()
	m, err := spec.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	c := newCloudOf(t, dbtest.SQLite(t), m, func(c *engine.Config) { c.Observe = 10 * time.Millisecond })
	path := "/compute/" + id
	c.do("PUT", path, `{"title":"web-1","memory":"1 GiB","mixins":["http://schemas.occid.org/occi/compute#statistics"]}`,
		"Content-Type: application/json", "Prefer: wait=60").want(t, 201)
	return c, path
}

// shows waits until an answer holds some words.
func (c *cloud) shows(path string, words ...string) {
	c.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for tick := time.NewTicker(10 * time.Millisecond); ; <-tick.C {
		text, missing := c.do("GET", path, "").text, ""
		for _, w := range words {
			if !strings.Contains(text, w) {
				missing = w
			}
		}
		if missing == "" {
			return
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("%s does not show %s: %s", path, missing, text)
		}
	}
}

func TestStatisticsInAnswers(t *testing.T) {
	t.Parallel()
	c, path := observed(t, "6a0f3b0e-6c1d-4d5e-8f00-000000000001")
	c.shows(path, `occid.statistics.state="stopped"`)
	c.do("POST", path+"?action=start", "", "Prefer: wait=60").want(t, 200)
	c.shows(path, `occid.statistics.state="running"`, "occid.statistics.cpu.time=", "occid.statistics.memory.available=1.0")
	for name, accept := range map[string]string{"text": "text/plain", "headers": "text/occi", "json": "application/json",
		"occi-json": "application/occi+json", "xml": "application/xml", "yaml": "application/yaml", "atom": "application/atom+xml"} {
		golden(t, "statistics-"+name, "GET "+path, c.do("GET", path, "", "Accept: "+accept, "Host: cloud.example"))
	}
	c.do("GET", "/compute/.uri?host_state=running&agent=absent", "").want(t, 200, path)
	if r := c.do("GET", "/compute/.uri?agent=alive", ""); strings.Contains(r.text, path) {
		t.Errorf("a machine without an agent is among those whose agent answers: %s", r.text)
	}
	c.do("POST", path+"?action=stop", `{"method":"poweroff"}`, "Content-Type: application/json", "Prefer: wait=60").want(t, 200)
	c.shows(path, `occid.statistics.state="stopped"`, `occid.statistics.reason="powered off"`)
	if r := c.do("GET", path, ""); strings.Contains(r.text, "cpu.time=") {
		t.Errorf("a stopped machine shows %s", r.text)
	}
}

// TestStatisticsAreSentBack has a client write what it read, while it goes on
// changing.
func TestStatisticsAreSentBack(t *testing.T) {
	t.Parallel()
	c, path := observed(t, "6a0f3b0e-6c1d-4d5e-8f00-000000000002")
	c.do("POST", path+"?action=start", "", "Prefer: wait=60").want(t, 200)
	c.shows(path, `occid.statistics.state="running"`, "occid.statistics.cpu.time=")
	for _, f := range render.Formats() {
		if f.Targets || f.Media == "text/uri-list" {
			continue // it shows not all of an entity
		}
		body, header := asRequest(f, c.do("GET", path, "", "Accept: "+f.Media))
		c.shows(path, "occid.statistics.cpu.time=")
		if r := c.do("PUT", path, body, append(header, "Prefer: wait=60")...); r.StatusCode != 200 {
			t.Errorf("%s: %d: %s", f.Media, r.StatusCode, r.text)
		}
		c.shows(path, `occid.statistics.state="running"`)
	}
	c.do("POST", path, `{"host_state":"crashed"}`, "Content-Type: application/json").want(t, 200, `occid.statistics.state="running"`)
}
