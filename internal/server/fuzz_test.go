package server_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
)

// FuzzRequest holds that no query and no header field a client makes up is ever
// a fault of the server.
func FuzzRequest(f *testing.F) {
	for _, seed := range [][3]string{
		{"/compute/", "cores>=2;page=1&number=2", `"x", W/"y"`}, {"/compute/.atom", "content=json&sort=-memory,title", "*"},
		{"/-/", "category=compute", ""}, {"/", "q=%zz&id=,&=&a<b>c!d", `"`}, {"/mixin/", "memory.ge=1+GiB&title!=%00", `W/"`},
		{"/compute/UUID/tasks/", "page=2", "x"}, {"/task/", "number=9999999999", ", ,"}, {"/compute", "state=stopped&state=active", ""},
	} {
		f.Add(seed[0], seed[1], seed[2], "text/plain;q=0.5, */*")
	}
	c := newCloud(f)
	c.create("/compute/", `{"title":"a"}`)
	f.Fuzz(func(t *testing.T, path, query, tags, accept string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.URL = &url.URL{Path: "/" + path, RawQuery: query}
		r.Header = http.Header{"Accept": {accept}, "If-None-Match": {tags}, "If-Modified-Since": {tags}, "Category": {query}, "User-Agent": {accept}}
		w := httptest.NewRecorder()
		c.server.ServeHTTP(w, r)
		if w.Code >= 500 && w.Code != http.StatusNotImplemented {
			t.Errorf("GET %q?%q: %d %s", path, query, w.Code, w.Body)
		}
		r = httptest.NewRequest(http.MethodDelete, "/", nil)
		r.URL = &url.URL{Path: "/compute/00000000-0000-4000-8000-000000000000", RawQuery: query}
		r.Header = http.Header{"If-Match": {tags}, "If-Unmodified-Since": {accept}, "Prefer": {query}, "Idempotency-Key": {path}}
		w = httptest.NewRecorder()
		c.server.ServeHTTP(w, r)
		if w.Code < 400 || w.Code >= 500 {
			t.Errorf("DELETE of nothing with %q: %d %s", tags, w.Code, w.Body)
		}
	})
}
