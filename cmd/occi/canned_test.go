package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// canned answers every request for a path with the same text.
type canned map[string]reply

type reply struct {
	status      int
	media, text string
	task        string // path of the task that the answer names
}

func (c canned) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a, ok := c[r.URL.Path]
	if !ok {
		a = reply{status: http.StatusNotFound}
	}
	w.Header().Set("Content-Type", a.media)
	if a.task != "" {
		w.Header().Set("X-Task-Location", "http://"+r.Host+a.task)
	}
	w.WriteHeader(a.status)
	_, _ = w.Write([]byte(a.text))
}

func TestAnswersOfOtherServers(t *testing.T) {
	t.Parallel()
	const id = "6f0c7e2b-5b1c-4d0a-9c55-3f8f8e0b6a11"
	made := reply{status: 201, media: "application/occi+text", text: "type compute\n", task: "/task/1"}
	for _, c := range []struct {
		name, line string
		server     canned
		status     int
		out, err   string // parts of what is printed
	}{
		{"a task that fails", "create compute --wait 1",
			canned{"/compute/": made, "/task/1": {status: 200, text: `{"state":"failed","error":"the disk is full"}`}},
			1, "type compute\n", "/task/1 is failed: the disk is full\n"},
		{"a task that is not over", "create compute --wait 1",
			canned{"/compute/": made, "/task/1": {status: 200, text: `{"state":"running"}`}},
			1, "type compute\n", "/task/1 is running\n"},
		{"a task that is not waited for", "create compute", canned{"/compute/": made}, 0, "type compute\n", ""},
		{"a task that cannot be read", "create compute --wait 1",
			canned{"/compute/": made, "/task/1": {status: 200, text: `{`}}, 1, "type compute\n", "/task/1: "},
		{"a gateway's page", "show compute/" + id,
			canned{"/compute/" + id: {status: 502, media: "text/html", text: "<html>"}}, 1, "", "occi: 502 Bad Gateway\n"},
		{"nothing but a status", "delete compute/" + id, canned{}, 1, "", "occi: 404 Not Found\n"},
		{"an error without a message", "show compute/" + id + " -o xml",
			canned{"/compute/" + id: {status: 500, media: "application/xml", text: "<no/>"}}, 1, "", "occi: <no/>\n"},
		{"a quoted message", "show compute/" + id,
			canned{"/compute/" + id: {status: 409, media: "application/occi+text", text: "code 409\nmessage \"a\\tb\"\n"}}, 1, "", "occi: a\tb\n"},
		{"no list", "list compute", canned{"/compute/": {status: 200, text: `<html>`}}, 1, "", "the answer is not a list"},
		{"what would move the cursor", "list compute",
			canned{"/compute/": {status: 200, text: `{"resources":[{"type":"compute","id":"1","title":"\u001b[2J"}]}`}},
			0, `"\x1b[2J"`, ""},
		{"no UUID's location", "show " + id, canned{"/": {status: 200, text: "\n"}}, 1, "", "there is no entity " + id},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			web := httptest.NewServer(c.server)
			defer web.Close()
			var out, errs strings.Builder
			args := append(strings.Fields(c.line), "--server", web.URL)
			status := run(t.Context(), args, streams{out: &out, err: &errs, terminal: true})
			if status != c.status || !strings.Contains(out.String(), c.out) || !strings.Contains(errs.String(), c.err) {
				t.Errorf("status %d, want %d; output %q, want %q; errors %q, want %q",
					status, c.status, &out, c.out, &errs, c.err)
			}
		})
	}
}

func TestNobodyAnswers(t *testing.T) {
	t.Parallel()
	web := httptest.NewServer(canned{})
	web.Close()
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for name, ctx := range map[string]context.Context{"no server": t.Context(), "interrupted": cancelled} {
		var out, errs strings.Builder
		status := run(ctx, []string{"list", "/", "--server", web.URL}, streams{out: &out, err: &errs})
		if status != statusFailed || out.String() != "" || !strings.Contains(errs.String(), web.URL) {
			t.Errorf("%s: status %d, output %q, errors %q", name, status, &out, &errs)
		}
	}
}

// Whatever a server answers is read to its end, and never a reason to crash.
func FuzzMessage(f *testing.F) {
	for _, media := range []string{"application/json", "application/xml", "application/yaml", "application/occi+text", "text/uri-list", ""} {
		f.Add(media, `{"message":"no"}`)
		f.Add(media, "<a><message>no</message></a>")
		f.Add(media, "code 400\nmessage: \"no\"\n")
	}
	f.Fuzz(func(t *testing.T, media, body string) {
		if text := message(media, body); len(text) > 3*len(body) {
			t.Errorf("%d bytes are read as %d", len(body), len(text))
		}
	})
}
