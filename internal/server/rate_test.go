package server_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/occid/occid/internal/dbtest"
)

func TestRequestsAreLimited(t *testing.T) {
	t.Parallel()
	admin, member, project := guardedPair(t, dbtest.SQLite(t))
	now := time.Now()
	admin.still.Store(&now)
	other := admin.user("bob", project, "reader")
	r := member.do("GET", "/compute/", "").want(t, 200)
	if r.Header.Get("RateLimit") != "" {
		t.Errorf("there is no limit, but %q", r.Header.Get("RateLimit"))
	}
	admin.bounds("/user/"+member.id, `{"max_requests":3}`)
	for left := 2; left >= 0; left-- {
		r := member.do("GET", "/compute/", "").want(t, 200)
		if got, policy := r.Header.Get("RateLimit"), r.Header.Get("RateLimit-Policy"); got != fmt.Sprintf(`"user";r=%d;t=1`, left) || policy != `"user";q=3;w=1` {
			t.Errorf("%d are left: %q, %q", left, got, policy)
		}
	}
	r = member.do("GET", "/compute/", "", "Accept: application/json").want(t, http.StatusTooManyRequests, "3 requests in a second")
	if r.Header.Get("Retry-After") != "1" || r.Header.Get("Content-Type") != "application/json" {
		t.Errorf("the header is %v", r.Header)
	}
	other.do("GET", "/compute/", "").want(t, 200)
	later := now.Add(400 * time.Millisecond) // one more
	admin.still.Store(&later)
	member.do("GET", "/compute/", "").want(t, 200)
	member.do("GET", "/compute/", "").want(t, 429)
	// A project is all who act for it; administrators are never kept out.
	admin.bounds(project, `{"max_requests":1}`)
	other.do("GET", "/compute/", "").want(t, 200)
	other.do("GET", "/compute/", "").want(t, 429, "the project may make 1 requests")
	for range 5 {
		admin.do("GET", "/compute/", "", "X-Project: "+strings.TrimPrefix(project, "/project/")).want(t, 200)
	}
	admin.bounds(project, `{"max_requests":-1}`)
	other.do("GET", "/compute/", "").want(t, 200)
	// One in ten seconds.
	admin.bounds(project, `{"max_requests":0.1}`)
	again := later.Add(time.Minute)
	admin.still.Store(&again)
	other.do("GET", "/compute/", "").want(t, 200)
	if got := other.do("GET", "/compute/", "").want(t, 429).Header.Get("Retry-After"); got != "10" {
		t.Errorf("retry after %s s", got)
	}
}
