package server_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/occid/occid/internal/dbtest"
	"github.com/occid/occid/occi"
	"github.com/occid/occid/render"
	"github.com/occid/occid/spec"
)

// tagsModel is a registry with tags of an operator.
func tagsModel(t *testing.T) *occi.Model {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "tags.yaml"), []byte(`mixins:
  - {id: "http://example.com/tags#web", title: Web servers, location: /mixin/tags/web/}
  - id: http://example.com/tags#team
    title: Belongs to a team
    attributes: [{name: com.example.team, short: team, type: string, description: Name of the team}]
`), 0o600); err != nil {
		t.Fatal(err)
	}
	m, err := spec.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// taggedCloud is a cloud whose registry has tags.
func taggedCloud(t *testing.T) *cloud {
	t.Helper()
	return newCloudOf(t, dbtest.SQLite(t), tagsModel(t))
}

// exported is a cloud with a running compute that has links and tags, and the
// paths of what it is linked to.
func exported(t *testing.T) (c *cloud, compute, network, storage string) {
	t.Helper()
	c = taggedCloud(t)
	network = c.create("/network/", `{"title":"lan","vlan":7,"address":"198.18.0.0/24","allocation":"dynamic"}`)
	storage = c.create("/storage/", `{"title":"data","size":"1.5 GiB"}`)
	compute = c.create("/compute/", fmt.Sprintf(`{"title":"web, \"1\"","summary":"a\nb","cores":2,"memory":"1.5 GiB","hostname":"web-1",
		"publickey":"ssh-ed25519 AAAA","team":"blue","mixins":["http://example.com/tags#web","http://example.com/tags#team"],"links":[
		{"type":"networkinterface","target":%q,"mac":"52:54:00:12:34:56","address":"198.18.0.5"},
		{"type":"storagelink","target":%q,"title":"disk","mixins":["http://example.com/tags#web"]},
		{"type":"link","target":"http://elsewhere.example.com/compute/1","title":"peer"}]}`, network, storage))
	c.do("POST", compute+"?action=start", "", "Prefer: wait=20").want(t, 200)
	return c, compute, network, storage
}

// identity is what an entity keeps wherever it is: all but its state, what can be
// done with it and what is under way.
func (c *cloud) identity(path string) map[string]any {
	c.t.Helper()
	var d map[string]any
	if err := json.Unmarshal([]byte(c.do("GET", path+".json", "").want(c.t, 200).text), &d); err != nil {
		c.t.Fatal(err)
	}
	links, _ := d["links"].([]any)
	links = slices.DeleteFunc(links, func(l any) bool { return l.(map[string]any)["type"] == "tasklink" })
	if len(links) > 0 {
		id := func(l any) string { return l.(map[string]any)["id"].(string) }
		slices.SortFunc(links, func(a, b any) int { return strings.Compare(id(a), id(b)) })
		d["links"] = links
	}
	for _, x := range append(slices.Clone(links), any(d)) {
		for _, key := range []string{"state", "message", "actions"} {
			delete(x.(map[string]any), key)
		}
	}
	return d
}

// show gets a representation and gives what a client would send elsewhere: the
// body and header fields.
func (c *cloud) show(path, media string) (string, []string) {
	c.t.Helper()
	r := c.do("GET", path, "", "Accept: "+media).want(c.t, 200)
	header := []string{"Content-Type: " + media, "Prefer: wait=20"}
	if media != "text/occi" {
		return r.text, header
	}
	for _, name := range []string{"Category", "Link", "X-Occi-Attribute"} {
		if r.Header[name] != nil {
			header = append(header, name+": "+r.Header[name][0])
		}
	}
	return "", header
}

