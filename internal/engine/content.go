package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/occid/occid/hypervisor"
	"github.com/occid/occid/internal/policy"
	"github.com/occid/occid/occi"
)

// Parameters of the tasks that take in content: that one does, and on which server it
// has arrived.
const (
	paramFetch  = "fetch"
	paramWorker = "worker"
)

// moves reports whether a task may take as long as much data takes to move.
func moves(t *occi.Task) bool { return !t.Attributes.Get(paramFrom).IsZero() || takesIn(t) }

// takesIn reports whether a task takes in content from elsewhere.
func takesIn(t *occi.Task) bool {
	return t.Verb == verbContent || !t.Attributes.Get(paramFetch).IsZero()
}

// fetchParams marks the task that makes an entity whose content comes from elsewhere.
func fetchParams(m *occi.Model, x *occi.Entity, params occi.Attrs) occi.Attrs {
	if !role(m, x, roleSource).IsZero() || !role(m, x, roleFile).IsZero() {
		params.Set(paramFetch, occi.Bool(true))
	}
	return params
}

// Upload is a part of the content of a volume, or the whole of it.
type Upload struct {
	// Offset is where Body begins in the content. Total is the size of all of it; -1 if
	// that is not known and Body is the whole.
	Offset, Total int64
	// Sum is the SHA-256 of all the content, nil if it is not to be compared.
	Sum  []byte
	Body io.Reader
}

// Uploaded is how far an upload is.
type Uploaded struct {
	// Have is how many bytes have arrived, Total of how many, -1 if that is not known.
	Have, Total int64
	// Outcome, when all has arrived, has the task that takes it in.
	Outcome *Outcome
}

// Upload takes in a part of what a volume is to hold. What arrived before an error
// stays, to be gone on with, unless the error is about the content; how far it is
// is told with an error too. When all has arrived a task puts it into the volume.
func (e *Engine) Upload(ctx context.Context, c Caller, id uuid.UUID, u Upload, o Options) (*Uploaded, error) {
	c = e.as(c)
	up := &Uploaded{Total: u.Total}
	x, under, err := e.uploadable(ctx, c, id)
	if err != nil {
		return up, err
	}
	if under != nil {
		return up, occi.E(occi.Conflict, "%s is taking in content already, in the task %s", e.Model().Path(x), under.ID)
	}
	if o.Match != nil {
		if err := o.Match(x); err != nil {
			return up, err
		}
	}
	if up.Have, err = e.cfg.Images.Receive(ctx, id, u.Offset, u.Total, u.Body); err != nil {
		return up, err
	}
	switch {
	case up.Total < 0:
		up.Total = up.Have
	case up.Have < up.Total:
		return up, nil
	}
	if up.Have == 0 {
		return up, errors.Join(occi.E(occi.Invalid, "the content is empty"), e.cfg.Images.Drop(id))
	}
	if u.Sum != nil {
		if err := e.cfg.Images.Verify(ctx, id, u.Sum); err != nil {
			up.Have = 0
			return up, err
		}
	}
	up.Outcome, err = e.hold(ctx, c, id)
	return up, err
}

// Uploaded tells how far an upload is. One that has arrived and is being taken in
// has an Outcome.
func (e *Engine) Uploaded(ctx context.Context, c Caller, id uuid.UUID) (*Uploaded, error) {
	c = e.as(c)
	x, err := e.volume(ctx, c, policy.Read, id)
	if err != nil {
		return nil, err
	}
	up := &Uploaded{}
	if up.Have, up.Total, err = e.cfg.Images.Staged(id); err != nil {
		return nil, err
	}
	t, err := e.taking(ctx, x)
	if t != nil {
		up.Outcome = &Outcome{Entities: []*occi.Entity{x}, Tasks: []*occi.Task{t}}
	}
	return up, err
}

