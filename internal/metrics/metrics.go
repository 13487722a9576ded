package metrics

import (
	"net/http"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/occid/occid/occi"
)

// Metrics are those of one server, in a registry of their own. All methods are safe
// for concurrent use.
type Metrics struct {
	registry   *prometheus.Registry
	requests   *requests
	tasks      taskMetrics
	calls      callMetrics
	changes    callMetrics
	statements prometheus.Counter
	commits    commitMetrics
	events     callMetrics // of hosts, by host
}

// Where durations are parted, in seconds. Requests may wait for tasks for five
// minutes, and tasks copy for hours.
var (
	requestBuckets = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300}
	taskBuckets    = []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200}
	callBuckets    = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300}
	commitBuckets  = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 5, 30}
	groupBuckets   = []float64{1, 2, 4, 8, 16, 32, 64, 128}
)

type taskMetrics struct {
	wait, duration      *prometheus.HistogramVec
	finished, postponed *prometheus.CounterVec
}

// callMetrics are of calls by host and operation.
type callMetrics struct {
	duration *prometheus.HistogramVec
	failures *prometheus.CounterVec
}

type commitMetrics struct {
	duration, changes prometheus.Histogram
	failures          prometheus.Counter
}

// New makes the Metrics of a version of the program.
func New(version string) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry()}
	m.requests = newRequests(m.add)
	m.tasks = taskMetrics{
		wait:      m.histogram("task_wait_seconds", "Time from when a task was accepted until it was begun, by verb.", taskBuckets, "verb"),
		duration:  m.histogram("task_duration_seconds", "Time from when a task was accepted until it was over, by verb.", taskBuckets, "verb"),
		finished:  m.counter("tasks_finished_total", "Tasks that are over, by verb and outcome: done, failed or cancelled.", "verb", "outcome"),
		postponed: m.counter("tasks_postponed_total", "Attempts at tasks after a fault that may pass, to be made again, by verb.", "verb"),
	}
	m.calls = callMetrics{
		duration: m.histogram("driver_call_duration_seconds", "Time that calls of a host's driver took, until the host answered.", callBuckets, "host", "operation"),
		failures: m.counter("driver_call_failures_total", "Calls of a host's driver that failed.", "host", "operation"),
	}
	m.changes = callMetrics{
		duration: m.histogram("libvirt_change_duration_seconds", "Time that single libvirt calls took which change a host.", callBuckets, "host", "operation"),
		failures: m.counter("libvirt_change_failures_total", "Single libvirt calls to change a host that failed.", "host", "operation"),
	}
	m.events = callMetrics{
		duration: m.histogram("host_event_duration_seconds", "Time from when the server heard of an event of a host until the row followed.", callBuckets, "host"),
		failures: m.counter("host_event_failures_total", "Events of a host that could not be followed, after which all of the host is looked at.", "host"),
	}
	m.statements = add(m, prometheus.NewCounter(prometheus.CounterOpts{Name: "occid_database_statements_total", Help: "SQL statements that were run."}))
	m.commits = commitMetrics{
		duration: add(m, prometheus.NewHistogram(prometheus.HistogramOpts{Name: "occid_database_commit_duration_seconds",
			Help: "Time that transactions of changes took, until they were durable.", Buckets: commitBuckets})),
		changes: add(m, prometheus.NewHistogram(prometheus.HistogramOpts{Name: "occid_database_commit_changes",
			Help: "Changes that shared a transaction.", Buckets: groupBuckets})),
		failures: add(m, prometheus.NewCounter(prometheus.CounterOpts{Name: "occid_database_commit_failures_total",
			Help: "Transactions of changes that failed."})),
	}
	add(m, prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "occid_build_info", Help: "What runs; the value is 1."},
		[]string{"version", "goversion"})).WithLabelValues(version, runtime.Version()).Set(1)
	m.add(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *Metrics) add(cs ...prometheus.Collector) { m.registry.MustRegister(cs...) }

func add[C prometheus.Collector](m *Metrics, c C) C {
	m.add(c)
	return c
}

func (m *Metrics) histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	return add(m, prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "occid_" + name, Help: help, Buckets: buckets}, labels))
}

func (m *Metrics) counter(name, help string, labels ...string) *prometheus.CounterVec {
	return add(m, prometheus.NewCounterVec(prometheus.CounterOpts{Name: "occid_" + name, Help: help}, labels))
}

// Handler shows the metrics to who scrapes them.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: scrapeTime + time.Second})
}

// Begun counts a request that is taken up.
func (m *Metrics) Begun() { m.requests.inFlight.Inc() }

// Connected counts the connections that are open.
func (m *Metrics) Connected(change int) { m.requests.connections.Add(float64(change)) }

// Streamed counts the streams of events that are open.
func (m *Metrics) Streamed(change int) { m.requests.streams.Add(float64(change)) }

// Answered counts a request that was answered.
func (m *Metrics) Answered(route, method string, status int, took time.Duration) {
	m.requests.answered(route, method, status, took)
}

// TaskBegun counts a task that is worked on for the first time.
func (m *Metrics) TaskBegun(t *occi.Task) {
	m.tasks.wait.WithLabelValues(t.Verb).Observe(t.Started.Sub(t.Created).Seconds())
}

// TaskPostponed counts an attempt at a task that is to be made again.
func (m *Metrics) TaskPostponed(t *occi.Task) { m.tasks.postponed.WithLabelValues(t.Verb).Inc() }

// TaskOver counts a task that is over.
func (m *Metrics) TaskOver(t *occi.Task) {
	m.tasks.finished.WithLabelValues(t.Verb, string(t.State)).Inc()
	m.tasks.duration.WithLabelValues(t.Verb).Observe(t.Finished.Sub(t.Created).Seconds())
}

// EventFollowed counts an event of a host.
func (m *Metrics) EventFollowed(host string, took time.Duration, err error) {
	m.events.duration.WithLabelValues(host).Observe(took.Seconds())
	// From the first event on there is a 0, from which a rate sees the first failure.
	failures := m.events.failures.WithLabelValues(host)
	if err != nil {
		failures.Inc()
	}
}

// Statement counts an SQL statement.
func (m *Metrics) Statement(string) { m.statements.Inc() }

// Committed counts a transaction of changes.
func (m *Metrics) Committed(changes int, took time.Duration, err error) {
	m.commits.duration.Observe(took.Seconds())
	m.commits.changes.Observe(float64(changes))
	if err != nil {
		m.commits.failures.Inc()
	}
}
