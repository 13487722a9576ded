package server_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/occid/occid/render"
)

// badRequest is a request that must be refused without a trace. SELF in it stands
// for the UUID of a stopped compute, <FF> for a byte that is not UTF-8.
type badRequest struct {
	Name, Method, Path, Body string
	Header                   []string
	Status                   int
	Names                    []string // what the answer must name
}

func badRequests(t *testing.T, self string) []badRequest {
	t.Helper()
	f, err := os.Open("testdata/bad.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer closes(t, f)
	var out []badRequest
	for s := bufio.NewScanner(f); s.Scan(); {
		line := strings.NewReplacer("SELF", self, "<FF>", "\xff").Replace(s.Text())
		var b badRequest
		if err := json.Unmarshal([]byte(strings.ToValidUTF8(line, "<FF>")), &b); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		b.Body = strings.ReplaceAll(b.Body, "<FF>", "\xff")
		out = append(out, b)
	}
	return append(out, oversized()...)
}

// oversized makes requests that are over a limit.
func oversized() []badRequest {
	const mib = 1 << 20
	var out []badRequest
	for _, media := range []string{"text/plain", "application/json", "application/occi+json", "application/xml", "application/yaml",
		"application/atom+xml", "application/occi+text", "text/uri-list"} {
		out = append(out, badRequest{Name: "a body of 1 MiB and more as " + media, Method: "POST", Path: "/compute/",
			Body: strings.Repeat(" \n", mib/2+1), Header: []string{"Content-Type: " + media}, Status: 413, Names: []string{"1048576"}})
	}
	type big struct{ name, media, body string }
	for _, b := range []big{
		{"title", "application/json", `{"title":"` + strings.Repeat("x", 70<<10) + `"}`},
		{"attributes", "application/json", `{` + strings.Repeat(`"a.b":1,`, 2000) + `"c":1}`},
		{"JSON", "application/json", strings.Repeat(`{"a":`, 5000) + "1" + strings.Repeat("}", 5000)},
		{"arrays", "application/occi+json", strings.Repeat("[", 100_000)},
		{"XML", "application/xml", strings.Repeat("<occi>", 20_000)},
		{"YAML", "application/yaml", strings.Repeat("[", 20_000)},
		{"YAML lines", "application/yaml", strings.Repeat("- ", 20_000)},
		{"lines", "text/plain", strings.Repeat("X-OCCI-Attribute: a.b=1\n", 5000)},
		{"categories", "text/plain", strings.Repeat(`Category: x; scheme="http://example.com/#"; class="mixin"`+"\n", 5000)},
		{"links", "text/plain", strings.Repeat("Link: </network/1>; rel=\"x#y\"\n", 5000)},
	} {
		out = append(out, badRequest{Name: "much: " + b.name, Method: "POST", Path: "/compute/", Body: b.body,
			Header: []string{"Content-Type: " + b.media}, Status: 400})
	}
	return out
}

func TestBadRequestsAreRefusedWithoutATrace(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	self := c.create("/compute/", `{"title":"a"}`)[len("/compute/"):]
	bad := badRequests(t, self)
	if len(bad) < 200 {
		t.Fatalf("only %d bad requests", len(bad))
	}
	formats := render.Formats()
	before := c.revision()
	for i, b := range bad {
		format := formats[i%len(formats)]
		own := slices.IndexFunc(b.Header, func(h string) bool { return strings.HasPrefix(h, "Accept:") })
		if own < 0 {
			b.Header = append(b.Header, "Accept: "+format.Media)
		} else if format = render.Named(b.Header[own][len("Accept: "):]); format == nil {
			format = formats[0]
		}
		r := c.do(b.Method, b.Path, b.Body, b.Header...)
		if fault := b.judge(r, format); fault != "" {
			t.Errorf("%s (%s %s as %s): %s\n%s", b.Name, b.Method, b.Path, format.Media, fault, r.text)
		}
		if now := c.revision(); now != before {
			t.Errorf("%s: something changed", b.Name)
			before = now
		}
	}
}

// judge says what is wrong with an answer, "" if nothing is.
func (b *badRequest) judge(r reply, format *render.Format) string {
	// Beyond a limit it does not matter which of two reasons is given.
	tooLarge := b.Status == 400 && strings.HasPrefix(b.Name, "much:") && r.StatusCode == http.StatusRequestEntityTooLarge
	if r.StatusCode != b.Status && !tooLarge {
		return fmt.Sprintf("status %d, want %d", r.StatusCode, b.Status)
	}
	if got := r.Header.Get("Content-Type"); got != format.Type && !strings.HasSuffix(r.Request.URL.Path, ".doc") {
		return fmt.Sprintf("it is answered in %s", got)
	}
	if r.StatusCode == http.StatusMethodNotAllowed && r.Header.Get("Allow") == "" {
		return "405 without Allow"
	}
	if strings.TrimSpace(r.text) == "" {
		return "it says nothing"
	}
	for _, name := range b.Names {
		if !strings.Contains(r.text, name) {
			return fmt.Sprintf("it does not name %q", name)
		}
	}
	return ""
}
