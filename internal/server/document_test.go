package server_test

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/occid/occid/spec"
)

func TestSchemasAreServed(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	for name, media := range map[string]string{"occi.json": "application/schema+json", "descriptor.json": "application/schema+json", "occi.xsd": "application/xml; charset=utf-8"} {
		r := c.do("GET", "/schema/"+name, "", "Accept: image/png").want(t, 200)
		want, err := fs.ReadFile(spec.Schemas(), name)
		if err != nil || r.text != string(want) || r.Header.Get("Content-Type") != media {
			t.Errorf("%s: %v, %s\n%s", name, err, r.Header, r.text)
		}
		c.do("GET", "/schema/"+name, "", "If-None-Match: "+r.Header.Get("ETag")).want(t, 304)
		if head := c.do("HEAD", "/schema/"+name, "").want(t, 200); head.ContentLength != int64(len(want)) || head.text != "" {
			t.Errorf("%s: HEAD %v", name, head.Header)
		}
	}
	for _, path := range []string{"/-/", "/-/states"} {
		for suffix, schema := range map[string]string{".json": "descriptor.json", ".xml": "occi.xsd", ".atom": "occi.xsd"} {
			if got := c.do("GET", path+suffix, "").want(t, 200).Header.Get("Link"); !strings.HasPrefix(got, "<"+c.url+"/schema/"+schema+`>; rel="describedby"`) {
				t.Errorf("GET %s%s: Link: %s", path, suffix, got)
			}
		}
		for _, standard := range []string{"text/plain", "text/occi", "application/occi+json"} {
			if got := c.do("GET", path, "", "Accept: "+standard).want(t, 200).Header["Link"]; got != nil {
				t.Errorf("GET %s as %s: Link: %s", path, standard, got)
			}
		}
	}
}

// TestServedSchemaJudges has a client judge an answer by the schema it got.
func TestServedSchemaJudges(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	path := c.create("/compute/", `{"title":"a"}`)
	dir := t.TempDir()
	for file, from := range map[string]string{"occi.xsd": "/schema/occi.xsd", "compute.xml": path + ".xml"} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(c.do("GET", from, "").want(t, 200).text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	lint := exec.Command("xmllint", "--noout", "--nonet", "--schema", "occi.xsd", "compute.xml")
	lint.Dir = dir
	if out, err := lint.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, []byte(c.do("GET", "/schema/occi.json", "").text), "", "  "); err != nil {
		t.Error(err)
	}
}
