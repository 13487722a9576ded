package store

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/occid/occid/occi"
)

// taskDocument is what a row holds of a task beside its columns.
type taskDocument struct {
	ID         uuid.UUID   `json:"id"`
	Entity     uuid.UUID   `json:"entity"`
	Kind       string      `json:"kind"`
	Lane       uuid.UUID   `json:"lane"`
	After      []uuid.UUID `json:"after,omitempty"`
	Host       string      `json:"host"`
	Verb       string      `json:"verb"`
	Attributes []attribute `json:"attributes,omitempty"`
	Error      string      `json:"error,omitempty"`
	Who        string      `json:"who,omitempty"`
	Project    string      `json:"project,omitempty"`
	Created    int64       `json:"created"`
	Cancel     bool        `json:"cancel,omitempty"`
	Done       int64       `json:"done,omitempty"`
	Total      int64       `json:"total,omitempty"`
	Trace      string      `json:"trace,omitempty"`
	Request    string      `json:"request,omitempty"`
}

func encodeTask(t *occi.Task) ([]byte, error) {
	return json.Marshal(taskDocument{
		ID: t.ID, Entity: t.Entity, Kind: t.Kind, Lane: t.Lane, After: t.After, Host: t.Host, Verb: t.Verb,
		Attributes: toAttributes(t.Attributes), Error: t.Error, Who: t.Who, Project: t.Project, Created: micros(t.Created), Cancel: t.Cancel, Done: t.Done, Total: t.Total, Trace: t.Trace, Request: t.Request,
	})
}

// decodeTask reads the document; the columns are left zero.
func decodeTask(data []byte) (*occi.Task, error) {
	var d taskDocument
	if err := json.Unmarshal(data, &d); err != nil {
		return nil, err
	}
	return &occi.Task{
		ID: d.ID, Entity: d.Entity, Kind: d.Kind, Lane: d.Lane, After: d.After, Host: d.Host, Verb: d.Verb,
		Attributes: fromAttributes(d.Attributes), Error: d.Error, Who: d.Who, Project: d.Project, Created: fromMicros(d.Created), Cancel: d.Cancel, Done: d.Done, Total: d.Total, Trace: d.Trace, Request: d.Request,
	}, nil
}

// taskColumns are those of a task, in the order that scanTask reads.
const taskColumns = `seq, state, progress, attempts, started, finished, not_before, doc`

func scanTask(from row) (*occi.Task, error) {
	var seq, progress, attempts, started, finished, notBefore int64
	var state string
	var doc []byte
	if err := from.Scan(&seq, &state, &progress, &attempts, &started, &finished, &notBefore, &doc); err != nil {
		return nil, err
	}
	t, err := decodeTask(doc)
	if err != nil {
		return nil, err
	}
	t.Seq, t.State, t.Progress, t.Attempts = seq, occi.TaskState(intern(state)), int(progress), int(attempts)
	t.Started, t.Finished, t.NotBefore = fromMicros(started), fromMicros(finished), fromMicros(notBefore)
	return t, nil
}

// tasksInto makes a query whose tasks go to a list.
func tasksInto(list *[]*occi.Task, sql string, args ...any) query {
	return query{statement{sql, args}, func(from row) error {
		t, err := scanTask(from)
		*list = append(*list, t)
		return err
	}}
}

// Task gives one task, or NotFound.
func (s *Store) Task(ctx context.Context, id uuid.UUID) (*occi.Task, error) {
	var found []*occi.Task
	err := s.run(ctx, tasksInto(&found, `SELECT `+taskColumns+` FROM tasks WHERE id = $1`, id))
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, occi.E(occi.NotFound, "there is no task %s", id)
	}
	return found[0], nil
}

// Tasks gives all tasks there ever were about an entity, in order.
func (s *Store) Tasks(ctx context.Context, entity uuid.UUID) ([]*occi.Task, error) {
	var found []*occi.Task
	err := s.run(ctx, tasksInto(&found, `SELECT `+taskColumns+` FROM tasks WHERE entity = $1 ORDER BY seq`, entity))
	return found, err
}

// Unfinished gives the tasks of some lanes that are not over, in order; no lanes
// means all. With reach, only tasks of those projects are given.
func (s *Store) Unfinished(ctx context.Context, lanes []uuid.UUID, reach ...string) ([]*occi.Task, error) {
	var found []*occi.Task
	sql := `SELECT ` + taskColumns + ` FROM tasks WHERE NOT over`
	var args []any
	if len(lanes) > 0 {
		among, list := s.db.anyOf("lane", "$1", lanes)
		sql += ` AND ` + among
		args = append(args, list)
	}
	if len(reach) > 0 {
		args = append(args, s.db.bytes(reach))
		sql += ` AND ` + s.db.anyOfBytes("reach", "$"+strconv.Itoa(len(args)))
	}
	err := s.run(ctx, tasksInto(&found, sql+` ORDER BY seq`, args...))
	return found, err
}

