package metrics

import (
	"context"
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/occid/occid/occi"
)

// scrapeTime bounds how long a database that hangs holds up who scrapes.
const scrapeTime = 5 * time.Second

// Sources are asked whenever somebody scrapes. All are required.
type Sources struct {
	// Hosts tells how the hosts are doing, Pools what is known of their storage
	// pools. Neither may ask a host.
	Hosts func() []HostState
	Pools func() []PoolState
	// Queues, Promised and Entities take a statement at most. Promised is by the Key
	// of PoolState, Entities by the name of the kind.
	Queues   func(context.Context) ([]occi.Queue, error)
	Promised func(context.Context) (map[string]int64, error)
	Entities func(context.Context) (map[string]int, error)
	// Connections counts those to the database.
	Connections func() Connections
	// Followers counts who follows the events that are stored.
	Followers func() int
}

// HostState is how a host is doing.
type HostState struct {
	Name        string
	Connected   bool
	Watched     bool // by this server
	Calls, Hung int  // under way; of those, given up by their callers
	// Capacity is nil until it is known.
	Capacity *HostCapacity
}

// HostCapacity is what machines have of a host, and the most that they may have; 0 for no
// limit.
type HostCapacity struct {
	Open                          bool // machines are placed on it
	Cores, CoresLimit             int64
	MemoryBytes, MemoryLimitBytes int64
	Computes                      int64
}

// PoolState is what is known of a storage pool.
type PoolState struct {
	Key, Host, Pool                           string
	CapacityBytes, AllocatedBytes, LimitBytes int64
}

// Connections are those to the database.
type Connections struct {
	Open, InUse int
	Waits       int64
	Waited      time.Duration
}

// state collects what sources tell.
type state struct {
	Sources
	now func() time.Time
}

// Show has the sources asked from now on; it is called once.
func (m *Metrics) Show(s Sources) { m.add(&state{s, time.Now}) }

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("occid_"+name, help, labels, nil)
}

var (
	tasksDesc    = desc("tasks", "Tasks that are not over, by host and state: pending or running.", "host", "state")
	oldestDesc   = desc("task_oldest_age_seconds", "Age of the first task that is not over, by host and state; 0 without any.", "host", "state")
	entitiesDesc = desc("entities", "Entities, by kind.", "kind")

	connectedDesc = desc("host_connected", "1 if the connection to a host is open, else 0.", "host")
	watchedDesc   = desc("host_watched", "1 if this server watches a host, else 0.", "host")
	callsDesc     = desc("driver_calls_in_flight", "Calls of a host's driver that are under way.", "host")
	hungDesc      = desc("driver_calls_hung", "Calls that are under way and whose callers have given up.", "host")

	openDesc        = desc("host_open", "1 if machines are placed on a host, else 0.", "host")
	coresDesc       = desc("host_cores_allocated", "Cores that machines on a host have together.", "host")
	coresLimitDesc  = desc("host_cores_limit", "Cores that machines may have of a host together; +Inf without a limit.", "host")
	memoryDesc      = desc("host_memory_allocated_bytes", "Memory that machines on a host have together.", "host")
	memoryLimitDesc = desc("host_memory_limit_bytes", "Memory that machines may have of a host together; +Inf without a limit.", "host")
	computesDesc    = desc("host_computes", "Machines on a host.", "host")

	capacityDesc  = desc("pool_capacity_bytes", "Size of a storage pool.", "host", "pool")
	allocatedDesc = desc("pool_allocated_bytes", "What is in use of a storage pool.", "host", "pool")
	limitDesc     = desc("pool_limit_bytes", "What volumes may take of a storage pool together; +Inf without a limit.", "host", "pool")
	promisedDesc  = desc("pool_promised_bytes", "What volumes take of a storage pool together once they are full.", "host", "pool")

	followersDesc = desc("event_followers", "Streams of events that are open, and others who follow what is stored.")

	upDesc          = desc("database_up", "1 if the database answered when this was asked for, else 0.")
	connectionsDesc = desc("database_connections", "Connections to the database, by state: in_use or idle.", "state")
	waitsDesc       = desc("database_connection_waits_total", "Waits for a free connection to the database.")
	waitedDesc      = desc("database_connection_wait_seconds_total", "Time spent in waits for a free connection to the database.")
)

