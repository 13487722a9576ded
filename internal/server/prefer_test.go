package server_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"
)

// TestRespondAsync sends each kind of write that leaves tasks with RFC 7240's
// respond-async, and looks for the task in the answer.
func TestRespondAsync(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	one, two := c.create("/compute/", `{"title":"one"}`), c.create("/compute/", `{"title":"two"}`)
	disk := c.create("/storage/", `{"title":"disk","size":1}`)
	stopped := c.create("/compute/", `{"title":"doomed"}`)
	json := "Content-Type: application/json"
	for _, tt := range []struct {
		name, method, path, body, verb string
	}{
		{"create", "POST", "/compute/", `{"title":"new"}`, "create"},
		{"create at a UUID", "PUT", "/network/5b7e7a64-3c2b-4f5e-8f0a-0f5f5f5f5f5f", `{"title":"net"}`, "create"},
		{"change", "POST", one, `{"cores":2}`, "update"},
		{"replace", "PUT", one, `{"title":"one again"}`, "update"},
		{"act", "POST", one + "?action=start", "", "start"},
		{"act on a collection", "POST", "/storage/?action=offline", "", "offline"},
		{"queue", "POST", disk + "/tasks/?action=online", "", "online"},
		{"associate", "POST", "/mixin/resource_tpl/medium/", `["` + two + `"]`, "update"},
		{"delete", "DELETE", stopped, "", "delete"},
		{"delete what a filter finds", "DELETE", "/network/?title=net", "", "delete"},
	} {
		r := c.do(tt.method, tt.path, tt.body, json, "Accept: application/json", "Prefer: respond-async")
		if r.StatusCode != 202 || r.Header.Get("Preference-Applied") != "respond-async" {
			t.Errorf("%s: %d, Preference-Applied %q\n%s", tt.name, r.StatusCode, r.Header.Get("Preference-Applied"), r.text)
			continue
		}
		task := strings.TrimPrefix(r.Header.Get("Location"), c.url)
		if !strings.HasPrefix(task, "/task/") || !strings.Contains(r.text, task[len("/task/"):]) || !strings.Contains(r.text, fmt.Sprintf(`"verb": %q`, tt.verb)) {
			t.Errorf("%s: Location %s, body\n%s", tt.name, task, r.text)
		}
		c.do("GET", task+".json", "").want(t, 200, fmt.Sprintf(`"verb": %q`, tt.verb))
		c.settle()
	}
}

// settle waits until no task is open.
func (c *cloud) settle() {
	c.t.Helper()
	tasks, err := c.store.Unfinished(c.t.Context(), nil)
	for _, task := range tasks {
		if err == nil {
			err = c.engine.Wait(c.t.Context(), []uuid.UUID{task.ID})
		}
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

// TestRespondAsyncWaitsFirst has both preferences at once (RFC 7240 section 4.3).
func TestRespondAsyncWaitsFirst(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	path := c.create("/compute/", `{"title":"a"}`)
	r := c.do("POST", path+"?action=start", "", "Prefer: respond-async, wait=20").want(t, 200, `occi.compute.state="active"`)
	if got := r.Header.Get("Preference-Applied"); got != "wait" {
		t.Errorf("Preference-Applied is %q", got)
	}
	// Nothing is left to do.
	r = c.do("POST", path+"?action=start", "", "Prefer: respond-async").want(t, 200, `occi.compute.state="active"`)
	if got := r.Header.Get("Preference-Applied"); got != "" {
		t.Errorf("Preference-Applied is %q where nothing was left to do", got)
	}
	c.do("POST", path+"?action=stop&method=poweroff", "", "Prefer: wait=20").want(t, 200)
	begun := make(chan struct{})
	c.host.onStart(func(ctx context.Context) error {
		close(begun)
		<-ctx.Done()
		return ctx.Err()
	})
	r = c.do("POST", path+"?action=start", "", `Prefer: Respond-Async; foo="x"`, `Prefer: wait="0"`, "Prefer: wait=30").want(t, 202, `occid.task.verb="start"`)
	if location := r.Header.Get("Location"); !strings.HasPrefix(location, c.url+"/task/") || location != r.Header.Get("X-Task-Location") {
		t.Errorf("Location %q, X-Task-Location %q", location, r.Header.Get("X-Task-Location"))
	}
	<-begun
	c.do("POST", path+"?action=start", "", "Prefer: respond-async, wait=1").want(t, 202, `occid.task.state="running"`)
	c.do("DELETE", c.paths("/task/")[0], "").want(t, 200)
}

// TestRespondAsyncInEveryFormat shows the task in what the client accepts.
func TestRespondAsyncInEveryFormat(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	// A list of URIs holds no single entity, so that is answered as text.
	for _, media := range []string{"text/plain", "text/occi", "application/occi+json", "application/json",
		"application/xml", "application/yaml", "application/atom+xml"} {
		r := c.do("POST", "/network/", `{"title":"n"}`, "Content-Type: application/json", "Accept: "+media, "Prefer: respond-async").want(t, 202)
		if got := r.Header.Get("Content-Type"); !strings.HasPrefix(got, media) {
			t.Errorf("%s is answered in %s", media, got)
		}
		id := r.Header.Get("Location")[len(c.url+"/task/"):]
		if !strings.Contains(r.text+fmt.Sprint(r.Header["X-Occi-Attribute"]), id) {
			t.Errorf("%s lacks the task %s:\n%s", media, id, r.text)
		}
	}
	r := c.do("POST", "/network/?action=down", "", "Accept: text/uri-list", "Prefer: respond-async").want(t, 202)
	if lines := strings.Fields(r.text); len(lines) != 7 || lines[0] != r.Header.Get("Location") {
		t.Errorf("the tasks are\n%s", r.text)
	}
}