// DropUpload forgets what has arrived of an upload that has not come to its end.
func (e *Engine) DropUpload(ctx context.Context, c Caller, id uuid.UUID) error {
	c = e.as(c)
	x, err := e.volume(ctx, c, policy.Update, id)
	if err != nil {
		return err
	}
	t, err := e.taking(ctx, x)
	if err != nil {
		return err
	}
	if t != nil {
		return occi.E(occi.Conflict, "the content has arrived; the task %s, which takes it in, can be cancelled", t.ID)
	}
	return e.cfg.Images.Drop(id)
}

// Content gives w the file of a volume that nothing may write to.
func (e *Engine) Content(ctx context.Context, c Caller, id uuid.UUID, w io.Writer) error {
	c = e.as(c)
	x, err := e.volume(ctx, c, policy.Read, id)
	if err != nil {
		return err
	}
	m := e.Model()
	users, err := e.users(ctx, []uuid.UUID{id}, nil)
	if err != nil {
		return err
	}
	t, err := e.taking(ctx, x)
	switch ps := users.inUse(m); {
	case err != nil:
		return err
	case len(ps) > 0:
		return occi.Problems(occi.Conflict, "what a machine writes to is not read; take a snapshot", ps)
	case t != nil:
		return occi.E(occi.Conflict, "%s is taking in content, in the task %s", m.Path(x), t.ID)
	}
	h := e.host(x.Host)
	if h == nil {
		return occi.E(occi.Conflict, "%s is on no host", m.Path(x))
	}
	err = h.drv.ReadVolume(ctx, id, w)
	switch {
	case errors.Is(err, hypervisor.ErrNotFound):
		return occi.E(occi.Conflict, "%s is missing on its host", m.Path(x))
	case errors.Is(err, hypervisor.ErrInvalid):
		return occi.E(occi.Unsupported, "%v", err)
	case errors.Is(err, hypervisor.ErrUnavailable):
		return occi.E(occi.Unavailable, "%v", err)
	}
	return err
}

// volume gives an entity that can hold content, and that the caller may do something with.
func (e *Engine) volume(ctx context.Context, c Caller, do string, id uuid.UUID) (*occi.Entity, error) {
	x, err := e.store.Entity(ctx, id)
	if err != nil {
		return nil, err
	}
	m := e.Model()
	if err := may(c, x, do); err != nil {
		return nil, err
	}
	if k := m.Kind(x.Kind); k == nil || k.Host != "volume" {
		return nil, occi.E(occi.NotFound, "%s has no content", m.Path(x))
	}
	if e.cfg.Images == nil {
		return nil, occi.E(occi.Unsupported, "this server takes in no content")
	}
	return x, nil
}

// taking gives the task that takes content into a volume, nil if there is none.
func (e *Engine) taking(ctx context.Context, x *occi.Entity) (*occi.Task, error) {
	if len(x.Tasks) == 0 {
		return nil, nil
	}
	tasks, err := e.store.Unfinished(ctx, []uuid.UUID{lane(x)})
	for _, t := range tasks {
		if takesIn(t) && t.Entity == x.ID {
			return t, err
		}
	}
	return nil, err
}

// uploadable gives a volume that content can be written to, or under, the task that
// takes some in already; it is a Conflict if somebody may use the volume.
func (e *Engine) uploadable(ctx context.Context, c Caller, id uuid.UUID) (x *occi.Entity, under *occi.Task, err error) {
	if x, err = e.volume(ctx, c, policy.Update, id); err != nil {
		return nil, nil, err
	}
	if under, err = e.taking(ctx, x); under != nil || err != nil {
		return x, under, err
	}
	m := e.Model()
	ps, err := e.linkedTo(ctx, m, []uuid.UUID{id}, false)
	if err == nil {
		var of []occi.Problem
		of, err = e.imageUsers(ctx, m, []*occi.Entity{x}, nil)
		ps = append(ps, of...)
	}
	switch {
	case err != nil:
		return nil, nil, err
	case x.Host == "":
		return nil, nil, conflict("%s is on no host", m.Path(x))
	case len(ps) > 0:
		return nil, nil, final{occi.Problems(occi.Conflict, "the content of what is in use cannot be replaced", ps)}
	}
	return x, nil, nil
}

