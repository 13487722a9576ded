package server_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// FuzzRequest sends requests of any kind: nothing a client makes up is a fault of
// the server, and every answer can be read.
func FuzzRequest(f *testing.F) {
	const json, compute = "application/json", "/compute/6a0f3b0e-6c1d-4d5e-8f00-000000000001"
	for _, x := range [][7]string{
		{"GET", "/compute/", "cores>=2;page=1&number=2", "text/plain", "Accept", "text/plain;q=0.5, */*", ""},
		{"GET", "/compute/.atom", "content=json&sort=-memory,title", "", "If-None-Match", "*", ""},
		{"GET", "/", "q=%zz&id=,&=&a<b>c!d", "", "If-None-Match", `W/"a", "b"`, ""},
		{"GET", "/mixin/", "memory.ge=1+GiB&title!=%00", "", "If-Modified-Since", "x", ""},
		{"GET", "/task/", "state=running&number=9999999999", "", "X-OCCI-Attribute", "a=1", ""},
		{"GET", "/-/", "category=compute", "", "Category", `compute; scheme="http://x#"`, ""},
		{"GET", "/compute", "state=stopped&state!=active", "", "User-Agent", "x OCCI/1.3", ""},
		{"POST", "/compute/", "", json, "Idempotency-Key", "k", `{"type":"compute"}`},
		{"POST", "/", "", "text/occi", "X-OCCI-Attribute", "a=1", ""},
		{"POST", "/compute/", "action=stop&method=graceful", "text/plain", "If-Match", `"x`, "X-OCCI-Attribute: a=1"},
		{"POST", "/mixin/ssh_key/", "", "text/uri-list", "Accept", "text/occi", compute},
		{"POST", compute + "/tasks/", "action=start", "", "Accept", "application/yaml", ""},
		{"PUT", compute, "content=json", "application/xml", "If-Match", "*", "<occi/>"},
		{"DELETE", "/storage/6a0f3b0e-6c1d-4d5e-8f00-000000000001/compute/.uri", "%zz", "text/uri-list", "If-Unmodified-Since", "now", "x"},
		{"GET", "/-/{http://schemas.ogf.org/occi/infrastructure#}compute|-storage/-x{/.atom", "q=cores:2+a.state:b", "", "Accept", "*/*", ""},
		{"GET", "/-/resource/-compute", "archive=2026-01&attributes=title,links", "", "Category", "a", ""},
		{"GET", "/-/opensearch", "collection=/-/%257B/", "", "If-None-Match", `"x"`, ""},
		{"POST", compute + "/state/start.json", "method=x", json, "Accept", "text/occi", `{"action":"stop"}`},
		{"GET", "/events", "state!=active;category=compute&since=1&id=,&event=x", "", "Last-Event-ID", "1", ""},
		{"GET", "/events.atom", "number=1&page=2&state.ne=done", "", "Accept", "text/event-stream", ""},
		{"OPTIONS", compute + ".json", "", "", "Origin", "http://x", ""},
	} {
		f.Add(x[0], x[1], x[2], x[3], x[4], x[5], x[6])
	}
	c := newCloud(f)
	c.create("/compute/", `{"id":"`+compute[len("/compute/"):]+`","title":"a"}`)
	f.Fuzz(func(t *testing.T, method, path, query, media, name, value, body string) {
		r := httptest.NewRequest(http.MethodGet, "/", strings.NewReader(body))
		r.Method, r.URL = method, &url.URL{Path: "/" + strings.TrimPrefix(path, "/"), RawQuery: query}
		r.Header.Set("Content-Type", media)
		r.Header.Set(name, value)
		r.Header.Del("Prefer") // it may take its time
		if strings.HasPrefix(r.URL.Path, "/events") {
			r.Header.Set("Accept", "application/json") // a stream has no end
		}
		w := httptest.NewRecorder()
		c.server.ServeHTTP(w, r)
		if w.Code >= 500 && w.Code != http.StatusNotImplemented {
			t.Fatalf("%d\n%s", w.Code, w.Body)
		}
		if w.Code == http.StatusNotModified || w.Code == http.StatusNoContent {
			return
		}
		if err := wellFormed(reply{w.Result(), w.Body.String()}); err != nil {
			t.Fatalf("%d, %v in\n%s", w.Code, err, w.Body)
		}
	})
}
