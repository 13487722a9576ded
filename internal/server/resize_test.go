package server_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/occid/occid/render"
)

// TestResizeOfARunningMachine changes the size of a machine at work: the test host
// adds processors at once, and memory beyond what a machine was started with only
// at its next start, which the machine tells in every rendering.
func TestResizeOfARunningMachine(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	wait := "Prefer: wait=20"
	path := c.create("/compute/", `{"title":"m","cores":1,"memory":"1 GiB"}`)
	c.do("POST", path+"?action=start", "", wait).want(t, 200)
	json := "Content-Type: application/json"
	r := c.do("POST", path, `{"cores":4}`, json, wait).want(t, 200, "occi.compute.cores=4")
	if strings.Contains(r.text, "pending") {
		t.Errorf("something is pending:\n%s", r.text)
	}
	// A resource template does it as well as attributes.
	c.do("POST", "/mixin/resource_tpl/large/", path, "Content-Type: text/uri-list", wait).want(t, 200)
	const pending = "occi.compute.memory"
	for _, f := range render.Formats() {
		r := c.do("GET", path, "", "Accept: "+f.Media)
		text := r.text + strings.Join(slices.Concat(r.Header["X-Occi-Attribute"]), "\n")
		if f.Media != "text/uri-list" && (!strings.Contains(text, "pending") || !strings.Contains(text, pending)) {
			t.Errorf("as %s it does not say what is pending:\n%s", f.Media, text)
		}
	}
	c.do("GET", path, "").want(t, 200, `occid.compute.pending="occi.compute.memory"`, "occi.compute.memory=4.0")
	c.create("/compute/", `{"title":"other"}`)
	for _, query := range []string{"?pending=" + pending, "?pending!="} {
		if found := c.paths("/compute/" + query); len(found) != 1 {
			t.Errorf("%s finds %v", query, found)
		}
	}
	// What a client read it may send back, but not set.
	text := c.do("GET", path, "").text
	c.do("PUT", path, text, "Content-Type: text/plain", wait).want(t, 200, "occid.compute.pending")
	c.do("POST", path, `{"pending":"nothing"}`, json).want(t, 403, "occid.compute.pending")
	c.do("POST", path+"?action=restart&method=warm", "", wait).want(t, 200, "occid.compute.pending")
	r = c.do("POST", path+"?action=restart&method=cold", "", wait).want(t, 200, "occi.compute.memory=4.0")
	if strings.Contains(r.text, "pending") {
		t.Errorf("something is pending after a start:\n%s", r.text)
	}
}
