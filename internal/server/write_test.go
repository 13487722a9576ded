package server_test

import (
	"context"
	"errors"
	"strings"
	"testing"
)

func TestActionParametersMayBeAnywhere(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	path := c.create("/compute/", `{"title":"a"}`)
	const actions = "http://schemas.ogf.org/occi/infrastructure/compute/action#"
	for _, x := range []struct{ target, media, body string }{
		{path + "?action=stop&method=poweroff", "", ""},
		{path + "?action=stop;method=poweroff", "", ""},
		{path + "?action=stop", "text/plain", "Category: stop; scheme=\"" + actions + "\"; class=\"action\"\nX-OCCI-Attribute: method=\"poweroff\"\n"},
		{path + "?action=stop", "application/occi+json", `{"action":"` + actions + `stop","attributes":{"method":"poweroff"}}`},
		{path + "?action=stop", "application/json", `{"method":"poweroff"}`},
		{path + "?action=stop", "application/xml", "<occi><action>stop</action><method>poweroff</method></occi>"},
		{path + "?action=stop", "application/yaml", "method: poweroff"},
		{path + "?action=stop", "application/occi+text", "method poweroff"},
		{"/compute/?action=stop&method=poweroff&title=a", "", ""},
	} {
		c.do("POST", path+"?action=start", "", "Prefer: wait=60").want(t, 200)
		header := []string{"Prefer: wait=60"}
		if x.media != "" {
			header = append(header, "Content-Type: "+x.media)
		}
		r := c.do("POST", x.target, x.body, header...).want(t, 200)
		task := strings.TrimPrefix(r.Header.Get("X-Task-Location"), c.url)
		c.do("GET", task, "").want(t, 200, `occid.task.verb="stop"`, `occid.task.state="done"`)
		c.do("GET", path, "").want(t, 200, `occi.compute.state="inactive"`)
	}
	queued := c.do("POST", path+"/tasks/?action=stop&method=acpioff", "").want(t, 200)
	if got := queued.Header.Get("Location"); got != c.url+path {
		t.Errorf("what is as asked is at %q, want the entity", got)
	}
}

func TestWritesTellTheVersion(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	const path, json = "/storage/6a0f3b0e-6c1d-4d5e-8f00-000000000001", "Content-Type: application/json"
	for _, x := range []struct {
		name, method, body string
		status             int
	}{
		{"creation", "PUT", `{"size":1,"title":"a"}`, 201},
		{"replacement", "PUT", `{"size":1,"title":"b"}`, 200},
		{"update", "POST", `{"title":"c"}`, 200},
	} {
		// What the host does to it later is another version.
		r := c.do(x.method, path, x.body, json, "Prefer: wait=60", "Accept: application/occi+json").want(t, x.status)
		now := c.do("GET", path, "", "Accept: application/occi+json")
		for _, name := range []string{"ETag", "Last-Modified"} {
			if got, want := r.Header.Get(name), now.Header.Get(name); got != want || got == "" {
				t.Errorf("%s: %s is %q, GET has %q", x.name, name, got, want)
			}
		}
	}
	collection := c.do("GET", "/storage/", "").Header.Get("ETag")
	c.do("POST", "/storage/?action=offline", "", "If-Match: "+collection, "Prefer: wait=60").want(t, 200)
	c.do("POST", "/storage/?action=online", "", "If-Match: "+collection).want(t, 412, "If-Match")
	c.do("DELETE", "/storage/", "", "If-Match: "+collection).want(t, 412, "If-Match")
}

func TestWhatWasDoneButCannotBeShownIsSaid(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	path := c.create("/compute/", `{"title":"a"}`)
	r := c.do("POST", path, `{"summary":"`+strings.Repeat("x", 62<<10)+`"}`, "Content-Type: application/json", "Accept: text/occi").want(t, 200)
	if got := r.Header.Get("Location"); got != c.url+path || r.Header.Get("ETag") != "" {
		t.Errorf("Location is %q, ETag %q", got, r.Header.Get("ETag"))
	}
	c.do("GET", path, "", "Accept: text/occi").want(t, 406)
	if r := c.do("DELETE", path, "", "Accept: application/json").want(t, 204); r.Header.Get("Content-Type") != "application/json" {
		t.Errorf("no content comes as %q", r.Header.Get("Content-Type"))
	}
}

func TestManyTasksDoNotFillTheHeader(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	body := `{"resources":[` + strings.Repeat(`{"type":"compute"},`, 99) + `{"type":"compute"}]}`
	r := c.do("POST", "/compute/", body, "Content-Type: application/json").want(t, 201)
	if n := strings.Count(r.Header.Get("X-Task-Location"), "/task/"); n != 32 {
		t.Errorf("%d of 100 tasks are named, want 32", n)
	}
}

func TestPreferredWait(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	path := c.create("/compute/", `{"title":"a"}`)
	c.host.onStart(func(context.Context) error { return errors.New("no processor is left") })
	for prefer, applied := range map[string]string{
		"wait=60": "wait", "respond-async, wait=5": "wait", `WAIT="7"`: "wait", "wait=100000": "wait", "return=minimal": "", "wait=0": "",
	} {
		r := c.do("POST", path+"?action=start", "", "Prefer: "+prefer).want(t, 200)
		if got := r.Header.Get("Preference-Applied"); got != applied {
			t.Errorf("Prefer: %s: Preference-Applied is %q, want %q", prefer, got, applied)
		}
		if applied != "" && !strings.Contains(r.text, "no processor is left") {
			t.Errorf("Prefer: %s: a failure that was waited for does not show:\n%s", prefer, r.text)
		}
	}
}
