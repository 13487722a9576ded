package server_test

import (
	"context"
	"strings"
	"sync"
	"testing"
)

func TestTasksAreResources(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	r := c.do("POST", "/compute/", `{"title":"a"}`, "Content-Type: application/json", "Accept: application/json", "Prefer: wait=20").want(t, 201, `"title": "a"`)
	path := strings.TrimPrefix(r.Header.Get("Location"), c.url)
	task := strings.TrimPrefix(r.Header.Get("X-Task-Location"), c.url)
	if !strings.HasPrefix(task, "/task/") || r.Header.Get("Preference-Applied") != "wait" {
		t.Fatalf("task at %q, Preference-Applied %q", task, r.Header.Get("Preference-Applied"))
	}
	shown := c.do("GET", task, "").want(t, 200, `occid.task.state="done"`, `occid.task.verb="create"`, "occid.task.progress=100")
	c.do("GET", task, "", "If-None-Match: "+shown.Header.Get("ETag")).want(t, 304)
	c.do("GET", task+".json", "").want(t, 200, `"state": "done"`)
	c.do("GET", "/tasklink/"+task[len("/task/"):], "").want(t, 404)
	c.do("DELETE", task, "").want(t, 409, "the task is over: done")
	c.do("PUT", task, "{}").want(t, 405)

	queued := c.do("POST", path+"/tasks/", `{"action":"http://schemas.ogf.org/occi/infrastructure/compute/action#start"}`,
		"Content-Type: application/occi+json", "Prefer: wait=20").want(t, 201, "/task/")
	if got := queued.Header.Get("Location"); got != queued.Header.Get("X-Task-Location") {
		t.Errorf("Location is %q, the task's %q", got, queued.Header.Get("X-Task-Location"))
	}
	c.do("POST", path+"/tasks/", `{"action":"http://schemas.ogf.org/occi/infrastructure/compute/action#start"}`,
		"Content-Type: application/occi+json").want(t, 200, `occi.compute.state="active"`)
	c.do("POST", path+"/tasks/", `{}`, "Content-Type: application/occi+json").want(t, 400, "no action")
	if all := c.paths(path + "/tasks/"); len(all) != 2 || all[0] != task {
		t.Errorf("tasks %v", all)
	}
	if second := c.paths(path + "/tasks/?page=2&number=1"); len(second) != 1 {
		t.Errorf("the second page of tasks is %v", second)
	}
	if open := c.paths("/task/"); len(open) != 0 {
		t.Errorf("unfinished tasks %v", open)
	}
	c.do("GET", "/network/"+path[len("/compute/"):]+"/tasks/", "").want(t, 404)
}

func TestRunningTasks(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	path := c.create("/compute/", `{"title":"a"}`)
	begun := make(chan struct{})
	c.host.onStart(func(ctx context.Context) error {
		close(begun)
		<-ctx.Done()
		return ctx.Err()
	})
	start := strings.TrimPrefix(c.do("POST", path+"/tasks/?action=start", "").want(t, 201).Header.Get("Location"), c.url)
	<-begun
	c.do("GET", start, "", "Accept: application/json").want(t, 200, `"state": "running"`, `"verb": "start"`)
	link := strings.Replace(start, "/task/", "/tasklink/", 1)
	c.do("GET", path, "").want(t, 200, "Link: <"+start+">", `occi.compute.state.message="starting"`)
	c.do("GET", link, "").want(t, 200, `occi.core.source="`+path+`"`, `occi.core.target="`+start+`"`)
	for collection, want := range map[string]string{
		"/task/": start, "/tasklink/": link, "/task/?state=running": start, "/task/?state=pending": "", "/task/?verb=start": start, "/task/?verb!=start": "",
		"/task/?attempts>=1&sort=-created": start, "/task/?q=START": start, "/task/?id=" + start[len("/task/"):]: start, "/tasklink/?source=" + path: link,
		path + "/tasks/?state=running": start, path + "/tasks/?state=failed": "", path + "/tasks/?q=nothing": "",
	} {
		if got := strings.Join(c.paths(collection), " "); got != want {
			t.Errorf("%s lists %q, want %q", collection, got, want)
		}
	}
	stop := strings.TrimPrefix(c.do("POST", path+"/tasks/?action=stop&method=poweroff", "").want(t, 201).Header.Get("Location"), c.url)
	if got := strings.Join(c.paths("/task/?sort=-verb"), " "); got != stop+" "+start {
		t.Errorf("in the order of verbs: %q", got)
	}
	for _, task := range []string{stop, start} {
		c.do("DELETE", task, "").want(t, 200, `occid.task.state="cancelled"`)
		c.do("DELETE", task, "").want(t, 409, "cancelled")
	}
	if got := c.paths("/task/"); len(got) > 0 {
		t.Errorf("unfinished are %v", got)
	}
}

func TestIdempotencyKeys(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	send := func(title string) reply {
		return c.do("POST", "/compute/", `{"title":"`+title+`"}`, "Content-Type: application/json", "Idempotency-Key: k-1")
	}
	const times = 20
	locations := make([]string, times)
	var wg sync.WaitGroup
	for i := range times {
		wg.Go(func() {
			if r := send("a"); r.StatusCode == 201 {
				locations[i] = r.Header.Get("Location")
			}
		})
	}
	wg.Wait()
	for i, l := range locations {
		if l == "" || l != locations[0] {
			t.Errorf("request %d made %q, the first %q", i, l, locations[0])
		}
	}
	if all := c.paths("/compute/"); len(all) != 1 {
		t.Errorf("%d machines under one key", len(all))
	}
	if r := send("b"); r.StatusCode != 409 || !strings.Contains(r.text, "k-1") {
		t.Errorf("another request under the key: %d %s", r.StatusCode, r.text)
	}
}