// TestAnImportKeepsItsIdentity takes a network, a storage and a compute from one
// cloud to another in every format that is read.
func TestAnImportKeepsItsIdentity(t *testing.T) {
	t.Parallel()
	from, compute, network, storage := exported(t)
	for _, f := range render.Formats() {
		if !f.Reads || f.Media == "text/uri-list" {
			continue
		}
		t.Run(f.Media, func(t *testing.T) {
			to := taggedCloud(t)
			for i, path := range []string{network, storage, compute} {
				media := f.Media
				if f.Targets && path != compute {
					media = "application/json"
				}
				body, header := from.show(path, media)
				collection := path[:strings.LastIndexByte(path, '/')+1]
				r := to.do("POST", collection, body, header...).want(t, 201)
				if got := r.Header.Get("Location"); got != to.url+path {
					t.Errorf("%s became %s", path, got)
				}
				if diff := gocmp.Diff(from.identity(path), to.identity(path)); diff != "" {
					t.Errorf("%s (-there +here):\n%s", path, diff)
				}
				before := to.revision()
				to.do("POST", collection, body, header...).want(t, 409, path, "already")
				if now := to.revision(); now != before {
					t.Errorf("import %d: a refused import changed something", i)
				}
			}
			want(t, to.identity(compute)["id"], strings.TrimPrefix(compute, "/compute/"))
			if state := to.field(compute, "state"); state != "inactive" {
				t.Errorf("the import is %v", state)
			}
			to.do("DELETE", compute, "", "Prefer: wait=20").want(t, 200)
			body, header := from.show(compute, f.Media)
			to.do("PUT", compute, body, header...).want(t, 201)
			if diff := gocmp.Diff(from.identity(compute), to.identity(compute)); diff != "" {
				t.Errorf("PUT (-there +here):\n%s", diff)
			}
		})
	}
}

func want(t *testing.T, got, want any) {
	t.Helper()
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// field is one value of an entity.
func (c *cloud) field(path, key string) any {
	c.t.Helper()
	var d map[string]any
	if err := json.Unmarshal([]byte(c.do("GET", path+".json", "").want(c.t, 200).text), &d); err != nil {
		c.t.Fatal(err)
	}
	return d[key]
}

// TestACloudIsImportedWhole sends what one cloud shows at its root to another, in
// one request.
func TestACloudIsImportedWhole(t *testing.T) {
	t.Parallel()
	from, compute, network, storage := exported(t)
	for _, suffix := range []string{".json", ".xml", ".yaml", ".txt", ".atom"} {
		t.Run(suffix, func(t *testing.T) {
			to := taggedCloud(t)
			r := from.do("GET", "/"+suffix, "").want(t, 200)
			to.do("POST", "/", r.text, "Content-Type: "+r.Header.Get("Content-Type"), "Prefer: wait=20").want(t, 201)
			for _, path := range []string{network, storage, compute} {
				if diff := gocmp.Diff(from.identity(path), to.identity(path)); diff != "" {
					t.Errorf("%s (-there +here):\n%s", path, diff)
				}
			}
			want(t, to.paths("/link/"), from.paths("/link/"))
		})
	}
}

// TestAnImportIsRefusedWhole sends what cannot be taken over as it is.
func TestAnImportIsRefusedWhole(t *testing.T) {
	t.Parallel()
	from, compute, network, storage := exported(t)
	for _, x := range []struct {
		name   string
		to     *cloud
		first  []string // what is imported before
		status int
		names  []string
	}{
		{"nothing it is linked to is there", taggedCloud(t), nil, 400, []string{network, storage}},
		{"a storage is not there", taggedCloud(t), []string{network}, 400, []string{storage}},
		{"no tag is known", newCloud(t), []string{network, storage}, 400, []string{"http://example.com/tags#web", "unknown mixin"}},
	} {
		t.Run(x.name, func(t *testing.T) {
			for _, path := range x.first {
				body, header := from.show(path, "application/json")
				x.to.do("POST", "/", body, header...).want(t, 201)
			}
			before := x.to.revision()
			for _, f := range render.Formats() {
				if !f.Reads || f.Media == "text/uri-list" {
					continue
				}
				body, header := from.show(compute, f.Media)
				x.to.do("POST", "/compute/", body, header...).want(t, x.status, x.names...)
				x.to.do("PUT", compute, body, header...).want(t, x.status, x.names...)
			}
			if now := x.to.revision(); now != before {
				t.Error("something changed")
			}
		})
	}
}

// TestOneOfManyImportsWins sends the same machine many times at once: one is
// taken, and all requests under one key are the same request.
func TestOneOfManyImportsWins(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, c *cloud) {
		for _, key := range []string{"", "k-1"} {
			id := uuid.NewString()
			header := []string{"Content-Type: application/json"}
			if key != "" {
				header = append(header, "Idempotency-Key: "+key)
			}
			statuses := make([]int, 8)
			var all sync.WaitGroup
			for i := range statuses {
				all.Go(func() {
					statuses[i] = c.do("POST", "/compute/", `{"type":"compute","id":"`+id+`"}`, header...).StatusCode
				})
			}
			all.Wait()
			made := 0
			for _, s := range statuses {
				switch {
				case s == 201:
					made++
				case s != 409:
					t.Errorf("key %q: %d", key, statuses)
				}
			}
			if made != 1 && key == "" || made != len(statuses) && key != "" {
				t.Errorf("key %q: %d", key, statuses)
			}
		}
	})
}

