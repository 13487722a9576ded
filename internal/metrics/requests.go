package metrics

import (
	"maps"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// requests counts requests. Most are reads, which take so little time that to look up
// metrics by their labels would show: what was found once is kept in cells.
type requests struct {
	total    *prometheus.CounterVec
	duration *prometheus.HistogramVec
	inFlight prometheus.Gauge
	// What is open at --listen.
	connections, streams prometheus.Gauge

	cells atomic.Pointer[map[cellKey]cell]
	mu    sync.Mutex // held by who replaces cells
}

type cellKey struct {
	route, method string
	status        int
}

type cell struct {
	total    prometheus.Counter
	duration prometheus.Observer
}

func newRequests(register func(...prometheus.Collector)) *requests {
	r := &requests{
		total: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "occid_http_requests_total",
			Help: "Requests that were answered, by the pattern of their path, method and status code."}, []string{"route", "method", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "occid_http_request_duration_seconds",
			Help: "Time that requests took to be answered, waits for tasks included, by the pattern of their path and method.", Buckets: requestBuckets},
			[]string{"route", "method"}),
		inFlight:    prometheus.NewGauge(prometheus.GaugeOpts{Name: "occid_http_requests_in_flight", Help: "Requests that are being answered."}),
		connections: prometheus.NewGauge(prometheus.GaugeOpts{Name: "occid_http_connections", Help: "Connections of clients that are open."}),
		streams:     prometheus.NewGauge(prometheus.GaugeOpts{Name: "occid_event_streams", Help: "Streams of events that are open."}),
	}
	r.cells.Store(&map[cellKey]cell{})
	register(r.total, r.duration, r.inFlight, r.connections, r.streams)
	return r
}

// methods are those that are told apart; clients may send any word.
var methods = map[string]bool{http.MethodGet: true, http.MethodHead: true, http.MethodPost: true, http.MethodPut: true,
	http.MethodDelete: true, http.MethodOptions: true, http.MethodPatch: true}

func (r *requests) answered(route, method string, status int, took time.Duration) {
	r.inFlight.Dec()
	if !methods[method] {
		method = "other"
	}
	key := cellKey{route, method, status}
	c, ok := (*r.cells.Load())[key]
	if !ok {
		c = r.cell(key)
	}
	c.total.Inc()
	c.duration.Observe(took.Seconds())
}

// cell makes the cell of a key, of which there are few.
func (r *requests) cell(key cellKey) cell {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := cell{r.total.WithLabelValues(key.route, key.method, strconv.Itoa(key.status)), r.duration.WithLabelValues(key.route, key.method)}
	all := maps.Clone(*r.cells.Load())
	all[key] = c
	r.cells.Store(&all)
	return c
}
