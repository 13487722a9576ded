package server_test

import (
	"strings"
	"testing"
	"time"
)

func TestConditionalRequests(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	path := c.create("/compute/", `{"title":"a"}`)
	r := c.do("GET", path, "")
	tag, modified := r.Header.Get("ETag"), r.Header.Get("Last-Modified")
	if tag == "" || strings.HasPrefix(tag, "W/") || modified == "" || r.Header.Get("Vary") != "Accept" {
		t.Fatalf("validators: ETag %q, Last-Modified %q, Vary %q", tag, modified, r.Header.Get("Vary"))
	}
	asJSON := c.do("GET", path+".json", "").Header.Get("ETag")
	if asJSON == tag {
		t.Error("two formats share an entity tag")
	}
	past := time.Now().Add(-time.Hour).UTC().Format(time.RFC1123)
	past = strings.Replace(past, "UTC", "GMT", 1)
	json := "Content-Type: application/json"
	for _, x := range []struct {
		name, method, path, body string
		header                   []string
		status                   int
	}{
		{"the tag", "GET", path, "", []string{"If-None-Match: " + tag}, 304},
		{"the tag among others, weak", "GET", path, "", []string{`If-None-Match: "x", W/` + tag}, 304},
		{"any tag", "GET", path, "", []string{"If-None-Match: *"}, 304},
		{"another format's tag", "GET", path, "", []string{"If-None-Match: " + asJSON}, 200},
		{"HEAD", "HEAD", path, "", []string{"If-None-Match: " + tag}, 304},
		{"since then", "GET", path, "", []string{"If-Modified-Since: " + modified}, 304},
		{"since long ago", "GET", path, "", []string{"If-Modified-Since: " + past}, 200},
		{"the tag decides, not the date", "GET", path, "", []string{`If-None-Match: "x"`, "If-Modified-Since: " + modified}, 200},
		{"a bad date", "GET", path, "", []string{"If-Modified-Since: soon"}, 400},
		{"an unquoted tag", "GET", path, "", []string{"If-None-Match: x"}, 400},
		{"an old version", "POST", path, `{"title":"b"}`, []string{json, `If-Match: "0.x.text/plain"`}, 412},
		{"a weak tag", "POST", path, `{"title":"b"}`, []string{json, "If-Match: W/" + tag}, 412},
		{"an unclosed tag", "POST", path, `{"title":"b"}`, []string{json, `If-Match: "1`}, 400},
		{"unmodified since long ago", "PUT", path, `{"title":"b"}`, []string{json, "If-Unmodified-Since: " + past}, 412},
		{"only a new one", "PUT", path, `{"title":"b"}`, []string{json, "If-None-Match: *"}, 412},
		{"an old version acts", "POST", path + "?action=start", "", []string{`If-Match: "0.x.y"`}, 412},
		{"an old version is deleted", "DELETE", path, "", []string{`If-Match: "0.x.y"`}, 412},
		{"the version in another format", "POST", path, `{"title":"b"}`, []string{json, "If-Match: " + asJSON}, 200},
		{"the version before", "POST", path, `{"title":"c"}`, []string{json, "If-Match: " + tag}, 412},
		{"any version", "POST", path, `{"title":"c"}`, []string{json, "If-Match: *"}, 200},
		{"any version of nothing", "PUT", "/compute/5dde93d8-789e-4416-9381-79c7f4062d42", `{"title":"c"}`, []string{json, "If-Match: *"}, 412},
		{"a new one", "PUT", "/compute/5dde93d8-789e-4416-9381-79c7f4062d42", `{"title":"c"}`, []string{json, "If-None-Match: *"}, 201},
		{"an old collection is deleted", "DELETE", "/compute/", "", []string{`If-Match: "0.x.y"`}, 412},
	} {
		r := c.do(x.method, x.path, x.body, x.header...)
		if r.StatusCode != x.status {
			t.Errorf("%s: %d, want %d\n%s", x.name, r.StatusCode, x.status, r.text)
		}
		if r.StatusCode == 304 && (r.text != "" || r.Header.Get("ETag") != tag) {
			t.Errorf("%s: 304 with ETag %q and body %q", x.name, r.Header.Get("ETag"), r.text)
		}
	}
}