// Describe implements prometheus.Collector.
func (s *state) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{tasksDesc, oldestDesc, entitiesDesc, connectedDesc, watchedDesc, followersDesc, callsDesc, hungDesc,
		openDesc, coresDesc, coresLimitDesc, memoryDesc, memoryLimitDesc, computesDesc, capacityDesc,
		allocatedDesc, limitDesc, promisedDesc, upDesc, connectionsDesc, waitsDesc, waitedDesc} {
		ch <- d
	}
}

// gauge sends a value of a gauge.
type gauge func(d *prometheus.Desc, value float64, labels ...string)

// Collect implements prometheus.Collector. What a database that does not answer would
// have told is left out.
func (s *state) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTime)
	defer cancel()
	put := func(d *prometheus.Desc, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	hosts := s.Hosts()
	for _, h := range hosts {
		put(connectedDesc, truth(h.Connected), h.Name)
		put(watchedDesc, truth(h.Watched), h.Name)
		put(callsDesc, float64(h.Calls), h.Name)
		put(hungDesc, float64(h.Hung), h.Name)
		if c := h.Capacity; c != nil {
			put(openDesc, truth(c.Open), h.Name)
			put(coresDesc, float64(c.Cores), h.Name)
			put(coresLimitDesc, most(c.CoresLimit), h.Name)
			put(memoryDesc, float64(c.MemoryBytes), h.Name)
			put(memoryLimitDesc, most(c.MemoryLimitBytes), h.Name)
			put(computesDesc, float64(c.Computes), h.Name)
		}
	}
	err := s.queues(ctx, put, hosts)
	if err == nil {
		err = s.pools(ctx, put)
	}
	if err == nil {
		err = s.entities(ctx, put)
	}
	put(upDesc, truth(err == nil))
	put(followersDesc, float64(s.Followers()))
	c := s.Connections()
	put(connectionsDesc, float64(c.InUse), "in_use")
	put(connectionsDesc, float64(c.Open-c.InUse), "idle")
	ch <- prometheus.MustNewConstMetric(waitsDesc, prometheus.CounterValue, float64(c.Waits))
	ch <- prometheus.MustNewConstMetric(waitedDesc, prometheus.CounterValue, c.Waited.Seconds())
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// most is a limit, of which 0 is none.
func most(limit int64) float64 {
	if limit == 0 {
		return math.Inf(1)
	}
	return float64(limit)
}

// queues tells of the queue of each host, be it empty, and of those that other servers
// have.
func (s *state) queues(ctx context.Context, put gauge, hosts []HostState) error {
	found, err := s.Queues(ctx)
	if err != nil {
		return err
	}
	type key struct {
		host  string
		state occi.TaskState
	}
	all := map[key]occi.Queue{}
	for _, h := range hosts {
		all[key{h.Name, occi.TaskPending}], all[key{h.Name, occi.TaskRunning}] = occi.Queue{}, occi.Queue{}
	}
	for _, q := range found {
		all[key{q.Host, q.State}] = q
	}
	now := s.now()
	for k, q := range all {
		age := 0.0
		if q.Tasks > 0 {
			age = max(0, now.Sub(q.Oldest).Seconds())
		}
		put(tasksDesc, float64(q.Tasks), k.host, string(k.state))
		put(oldestDesc, age, k.host, string(k.state))
	}
	return nil
}

func (s *state) entities(ctx context.Context, put gauge) error {
	kinds, err := s.Entities(ctx)
	for kind, n := range kinds {
		put(entitiesDesc, float64(n), kind)
	}
	return err
}

// pools tells of storage pools. What is promised of them is in the database.
func (s *state) pools(ctx context.Context, put gauge) error {
	list := s.Pools()
	for _, p := range list {
		put(capacityDesc, float64(p.CapacityBytes), p.Host, p.Pool)
		put(allocatedDesc, float64(p.AllocatedBytes), p.Host, p.Pool)
		put(limitDesc, most(p.LimitBytes), p.Host, p.Pool)
	}
	promised, err := s.Promised(ctx)
	if err != nil {
		return err
	}
	for _, p := range list {
		put(promisedDesc, float64(promised[p.Key]), p.Host, p.Pool)
	}
	return nil
}
