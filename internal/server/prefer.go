package server

import (
	"cmp"
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/occid/occid/internal/engine"
	"github.com/occid/occid/occi"
	"github.com/occid/occid/render"
)

// maxWait is how long Prefer can make a request wait; more is cut to it.
const maxWait = time.Minute

// preferences are what a client prefers about the tasks of a write (RFC 7240).
type preferences struct {
	// wait is how long to wait for their outcome (section 4.3); 0 for not at all.
	wait time.Duration
	// async asks for 202 if they are not over by then (section 4.1).
	async bool
}

// preferences reads the Prefer fields. Of a preference that is repeated the first
// counts, and those that are not known here are ignored (section 2).
func (c *call) preferences() (p preferences, err error) {
	waits := false
	for _, field := range c.r.Header["Prefer"] {
		for _, text := range strings.Split(field, ",") {
			text, _, _ = strings.Cut(text, ";")
			name, value, _ := strings.Cut(text, "=")
			value = strings.Trim(strings.TrimSpace(value), `"`)
			switch strings.ToLower(strings.TrimSpace(name)) {
			case "respond-async":
				if value != "" {
					return p, occi.E(occi.Invalid, "Prefer: respond-async takes no value, not %.80q", value)
				}
				p.async = true
			case "wait":
				seconds, err := strconv.ParseUint(value, 10, 31)
				if err != nil {
					return p, occi.E(occi.Invalid, "Prefer: wait=%.80q is not a number of seconds", value)
				}
				if !waits {
					p.wait, waits = min(time.Duration(seconds)*time.Second, maxWait), true
				}
			}
		}
	}
	return p, nil
}

// maxTasks bounds the tasks that a header field names: clients bound fields. All
// that are not over are at /task/.
const maxTasks = 32

// waited names the tasks of a write in the header and waits for them if the
// client prefers that. It is false if the client prefers to be told that they are
// still under way; otherwise whatever ends the wait, the answer shows how far they
// are.
func (c *call) waited(w write, out *engine.Outcome) bool {
	if len(out.Tasks) == 0 {
		return true
	}
	h := c.rec.Header()
	urls := make([]string, min(len(out.Tasks), maxTasks))
	for i := range urls {
		urls[i] = c.base() + c.taskPath(out.Tasks[i].ID)
	}
	h["X-Task-Location"] = []string{strings.Join(urls, ", ")}
	over := false
	if w.prefers.wait > 0 {
		over = c.wait(w.prefers.wait, out)
	}
	switch {
	case w.prefers.async && !over:
		h["Preference-Applied"] = []string{"respond-async"}
		return false
	case w.prefers.wait > 0:
		h["Preference-Applied"] = []string{"wait"}
	}
	return true
}

// wait waits for the tasks of a write, and reports whether they are over.
func (c *call) wait(patience time.Duration, out *engine.Outcome) bool {
	ctx, cancel := c.living()
	defer cancel()
	ctx, expire := context.WithTimeout(ctx, patience)
	defer expire()
	err := c.s.engine.Wait(ctx, out.IDs())
	if err != nil && ctx.Err() == nil {
		c.s.log.Error("waiting for tasks failed", "request_id", c.id, "error", err)
	}
	return err == nil
}

// settled waits for the outcome of a write as long as the client likes and gives
// the entities as they are then; done is false if the answer is that the tasks
// are under way. The write itself is done: what cannot be read is given as it was.
func (c *call) settled(w write, out *engine.Outcome) (es []*occi.Entity, done bool) {
	if !c.waited(w, out) {
		return nil, false
	}
	if w.prefers.wait == 0 || len(out.Tasks) == 0 || len(out.Entities) == 0 {
		return out.Entities, true
	}
	q := &occi.Query{}
	for _, e := range out.Entities {
		q.IDs = append(q.IDs, e.ID)
	}
	page, err := c.s.engine.List(c.r.Context(), c.caller, q)
	if err != nil {
		return out.Entities, true
	}
	now := make(map[uuid.UUID]*occi.Entity, len(page.Entities))
	for _, e := range page.Entities {
		now[e.ID] = e
	}
	es = make([]*occi.Entity, len(out.Entities))
	for i, e := range out.Entities {
		es[i] = cmp.Or(now[e.ID], e)
	}
	return es, true
}

// accepted answers a write whose tasks are under way with these: one with the
// task itself, several with their collection. Location is the first.
func (c *call) accepted(out *engine.Outcome) error {
	es := make([]*occi.Entity, len(out.Tasks))
	for i, t := range out.Tasks {
		es[i] = t.Resource()
	}
	if len(es) == 1 {
		if t, err := c.s.engine.Task(c.r.Context(), c.caller, es[0].ID); err == nil {
			es[0] = t.Resource()
		}
	}
	c.locate(es[0])
	c.answer(http.StatusAccepted, func(f *render.Format, v *render.View) ([]byte, error) {
		if len(es) == 1 {
			return f.Entity(nil, v, es[0])
		}
		page := &occi.Page{Entities: es, Total: len(es)}
		return f.Collection(nil, v, c.collection(&selection{}, page, time.Now()))
	})
	return nil
}

// living is the request's context, which ends at shutdown too.
func (c *call) living() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(c.r.Context())
	stop := context.AfterFunc(c.s.life, cancel)
	return ctx, func() {
		stop()
		cancel()
	}
}

func (c *call) taskPath(id uuid.UUID) string {
	return c.reg.model.RefPath(occi.Ref{ID: id, Kind: occi.TaskKind})
}