// hold leaves the task that has a volume hold what has arrived.
func (e *Engine) hold(ctx context.Context, c Caller, id uuid.UUID) (*Outcome, error) {
	return retry(ctx, func() (*Outcome, error) {
		x, under, err := e.uploadable(ctx, c, id)
		if err != nil {
			return nil, err
		}
		if under != nil {
			return nil, conflict("%s is taking in content already, in the task %s", e.Model().Path(x), under.ID)
		}
		p := e.plan(c)
		p.known[id], p.result = x, []uuid.UUID{id}
		w := p.put(x)
		params := p.autoParams(w)
		params.Set(paramWorker, occi.Str(e.cfg.Worker))
		p.task(w, x.Host, verbContent, params, nil)
		p.say(w, throughContent)
		return p.commit(ctx)
	})
}

// takeUpload has a volume hold what has arrived of an upload.
func (h *host) takeUpload(ctx context.Context, j *job) error {
	file := j.param(paramFile)
	if file == "" && j.param(paramWorker) != h.e.cfg.Worker {
		return fmt.Errorf("%w: the content has arrived at another server", hypervisor.ErrUnavailable)
	}
	ps, err := h.e.linkedTo(ctx, j.m, []uuid.UUID{j.x.ID}, false)
	if err != nil || len(ps) > 0 {
		return errors.Join(err, occi.Problems(occi.Conflict, "it is in use", ps))
	}
	if ps, err = h.e.machinesOf(ctx, j.m, []*occi.Entity{j.x}, nil); err != nil || len(ps) > 0 {
		return errors.Join(err, occi.Problems(occi.Conflict, "it is in use", ps))
	}
	return j.takeIn(ctx, file, 0)
}

// Shares of the progress of a task that takes in content, in percent: when all has
// been fetched, and when that has been made a clean file.
const (
	fetched = 40
	cleaned = 70
)

// stage notes the progress of a part of a task, from one percentage to another.
func (j *job) stage(from, to int) func(done, total int64) {
	return func(done, total int64) {
		if total > 0 {
			j.progress(from + int(float64(to-from)*float64(min(done, total))/float64(total)))
		}
	}
}

// takeIn has the volume hold what has arrived or, if name is not empty, the operator's
// file of that name. It replaces what the volume held.
func (j *job) takeIn(ctx context.Context, name string, from int) error {
	r, size, disk, err := j.cfg.Images.Convert(ctx, j.x.ID, name, j.stage(from, cleaned))
	if err != nil {
		return err
	}
	defer r.Close()
	v := volumeOf(j.m, j.x)
	if disk > v.SizeBytes {
		return occi.E(occi.Invalid, "the image holds a disk of %d bytes (%.4g GiB), more than the %d (%.4g GiB) of %s", disk, float64(disk)/gib,
			v.SizeBytes, float64(v.SizeBytes)/gib, j.m.Path(j.x))
	}
	if j.pooled {
		// The volume is written where it is.
		if err := j.drv.CreateVolume(ctx, v); err != nil {
			return err
		}
	}
	if err := j.drv.WriteVolume(ctx, j.x.ID, &counted{r: r, total: size, progress: j.stage(cleaned, 99)}, size); err != nil {
		return err
	}
	return j.drv.CreateVolume(ctx, v)
}

// counted is a reader that reports how far it is.
type counted struct {
	r           io.Reader
	done, total int64
	progress    func(done, total int64)
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.done += int64(n)
	c.progress(c.done, c.total)
	return n, err
}

// defineImage makes the volume of an image: empty, to be uploaded to, or with the
// content that its source has. One whose content is lost is not made again empty:
// machines would begin with nothing.
func defineImage(ctx context.Context, j *job) error {
	source, file := role(j.m, j.x, roleSource).Text, role(j.m, j.x, roleFile).Text
	there, err := onHost(ctx, j.drv, j.x.ID)
	switch {
	case err != nil:
		return err
	case there != nil && j.verb != verbCreate:
		return nil
	case file != "":
		return j.takeIn(ctx, file, 0)
	case source != "":
		return j.fetch(ctx, source)
	case j.verb == verbCreate:
		return j.drv.CreateVolume(ctx, volumeOf(j.m, j.x))
	}
	return errors.New("the content of the image is gone from its host; it can be uploaded again")
}

