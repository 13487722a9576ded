package server_test

import (
	"strings"
	"testing"
)

func TestOneRecordForEachRequest(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	if r := c.do("GET", "/compute/", "", "X-Request-Id: proxy-1").want(t, 200); r.Header.Get("X-Request-Id") != "proxy-1" {
		t.Errorf("the answer has the request id %q", r.Header.Get("X-Request-Id"))
	}
	c.do("GET", "/compute/00000000-0000-4000-8000-000000000000", "", "X-Request-Id: forged\tline").want(t, 404)
	records := c.log.lines(t, "request")
	if len(records) != 2 {
		t.Fatalf("%d records of 2 requests", len(records))
	}
	for key, want := range map[string]any{"request_id": "proxy-1", "method": "GET", "path": "/compute/", "status": 200.0, "bytes": 0.0, "caller": ""} {
		if got := records[0][key]; got != want {
			t.Errorf("%s is %v, want %v", key, got, want)
		}
	}
	if id := records[1]["request_id"].(string); strings.Contains(id, "forged") {
		t.Errorf("a request's id of the client's making is %q", id)
	}
	if _, ok := records[1]["duration"]; !ok {
		t.Error("the duration is missing")
	}
}

func TestEveryAnswerIsOCCIs(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	for _, r := range []reply{
		c.do("GET", "/", ""), c.do("HEAD", "/-/", ""), c.do("GET", "/nowhere", ""), c.do("PATCH", "/compute/", ""),
		c.do("OPTIONS", "/compute/", ""), c.do("GET", "/healthz", ""), c.do("GET", "/readyz", ""), c.do("POST", "/compute/", "{", "Content-Type: application/json"),
	} {
		if got := r.Header.Get("Server"); got != "occid/test (linux) OCCI/1.2 OCCI/1.1" {
			t.Errorf("%s %s: Server is %q", r.Request.Method, r.Request.URL.Path, got)
		}
		if r.Header.Get("Content-Type") == "" {
			t.Errorf("%s %s: no Content-Type", r.Request.Method, r.Request.URL.Path)
		}
	}
	accepts := func(agent string) string { return c.do("GET", "/-/", "", "User-Agent: "+agent).Header.Get("Accept") }
	if got := accepts("curl/8"); !strings.Contains(got, "application/occi+json") {
		t.Errorf("Accept of an answer is %q", got)
	}
	if got := accepts("rOCCI-api/4.3.0"); strings.Contains(got, "application/occi+json") {
		t.Errorf("a client that would send its own JSON is told %q", got)
	}
}

func TestLaterVersionsAreRefused(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	for agent, status := range map[string]int{
		"curl/8": 200, "x/1 OCCI/1.1": 200, "x/1 OCCI/1.2": 200, "OCCI/1.x": 200,
		"x/1 OCCI/1.3": 501, "x/1 (linux) OCCI/2.0 y/1": 501, "OCCI/1.10": 501,
	} {
		if got := c.do("GET", "/-/", "", "User-Agent: "+agent).StatusCode; got != status {
			t.Errorf("%q gets %d, want %d", agent, got, status)
		}
	}
}