// UnfinishedOf gives the tasks that are not over, in order, of what a condition holds of.
// With reach, only tasks of those projects are given.
func (s *Store) UnfinishedOf(ctx context.Context, of *occi.Where, reach ...string) ([]*occi.Task, error) {
	x := selection{d: &s.db.dialect}
	sql := `SELECT ` + taskColumns + ` FROM tasks WHERE NOT over AND entity IN (SELECT e.id FROM entities e WHERE NOT e.deleted` + x.allowed("e", of) + `)`
	if len(reach) > 0 {
		sql += ` AND ` + s.db.anyOfBytes("reach", x.arg(s.db.bytes(reach)))
	}
	var found []*occi.Task
	err := s.run(ctx, tasksInto(&found, sql+` ORDER BY seq`, x.args...))
	return found, err
}

// Claim makes up to n of a host's tasks a worker's and running, and gives them in
// order. A task can be claimed when it is pending and its time has come, or its
// worker's lease ran out; no task before it in its lane, and none that it is to
// come after, may be unfinished. Each claim counts as an attempt. It holds for
// the time of the lease; committing the task as running renews it.
//
// If there are fewer than n, the time is when the next may be claimed without
// anything else happening, zero for never.
//
// It takes one statement that reads, and another one if there is a task to claim.
func (s *Store) Claim(ctx context.Context, host, worker string, n int, now time.Time, lease time.Duration) ([]*occi.Task, time.Time, error) {
	free, next, err := s.claimable(ctx, host, n, now)
	if err != nil || len(free) == 0 {
		return nil, next, err
	}
	var found []*occi.Task
	among, list := s.db.anyOf("t.seq", "$6", free)
	// Another server may have claimed them meanwhile, or a client cancelled them.
	err = s.single(ctx, tasksInto(&found, `UPDATE tasks AS t SET state = 'running', attempts = attempts + 1, worker = $3, lease = $4, until = $5,
			started = CASE WHEN started = 0 THEN $2 ELSE started END
		WHERE t.host = $1 AND `+among+` AND `+dueTasks+`
		RETURNING `+taskColumns,
		indexed(host), micros(now), []byte(worker), lease.Microseconds(), micros(now)+lease.Microseconds(), list))
	if err != nil {
		return nil, time.Time{}, err
	}
	slices.SortFunc(found, func(a, b *occi.Task) int { return int(a.Seq - b.Seq) })
	for _, t := range found {
		s.notes.add(taskEvent(t, string(occi.TaskPending), micros(now)))
	}
	switch ends := now.Add(lease); {
	case len(found) == n:
		return found, time.Time{}, nil
	case len(found) > 0 && (next.IsZero() || ends.Before(next)):
		next = ends
	}
	return found, next, nil
}

// dueTasks is the condition that tasks t wait for a worker, or their worker's lease ran
// out, at a time, $2.
const dueTasks = `NOT t.over AND (t.state = 'pending' AND t.not_before <= $2 OR t.state = 'running' AND t.until <= $2)`

// claimable lists up to n tasks of a host that can be claimed, and gives when after now
// one falls due or a lease ends. To find nothing is common, and costs no change.
func (s *Store) claimable(ctx context.Context, host string, n int, now time.Time) (free []int64, next time.Time, err error) {
	// Where a plan could join, PostgreSQL would join all unfinished tasks before it takes the
	// first few, so each condition is a value that is looked up for one task.
	sql := `SELECT 0, free.seq FROM (SELECT t.seq FROM tasks t WHERE t.host = $1 AND ` + dueTasks + `
			AND (SELECT min(b.seq) FROM tasks b WHERE b.lane = t.lane AND NOT b.over) = t.seq
			AND (SELECT count(*) FROM task_after a WHERE a.task = t.seq AND NOT (SELECT b.over FROM tasks b WHERE b.id = a.after)) = 0
			ORDER BY t.seq LIMIT ` + bigint("$3") + `) AS free
		UNION ALL SELECT 1, COALESCE(MIN(CASE WHEN state = 'running' THEN until ELSE not_before END), 0)
			FROM tasks WHERE host = $1 AND NOT over AND CASE WHEN state = 'running' THEN until ELSE not_before END > $2`
	err = s.run(ctx, query{statement{sql, []any{indexed(host), micros(now), n}}, func(r row) error {
		var what int
		var number int64
		err := r.Scan(&what, &number)
		if what == 0 {
			free = append(free, number)
		} else {
			next = fromMicros(number)
		}
		return err
	}})
	return free, next, err
}

// Release gives back what a worker had claimed and not finished, as if it had not
// been started: a server does so before it claims anything.
func (s *Store) Release(ctx context.Context, worker string) error {
	var found []*occi.Task
	err := s.single(ctx, tasksInto(&found, `UPDATE tasks SET state = 'pending', worker = $2, until = 0
		WHERE NOT over AND state = 'running' AND worker = $1 RETURNING `+taskColumns, []byte(worker), []byte{}))
	slices.SortFunc(found, func(a, b *occi.Task) int { return int(a.Seq - b.Seq) })
	for _, t := range found {
		s.notes.add(taskEvent(t, string(occi.TaskRunning), micros(time.Now())))
	}
	return err
}
