package server_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestProjections asks for parts of entities in every rendering: what is named is
// there, and nothing else.
func TestProjections(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	path := c.create("/compute/", `{"title":"TITLE","summary":"SUMMARY","cores":3,"memory":"5 GiB","publickey":"ssh-ed25519 KEY"}`)
	network := c.create("/network/", `{"title":"n"}`)
	c.create("/networkinterface/", fmt.Sprintf(`{"source":%q,"target":%q}`, path, network))
	parts := map[string]string{"title": "TITLE", "summary": "SUMMARY", "cores": "3", "publickey": "KEY", "state": "inactive", "links": network, "mixins": "ssh_key", "actions": "start"}
	for _, media := range []string{"text/plain", "application/occi+json", "application/occi+text", "application/json", "application/xml", "application/yaml"} {
		for _, asked := range []string{"cores", "cores,state", "occi.compute.cores,publickey", "title, actions", "links,summary", "mixins", "id", "type,memory,cores"} {
			collection := "/compute/?attributes="
			if media == "text/plain" {
				collection = path + "?attributes=" // lists have locations only
			} else if media == "application/xml" {
				collection = path + ".xml?attributes=" // a feed's entries have more than descriptors
			}
			for _, from := range []string{path + "?attributes=", collection} {
				r := c.do("GET", from+strings.ReplaceAll(asked, " ", "+"), "", "Accept: "+media).want(t, 200, path[len("/compute/"):], "compute")
				text := strings.NewReplacer(path, "", path[len("/compute/"):], "", "UUID", "").Replace(r.text)
				for name, mark := range parts {
					if name == "cores" {
						mark = map[string]string{"text/plain": "occi.compute.cores=3", "application/occi+json": `"occi.compute.cores":3`, "application/xml": "<cores>3"}[media]
						if mark == "" {
							mark = "cores"
						}
					}
					if name == "state" && strings.Contains(asked, "links") {
						continue // a link has its own
					}
					named := slices.Contains(strings.FieldsFunc(asked, func(r rune) bool { return r == ',' || r == ' ' || r == '.' }), name)
					if strings.Contains(text, mark) != named {
						t.Errorf("%s of %s as %s: %s is there: %v\n%s", asked, from, media, name, !named, r.text)
					}
				}
			}
		}
	}
	for content, want := range map[string]string{"xml": "<occi:cores>3</occi:cores><occi:id>", "text": "type compute\ncores 3\nid "} {
		r := c.do("GET", "/compute/.atom?attributes=cores&content="+content, "").want(t, 200, "TITLE", "SUMMARY", `term="ssh_key"`, `rel="http://schemas.ogf.org/occi/infrastructure#network"`)
		if text := strings.ReplaceAll(r.text, "&#10;", "\n"); !strings.Contains(text, want) || strings.Contains(text, "5 Gb") {
			t.Errorf("content %s: %s", content, text)
		}
	}
	whole := c.do("GET", path, "").want(t, 200)
	part := c.do("GET", path+"?attributes=cores", "").want(t, 200)
	if whole.Header.Get("ETag") == part.Header.Get("ETag") || whole.text == part.text {
		t.Error("a part is taken for the whole")
	}
	c.do("GET", path+"?attributes=cores", "", "If-None-Match: "+part.Header.Get("ETag")).want(t, 304)
	c.do("GET", c.paths(path + "/tasks/")[0]+".json?attributes=verb", "").want(t, 200, `"verb": "create"`)
	if tasks := c.do("GET", path+"/tasks/.json?attributes=verb", "").want(t, 200, `"verb":"create"`); strings.Contains(tasks.text, "attempts") {
		t.Error(tasks.text)
	}
}
