package server_test

import (
	"bytes"
	"flag"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// changing is what differs from run to run.
var changing = []struct {
	what *regexp.Regexp
	with string
}{
	{regexp.MustCompile(`(?m)^(Date|X-Request-Id|Last-Modified|Etag|Content-Length): .*\n`), ""},
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`), "2026-01-02T03:04:05Z"},
	{regexp.MustCompile(`(cpu[._]time\W+)[\d.e+]+`), "${1}1.5"},
	{regexp.MustCompile(`(/task/)[0-9a-f-]{36}`), "${1}TASK"},
	{regexp.MustCompile(`("last": |"id": |<content type="text">id )\d+`), "${1}7"},
	{regexp.MustCompile(`(<entry><id>urn:uuid:)[0-9a-f-]{36}(</id><title>\w+ [0-9a-f-]{36}: )`), "${1}EVENT${2}"},
}

// TestAnswers compares whole answers with those in testdata/answers, one file
// each that begins with the request.
func TestAnswers(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	const json, wait = "Content-Type: application/json", "Prefer: wait=60"
	const id = "6a0f3b0e-6c1d-4d5e-8f00-00000000000"
	const network, compute, storage = "/network/" + id + "1", "/compute/" + id + "2", "/storage/" + id + "4"
	c.do("PUT", network, `{"title":"lan"}`, json, wait).want(t, 201)
	c.do("PUT", compute, `{"title":"web-1","cores":2,"memory":"1 GiB","links":[{"id":"`+id+`3","target":"`+network+`"}]}`, json, wait).want(t, 201)
	for _, x := range []struct {
		name, method, path, body string
		header                   []string
	}{
		{"entity", "GET", compute, "", nil},
		{"entity-headers", "GET", compute, "", []string{"Accept: text/occi"}},
		{"entity-json", "GET", compute + ".json", "", nil},
		{"entity-occi-json", "GET", compute, "", []string{"Accept: application/occi+json"}},
		{"entity-xml", "GET", compute + ".xml", "", nil},
		{"collection", "GET", "/compute/", "", nil},
		{"collection-atom", "GET", "/compute/.atom?page=1&number=1", "", nil},
		{"collection-page", "GET", "/.yaml?page=1&number=1&sort=-title", "", nil},
		{"root-uris", "GET", "/", "", []string{"Accept: text/uri-list"}},
		{"created", "PUT", storage, `{"size":"2 Gb"}`, []string{json, wait}},
		{"action", "POST", compute + "?action=start", "", []string{wait, "Accept: application/occi+json"}},
		{"no-such-entity", "GET", "/compute/" + id + "9.json", "", nil},
		{"problems", "POST", "/compute/", "type compute\ncores many\ncolour blue\nmemory 1 parsec\n", []string{"Accept: application/json"}},
		{"not-allowed", "PUT", "/compute/", "", nil},
		{"not-acceptable", "GET", "/compute/", "", []string{"Accept: image/png"}},
		{"not-modified", "GET", compute, "", []string{"If-None-Match: *"}},
		{"options", "OPTIONS", compute, "", nil},
		{"states", "GET", "/-/states", "", nil},
		{"events", "GET", "/events.json?category=network", "", nil},
		{"events-atom", "GET", "/events.atom?category=compute&number=2&page=2", "", nil},
		{"deleted", "DELETE", compute, "", []string{wait}},
	} {
		r := c.do(x.method, x.path, x.body, append(x.header, "Host: cloud.example")...)
		golden(t, x.name, x.method+" "+x.path, r)
	}
}

func golden(t *testing.T, name, request string, r reply) {
	t.Helper()
	var b bytes.Buffer
	b.WriteString(request + "\n\n" + r.Status + "\n")
	if err := http.Header.Write(r.Header, &b); err != nil {
		t.Fatal(err)
	}
	b.WriteString("\n" + r.text)
	got := strings.ReplaceAll(b.String(), "\r\n", "\n")
	for _, c := range changing {
		got = c.what.ReplaceAllString(got, c.with)
	}
	file := filepath.Join("testdata/answers", name+".txt")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s: -want +got:\n%s", name, diff)
	}
}
