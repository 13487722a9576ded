package server_test

import (
	"encoding/base64"
	"strings"
	"testing"
)

// TestEntriesArePosted makes entities of Atom's documents, whichever content they
// embed, and of the entries that another server shows.
func TestEntriesArePosted(t *testing.T) {
	t.Parallel()
	c, other := newCloud(t), newCloud(t)
	const media, wait = "Content-Type: application/atom+xml; type=entry", "Prefer: wait=20"
	entry := func(content string) string {
		return `<entry xmlns="http://www.w3.org/2005/Atom"><title>not this</title><id>urn:x</id><updated>2026-01-02T03:04:05Z</updated>` + content + `</entry>`
	}
	encoded := base64.StdEncoding.EncodeToString([]byte(`{"type":"compute","title":"t","cores":3}`))
	for name, content := range map[string]string{
		"xml":      `<content type="application/occi+xml"><occi xmlns="http://purl.org/occi"><type>compute</type><title>t</title><cores>3</cores></occi></content>`,
		"resource": `<content type="application/xml"><o:resource xmlns:o="http://purl.org/occi"><o:type>compute</o:type><o:title>t</o:title><o:cores>3</o:cores></o:resource></content>`,
		"text":     "<content>type compute\ntitle t\ncores 3\n</content>",
		"json":     `<content type="application/json">` + encoded + `</content>`,
	} {
		for _, collection := range []string{"/compute/", "/"} {
			r := c.do("POST", collection, entry(content), media, wait, "Accept: application/json").want(t, 201, `"title": "t"`, `"cores": 3`)
			if r.Header.Get("Location") == "" {
				t.Errorf("%s to %s: no Location", name, collection)
			}
		}
	}
	feed := `<feed xmlns="http://www.w3.org/2005/Atom">` + strings.Repeat(`<entry><content>type storage&#10;size 1&#10;</content></entry>`, 2) + `</feed>`
	c.do("POST", "/storage/", feed, media, wait).want(t, 201)
	if n := len(c.paths("/storage/")); n != 2 {
		t.Errorf("a feed of two entries made %d", n)
	}
	for _, content := range []string{"xml", "json", "text"} {
		path := other.create("/compute/", `{"title":"<`+content+`>","cores":2,"publickey":"ssh-ed25519 A"}`)
		shown := other.do("GET", path+".atom?content="+content, "").want(t, 200)
		c.do("POST", "/compute/", shown.text, media, wait).want(t, 201)
		c.do("GET", path+".txt", "").want(t, 200, "title <"+content+">", "cores 2", "publickey ssh-ed25519 A")
	}
}
