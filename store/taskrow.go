package store

import (
	"github.com/google/uuid"

	"github.com/occid/occid/occi"
)

// taskRow is a row of the table tasks, as a group leaves it.
type taskRow struct {
	seq, attempts int64
	state         string
	over          bool
	stored        bool // there is a row already

	content *taskPut // what is to be written, nil for nothing
	at      int64    // when

	claim *occi.Claim // by which one that is new is claimed, nil for none
}

// lanesIn loads which lanes of tasks that may be claimed have one that is not over.
func (g *group) lanesIn(jobs []*job) []query {
	var lanes []uuid.UUID
	for _, j := range jobs {
		for _, t := range j.change.Tasks {
			if claimable(j.change.Claim, t) {
				lanes = append(lanes, t.Lane)
			}
		}
	}
	if len(lanes) == 0 {
		return nil
	}
	among, list := g.d.anyOf("lane", "$1", lanes)
	return []query{{statement{`SELECT lane FROM tasks WHERE ` + among + ` AND NOT over`, []any{list}}, func(from row) error {
		var lane uuid.UUID
		err := from.Scan(&lane)
		g.lanes[lane] = true
		return err
	}}}
}

// claimable reports whether a claim is about a task, whatever its lane has.
func claimable(c *occi.Claim, t *occi.Task) bool {
	return c != nil && t.Seq == 0 && t.Host == c.Host && t.State == occi.TaskPending && t.NotBefore.IsZero() && len(t.After) == 0
}

// tasksIn loads rows, and locks them, since claims take no other lock.
func (g *group) tasksIn(ids []uuid.UUID) query {
	among, list := g.d.anyOf("id", "$1", ids)
	sql := `SELECT id, seq, attempts, state, over FROM tasks WHERE ` + among + ` ORDER BY seq` + g.d.forUpdate
	return query{statement{sql, []any{list}}, func(from row) error {
		var id uuid.UUID
		x := &taskRow{stored: true}
		err := from.Scan(&id, &x.seq, &x.attempts, &x.state, &x.over)
		g.tasks[id] = x
		return err
	}}
}

// checkTask lets only those write a task who know of its last claim.
func (g *group) checkTask(t *occi.Task) error {
	switch old := g.tasks[t.ID]; {
	case old == nil && t.Seq == 0:
		return nil
	case old == nil:
		return occi.E(occi.Conflict, "task %s does not exist", t.ID)
	case t.Seq == 0:
		return occi.E(occi.Conflict, "task %s exists already", t.ID)
	case old.over:
		return occi.E(occi.Conflict, "task %s is over", t.ID)
	case old.attempts > int64(t.Attempts):
		return occi.E(occi.Conflict, "task %s was claimed again", t.ID)
	}
	return nil
}

// putTask makes or changes a task. One that is new is claimed by c if it can be.
func (g *group) putTask(p *taskPut, c *occi.Claim, at int64) {
	x := g.tasks[p.t.ID]
	if x == nil {
		x = &taskRow{seq: g.next(seqOfTasks)}
		if claimable(c, p.t) && !g.lanes[p.t.Lane] {
			x.claim = c
		}
		g.lanes[p.t.Lane] = true
		g.tasks[p.t.ID] = x
	}
	if x.content == nil {
		g.changedTasks = append(g.changedTasks, x)
	}
	if now := string(p.t.State); now != x.state {
		g.events = append(g.events, taskEvent(p.t, x.state, at))
		x.state = now
	}
	x.content, x.at, x.attempts, x.over = p, at, int64(p.t.Attempts), p.t.State.Over()
	p.seq = x.seq
	if x.claim == nil {
		return
	}
	p.claimed, x.state, x.attempts = true, string(occi.TaskRunning), 1
	running := *p.t
	running.State = occi.TaskRunning
	g.events = append(g.events, taskEvent(&running, string(p.t.State), at))
}

// values gives the values of a row. The lease of one that was stored begins anew.
func (x *taskRow) values() []any {
	t := x.content.t
	worker, started := []byte{}, micros(t.Started)
	var lease, until int64
	switch {
	case x.stored:
		until = x.at
	case x.claim != nil:
		worker, lease, started = []byte(x.claim.Worker), x.claim.Lease.Microseconds(), x.at
		until = x.at + lease
	}
	return []any{x.seq, t.ID, t.Entity, t.Lane, indexed(t.Host), x.state, micros(t.Finished), x.over, t.Progress, x.attempts,
		started, micros(t.NotBefore), worker, lease, until, x.content.doc, []byte(kept(t.Project))}
}

// after gives the rows of task_after of a new row.
func (x *taskRow) after() [][]any {
	var rows [][]any
	for _, id := range x.content.t.After {
		rows = append(rows, []any{x.seq, id})
	}
	return rows
}
