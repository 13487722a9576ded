package metrics_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/occid/occid/internal/metrics"
	"github.com/occid/occid/occi"
)

// sources are those of a server with two hosts, whose database may be away.
func sources(asked map[string]int, away *bool) metrics.Sources {
	count := func(what string) error {
		if asked[what]++; *away {
			return errors.New("away")
		}
		return nil
	}
	return metrics.Sources{
		Hosts: func() []metrics.HostState {
			return []metrics.HostState{{Name: "h1", Connected: true, Watched: true, Calls: 3, Hung: 1,
				Capacity: &metrics.HostCapacity{Open: true, Cores: 6, CoresLimit: 8, MemoryBytes: 1 << 30, Computes: 3}}, {Name: "h2"}}
		},
		Pools: func() []metrics.PoolState {
			return []metrics.PoolState{{Key: "k", Host: "h1", Pool: "fast", CapacityBytes: 10, AllocatedBytes: 4}}
		},
		Queues: func(context.Context) ([]occi.Queue, error) {
			return []occi.Queue{{Host: "h1", State: occi.TaskPending, Tasks: 2, Oldest: time.Now().Add(-time.Hour)},
				{Host: "of another server", State: occi.TaskRunning, Tasks: 1, Oldest: time.Now()}}, count("queues")
		},
		Promised:  func(context.Context) (map[string]int64, error) { return map[string]int64{"k": 7}, count("promised") },
		Entities:  func(context.Context) (map[string]int, error) { return map[string]int{"compute": 5}, count("entities") },
		Followers: func() int { return 2 },
		Connections: func() metrics.Connections {
			return metrics.Connections{Open: 4, InUse: 1, Waits: 2, Waited: time.Second}
		},
	}
}

func scrape(m *metrics.Metrics) string {
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	return w.Body.String()
}

func has(t *testing.T, text string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if !strings.Contains("\n"+text, "\n"+line) {
			t.Errorf("%q is missing", line)
		}
	}
}

func TestScrape(t *testing.T) {
	t.Parallel()
	m := metrics.New("1.2")
	asked, away := map[string]int{}, false
	m.Show(sources(asked, &away))
	accepted := time.Now()
	task := &occi.Task{Verb: "start", State: occi.TaskFailed, Created: accepted, Started: accepted.Add(2 * time.Second), Finished: accepted.Add(20 * time.Second)}
	m.TaskBegun(task)
	m.TaskPostponed(task)
	m.TaskOver(task)
	m.EventFollowed("h1", time.Millisecond, nil)
	m.EventFollowed("h1", 2*time.Second, errors.New("no"))
	m.Committed(3, time.Millisecond, nil)
	m.Committed(1, time.Millisecond, errors.New("no"))
	m.Statement("SELECT")
	h := m.Host("h1")
	_, end := h.Call(t.Context(), "define domain")
	_, changed := h.Change(t.Context(), "domain.define")
	changed(nil)
	end(errors.New("no"))
	m.Begun()
	m.Begun()
	m.Answered("/compute/{id}", "GET", 200, time.Millisecond)
	m.Connected(1)
	m.Connected(1)
	m.Connected(-1)
	m.Streamed(1)
	text := scrape(m)
	has(t, text,
		`occid_http_connections 1`, `occid_event_streams 1`,
		`occid_build_info{goversion="go1.`,
		`occid_http_requests_in_flight 1`,
		`occid_http_requests_total{code="200",method="GET",route="/compute/{id}"} 1`,
		`occid_http_request_duration_seconds_count{method="GET",route="/compute/{id}"} 1`,
		`occid_tasks{host="h1",state="pending"} 2`, `occid_tasks{host="h1",state="running"} 0`, `occid_tasks{host="h2",state="pending"} 0`,
		`occid_tasks{host="of another server",state="running"} 1`,
		`occid_task_oldest_age_seconds{host="h1",state="pending"} 360`, `occid_task_oldest_age_seconds{host="h2",state="pending"} 0`,
		`occid_tasks_finished_total{outcome="failed",verb="start"} 1`, `occid_tasks_postponed_total{verb="start"} 1`,
		`occid_task_wait_seconds_sum{verb="start"} 2`, `occid_task_duration_seconds_sum{verb="start"} 20`,
		`occid_host_watched{host="h1"} 1`, `occid_host_watched{host="h2"} 0`, `occid_event_followers 2`,
		`occid_host_event_duration_seconds_count{host="h1"} 2`, `occid_host_event_failures_total{host="h1"} 1`,
		`occid_host_connected{host="h1"} 1`, `occid_host_connected{host="h2"} 0`,
		`occid_host_open{host="h1"} 1`, `occid_host_cores_allocated{host="h1"} 6`, `occid_host_cores_limit{host="h1"} 8`,
		`occid_host_memory_allocated_bytes{host="h1"} 1.073741824e+09`, `occid_host_memory_limit_bytes{host="h1"} +Inf`, `occid_host_computes{host="h1"} 3`,
		`occid_driver_calls_in_flight{host="h1"} 3`, `occid_driver_calls_hung{host="h1"} 1`,
		`occid_driver_call_duration_seconds_count{host="h1",operation="define domain"} 1`,
		`occid_driver_call_failures_total{host="h1",operation="define domain"} 1`,
		`occid_libvirt_change_duration_seconds_count{host="h1",operation="domain.define"} 1`,
		`occid_pool_capacity_bytes{host="h1",pool="fast"} 10`, `occid_pool_allocated_bytes{host="h1",pool="fast"} 4`,
		`occid_pool_limit_bytes{host="h1",pool="fast"} +Inf`, `occid_pool_promised_bytes{host="h1",pool="fast"} 7`,
		`occid_entities{kind="compute"} 5`,
		`occid_database_up 1`, `occid_database_commit_failures_total 1`, `occid_database_commit_changes_sum 4`,
		`occid_database_commit_duration_seconds_count 2`, `occid_database_statements_total 1`,
		`occid_database_connections{state="idle"} 3`, `occid_database_connection_wait_seconds_total 1`,
		`go_goroutines `, `process_resident_memory_bytes `)
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
	for what, n := range asked {
		if n != 1 {
			t.Errorf("one scrape asked %d times for %s", n, what)
		}
	}
	away = true
	text = scrape(m)
	has(t, text, `occid_database_up 0`, `occid_host_connected{host="h1"} 1`, `go_goroutines `)
	if strings.Contains(text, "occid_tasks{") {
		t.Error("a database that is away tells of tasks")
	}
}

// TestLabelsAreBounded counts requests from several goroutines, with methods that
// clients make up.
func TestLabelsAreBounded(t *testing.T) {
	t.Parallel()
	m := metrics.New("1.2")
	var work sync.WaitGroup
	for i := range 8 {
		work.Go(func() {
			for j := range 100 {
				m.Begun()
				m.Answered("none", "X"+strings.Repeat("Y", i*100+j), 404+j%3, time.Millisecond)
			}
		})
	}
	work.Wait()
	text := scrape(m)
	has(t, text, `occid_http_requests_in_flight 0`, `occid_http_requests_total{code="404",method="other",route="none"} 272`)
	if n := strings.Count(text, "occid_http_requests_total{"); n != 3 {
		t.Errorf("%d series", n)
	}
}

func BenchmarkAnswered(b *testing.B) {
	m := metrics.New("1.2")
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			m.Begun()
			m.Answered("/compute/{id}", "GET", 200, time.Millisecond)
		}
	})
}
