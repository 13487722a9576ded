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

// putTask makes or changes a task.
func (g *group) putTask(p *taskPut, at int64) {
	x := g.tasks[p.t.ID]
	if x == nil {
		x = &taskRow{seq: g.next(seqOfTasks)}
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
}

// values gives the values of a row. Nobody has claimed one that is new; the lease
// of another begins anew.
func (x *taskRow) values() []any {
	t := x.content.t
	var until int64
	if x.stored {
		until = x.at
	}
	return []any{x.seq, t.ID, t.Entity, t.Lane, indexed(t.Host), string(t.State), micros(t.Finished), x.over, t.Progress, t.Attempts,
		micros(t.Started), micros(t.NotBefore), []byte{}, 0, until, x.content.doc, []byte(kept(t.Project))}
}

// after gives the rows of task_after of a new row.
func (x *taskRow) after() [][]any {
	var rows [][]any
	for _, id := range x.content.t.After {
		rows = append(rows, []any{x.seq, id})
	}
	return rows
}
