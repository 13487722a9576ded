package main

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
)

// busy starts a server, with more options, and lets it do what its metrics are about.
func busy(t *testing.T, more ...string) *program {
	t.Helper()
	dir := t.TempDir()
	p := start(t, append([]string{"--db", "sqlite:" + filepath.Join(dir, "x.db"), "--data", dir, "--libvirt", "test:///default,qemu+unix:///system?socket=" + dir + "/none",
		"--pools", "fast=dir:/pools/fast,host=test:///default,default"}, more...)...)
	h, _ := p.curl(201, "POST", "/compute/", `{"type":"compute"}`, asJSON, waiting)
	path := strings.TrimPrefix(h.Get("Location"), p.url)
	p.curl(200, "POST", path+"?action=start", "", waiting)
	for _, x := range []string{path, path + ".json", "/compute/", "/-/", "/", path + "/tasks/", "/-/compute/", "/healthz"} {
		p.curl(200, "GET", x, "")
	}
	for range 3 {
		p.curl(404, "GET", "/compute/"+uuid.NewString(), "")
		p.curl(404, "GET", "/"+uuid.NewString(), "")
	}
	p.curl(405, "PROPFIND", "/compute/", "")
	return p
}

// until scrapes until there is a line.
func (p *program) until(line string) string {
	p.t.Helper()
	for {
		_, text := p.curl(200, "GET", "/metrics", "")
		if strings.Contains("\n"+text, "\n"+line) {
			return text
		}
		select {
		case <-p.ctx.Done():
			p.t.Fatalf("%q is missing\n%s", line, text)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	p := busy(t)
	p.until(`occid_host_event_duration_seconds_count{host="test:///default"}`)
	text := p.until(`occid_pool_capacity_bytes{host="test:///default",pool="fast"}`)
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
	for _, line := range []string{
		`occid_http_requests_total{code="201",method="POST",route="/compute/"} 1`,
		`occid_http_requests_total{code="200",method="GET",route="/compute/{id}"} 2`,
		`occid_http_requests_total{code="404",method="GET",route="/compute/{id}"} 3`,
		`occid_http_requests_total{code="404",method="GET",route="none"} 3`,
		`occid_http_requests_total{code="405",method="other",route="/compute/"} 1`,
		`occid_http_requests_total{code="200",method="GET",route="/compute/{id}/tasks/"} 1`,
		`occid_http_requests_total{code="200",method="GET",route="/-/{categories}"} 1`,
		`occid_http_requests_total{code="200",method="GET",route="/-"} 1`,
		`occid_http_requests_total{code="200",method="GET",route="/"} 1`,
		`occid_http_requests_total{code="200",method="GET",route="/healthz"} 1`,
		`occid_http_requests_in_flight 1`,
		`occid_tasks{host="test:///default",state="pending"} 0`,
		`occid_tasks_finished_total{outcome="done",verb="create"} 1`,
		`occid_tasks_finished_total{outcome="done",verb="start"} 1`,
		`occid_task_wait_seconds_count{verb="start"} 1`,
		`occid_task_duration_seconds_count{verb="start"} 1`,
		`occid_host_connected{host="test:///default"} 1`,
		`occid_driver_calls_hung{host="test:///default"} 0`,
		`occid_driver_call_duration_seconds_count{host="test:///default",operation="start domain"} 1`,
		`occid_libvirt_change_duration_seconds_count{host="test:///default",operation="domain.create"} 1`,
		`occid_entities{kind="compute"} 1`,
		`occid_database_up 1`,
	} {
		if !strings.Contains("\n"+text, "\n"+line+"\n") {
			t.Errorf("%s is missing", line)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
	if at := regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-`).FindStringIndex(text); at != nil {
		t.Errorf("it tells UUIDs: %q", text[at[0]:min(at[1]+40, len(text))])
	}
	described, err := os.ReadFile("../../docs/monitoring.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (occid_\w+)`).FindAllStringSubmatch(text, -1) {
		if !strings.Contains(string(described), "`"+m[1]+"`") {
			t.Errorf("docs/monitoring.md does not tell of %s", m[1])
		}
	}
	p.dashboard(text)
	p.stop()
}

// TestMetricsElsewhere shows them at an address of their own, or not at all.
func TestMetricsElsewhere(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "metrics.sock")
	p := busy(t, "--metrics-listen", "unix:"+socket)
	p.curl(404, "GET", "/metrics", "")
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}
	for path, status := range map[string]int{"/metrics": 200, "/": 404, "/compute/": 404} {
		resp, err := client.Get("http://localhost" + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != status {
			t.Errorf("%s: %d, want %d", path, resp.StatusCode, status)
		}
	}
	p.stop()
	p = busy(t, "--metrics-listen", "none")
	p.curl(404, "GET", "/metrics", "")
	p.stop()
}

// aside is what is in an expression beside names: texts, ranges and lists of labels.
var (
	aside  = regexp.MustCompile(`"[^"]*"|\{[^}]*\}|\[[^\]]*\]|\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)|\$\w+`)
	naming = regexp.MustCompile(`([a-zA-Z_:][a-zA-Z0-9_:]*)\s*(\()?`)
	words  = []string{"and", "or", "unless", "bool", "by", "without", "on", "offset"}
)

// namesIn lists the metrics that an expression of Prometheus is about.
func namesIn(expr string) []string {
	var names []string
	for _, m := range naming.FindAllStringSubmatch(aside.ReplaceAllString(expr, " "), -1) {
		if m[2] == "" && !slices.Contains(words, m[1]) {
			names = append(names, m[1])
		}
	}
	return names
}

// panel is as much as matters of a panel of a dashboard; rows have panels themselves.
type panel struct {
	Title   string
	Panels  []panel
	Targets []struct{ Expr string }
}

// dashboard checks that the dashboard asks for nothing but what a server shows.
func (p *program) dashboard(shown string) {
	p.t.Helper()
	text, err := os.ReadFile("../../docs/grafana/occid.json")
	if err != nil {
		p.t.Fatal(err)
	}
	var d panel
	if err := json.Unmarshal(text, &d); err != nil {
		p.t.Fatal(err)
	}
	n := 0
	var check func(panel)
	check = func(x panel) {
		for _, q := range x.Targets {
			names := namesIn(q.Expr)
			if n++; len(names) == 0 {
				p.t.Errorf("%s: %q is about nothing", x.Title, q.Expr)
			}
			for _, name := range names {
				if !strings.Contains("\n"+shown, "\n"+name+" ") && !strings.Contains("\n"+shown, "\n"+name+"{") {
					p.t.Errorf("%s: the server shows no %s", x.Title, name)
				}
			}
		}
		for _, y := range x.Panels {
			check(y)
		}
	}
	if check(d); n < 15 {
		p.t.Errorf("only %d queries were found", n)
	}
}

func TestNamesIn(t *testing.T) {
	t.Parallel()
	for expr, want := range map[string]string{
		`sum by (route) (rate(occid_x_total{code=~"5..",route="a(b"}[$__rate_interval]))`:             "occid_x_total",
		`histogram_quantile(0.99, sum by (le, verb) (rate(a_bucket[5m]))) > 2 and on (host) b == 1e3`: "a_bucket b",
		`max(a) / ignoring(x) group_left(y) b`:                                                        "a b",
	} {
		got := slices.DeleteFunc(namesIn(expr), func(s string) bool { return s == "e3" })
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %q, want %q", expr, got, want)
		}
	}
}