// fetch has the volume hold what a URL names.
func (j *job) fetch(ctx context.Context, source string) error {
	if j.cfg.Images == nil {
		return occi.E(occi.Unsupported, "this server fetches no images")
	}
	sum, err := sumOf(role(j.m, j.x, roleChecksum).Text)
	if err != nil {
		return err
	}
	err = j.cfg.Images.Fetch(ctx, j.x.ID, source, sum, j.stage(0, fetched))
	if errors.Is(err, occi.Unavailable) && j.task.Attempts >= patientAttempts {
		return errors.Join(errLasting, err)
	}
	if err != nil {
		return err
	}
	return j.takeIn(ctx, "", fetched)
}

// sumOf reads a checksum; nil for none.
func sumOf(text string) ([]byte, error) {
	if text == "" {
		return nil, nil
	}
	digits, ok := strings.CutPrefix(text, "sha256:")
	sum, err := hex.DecodeString(digits)
	if !ok || err != nil || len(sum) != sha256.Size {
		return nil, occi.E(occi.Invalid, "%.100q is not sha256: and 64 hexadecimal digits", text)
	}
	return sum, nil
}

// sources refuses images that would not be fetched, before anything is made.
func (b *creation) sources() error {
	for _, x := range b.tops {
		source, sum := role(b.m, x, roleSource).Text, roleAttr(b.m, x, roleChecksum)
		if sum != nil {
			if _, err := sumOf(x.Attributes.Get(sum.Name).Text); err != nil {
				return occi.Problems(occi.Invalid, "the image cannot be fetched", []occi.Problem{{What: sum.Name, Text: err.Error()}})
			}
		}
		if source == "" {
			if sum != nil && !x.Attributes.Get(sum.Name).IsZero() {
				return occi.Problems(occi.Invalid, "the image cannot be fetched", []occi.Problem{{What: sum.Name, Text: "needs " + roleAttr(b.m, x, roleSource).Name}})
			}
			continue
		}
		err := error(occi.E(occi.Unsupported, "this server fetches no images"))
		if b.e.cfg.Images != nil {
			err = b.e.cfg.Images.Permitted(source)
		}
		if err != nil {
			return final{occi.Problems(occi.ClassOf(err), "the image cannot be fetched", []occi.Problem{{What: roleAttr(b.m, x, roleSource).Name, Text: err.Error()}})}
		}
	}
	return nil
}

// arrived forgets what is kept of the content that a task took in, or that was to go
// into what it deleted.
func (e *Engine) arrived(t *occi.Task) {
	if e.cfg.Images == nil || !takesIn(t) && t.Verb != verbDelete {
		return
	}
	if err := e.cfg.Images.Drop(t.Entity); err != nil {
		e.log.Warn("what is left of an upload was not removed", "entity", t.Entity, "error", err)
	}
}

// expireEvery is how often it is looked for uploads that were given up.
const expireEvery = time.Hour

// expireUploads forgets uploads that were given up, until ctx ends.
func (e *Engine) expireUploads(ctx context.Context) {
	if e.cfg.Images == nil || e.cfg.KeepUploads <= 0 {
		return
	}
	tick := time.NewTicker(min(expireEvery, max(e.cfg.KeepUploads/4, 100*time.Millisecond)))
	defer tick.Stop()
	for {
		if err := e.cfg.Images.Expire(ctx, e.cfg.KeepUploads, e.awaited); err != nil && ctx.Err() == nil {
			e.log.Warn("uploads that were given up were not removed", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// awaited reports whether a task may need what has arrived for an entity.
func (e *Engine) awaited(ctx context.Context, id uuid.UUID) (bool, error) {
	x, err := e.anyway(ctx, id)
	return x != nil && len(x.Tasks) > 0, err
}