// TestATakenIdentifierIsAConflict tries every way to take one.
func TestATakenIdentifierIsAConflict(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, c *cloud) {
		network := c.create("/network/", `{"title":"n"}`)
		compute := c.create("/compute/", `{"title":"c","links":["`+network+`"]}`)
		link := c.paths("/networkinterface/")[0]
		id := strings.TrimPrefix(compute, "/compute/")
		free := uuid.NewString()
		before := c.revision()
		for _, x := range []struct {
			name, method, path, body string
			status                   int
			says                     string
		}{
			{"of the kind", "POST", "/compute/", `{"type":"compute","id":"` + id + `"}`, 409, compute},
			{"as a urn", "POST", "/compute/", `{"type":"compute","id":"urn:uuid:` + strings.ToUpper(id) + `"}`, 409, compute},
			{"of another kind", "POST", "/storage/", `{"type":"storage","size":1,"id":"` + id + `"}`, 409, compute},
			{"of a link", "POST", "/compute/", `{"type":"compute","id":"` + strings.TrimPrefix(link, "/networkinterface/") + `"}`, 409, link},
			{"of one of several", "POST", "/", `[{"type":"compute"},{"type":"network","id":"` + id + `"}]`, 409, compute},
			{"an inline link's", "POST", "/compute/", `{"type":"compute","links":[{"type":"networkinterface","target":"` + network + `","id":"` + id + `"}]}`, 409, compute},
			{"a new link's", "POST", compute, `{"links":[{"type":"networkinterface","target":"` + network + `","id":"` + id + `"}]}`, 400, "connects"},
			{"a link's own", "POST", "/networkinterface/", `{"type":"networkinterface","source":"` + compute + `","target":"` + network + `","id":"` + id + `"}`, 400, "connects"},
			{"at the URL", "PUT", "/network/" + id, `{"type":"network"}`, 409, "compute"},
			{"twice in one request", "POST", "/", `[{"type":"compute","id":"` + free + `"},{"type":"network","id":"` + free + `"}]`, 400, free},
		} {
			r := c.do(x.method, x.path, x.body, "Content-Type: application/json", "Accept: application/json")
			if r.StatusCode != x.status || !strings.Contains(r.text, x.says) {
				t.Errorf("%s: %d, want %d naming %s\n%s", x.name, r.StatusCode, x.status, x.says, r.text)
			}
			if now := c.revision(); now != before {
				t.Errorf("%s: something changed", x.name)
			}
		}
		// What is no UUID is no identifier: the server gives one.
		c.create("/compute/", `{"type":"compute","id":"my-machine"}`)
		c.create("/compute/", `{"type":"compute","id":"00000000-0000-0000-0000-000000000000"}`)
		// A UUID is free again once nothing has it.
		c.do("DELETE", compute, "", "Prefer: wait=20").want(t, 200)
		c.create("/compute/", `{"type":"compute","id":"`+id+`"}`)
	})
}
