package occi

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

// What a Record of the audit trail says was done. What becomes of a task is said by the
// names of its states.
const (
	AuditCreated   = "created"
	AuditUpdated   = "updated"
	AuditDeleted   = "deleted"
	AuditDefined   = "defined"   // a mixin, be it anew
	AuditUndefined = "undefined" // a mixin
	AuditRefused   = "refused"   // a request
	AuditForgotten = "forgotten" // old records
)

// AuditKind is the kind under which records of the audit trail are shown.
const AuditKind = "http://schemas.occid.org/occi/core#audit"

// Origin is who asks for a change, from where, and by which request. The zero Origin is
// the server itself.
type Origin struct {
	// User is the UUID of who asks, Login what the user is called; empty where nobody is
	// asked who it is. Project is the one that the request is about.
	User, Login, Project string
	Address              string
	// Request is the request's identifier, Method and Path what it asks for.
	Request, Method, Path string
}

type originKey struct{}

// WithOrigin makes a context in which changes are an origin's.
func WithOrigin(ctx context.Context, o *Origin) context.Context {
	return context.WithValue(ctx, originKey{}, o)
}

// OriginOf gives whose the changes in a context are, nil for the server's own.
func OriginOf(ctx context.Context) *Origin {
	o, _ := ctx.Value(originKey{}).(*Origin)
	return o
}

// Record is what the audit trail says of one change, of the outcome of a task or of a
// refused request.
type Record struct {
	// Seq numbers all records of a database from 1, without a gap.
	Seq  int64
	At   time.Time
	What string
	Origin
	// Status is what refused a request, as HTTP has it, and Times how often within a short
	// time; 0 for what was not refused.
	Status, Times int
	// ID and Kind are of what it is about, an entity; of a mixin its identifier is the Kind. Reach is
	// whose that is.
	ID          uuid.UUID
	Kind, Reach string
	// Task and Verb are of the task whose outcome it is.
	Task    uuid.UUID
	Verb    string
	Message string
	Changes []Alteration
}

// Alteration is what became of an attribute: what it was and is now, empty for nothing.
type Alteration struct{ Name, Was, Now string }

// auditSpace begins the UUIDs of records.
var auditSpace = uuid.NewSHA1(uuid.NameSpaceURL, []byte(AuditKind))

// AuditID is the UUID under which the record of a number is shown.
func AuditID(seq int64) uuid.UUID {
	id := auditSpace
	binary.BigEndian.PutUint64(id[8:], uint64(seq)|1<<63) // RFC 9562's variant
	return id
}

// AuditSeq gives the number of the record that is shown under a UUID.
func AuditSeq(id uuid.UUID) (int64, bool) {
	seq := int64(binary.BigEndian.Uint64(id[8:]) &^ (1 << 63))
	return seq, AuditID(seq) == id
}

// Resource shows the record as an entity of AuditKind.
func (r *Record) Resource() *Entity {
	e := &Entity{ID: AuditID(r.Seq), Kind: AuditKind, Serial: r.Seq, Seq: r.Seq, Revision: 1, Owner: r.User, Project: r.Reach,
		Created: r.At, Updated: r.At, Title: r.title(), Summary: r.summary()}
	text := func(name, s string) {
		if s != "" {
			e.Attributes.Set("occid.audit."+name, Str(s))
		}
	}
	number := func(name string, n int64) {
		if n != 0 {
			e.Attributes.Set("occid.audit."+name, Int(n))
		}
	}
	number("number", r.Seq)
	text("time", r.At.UTC().Format(time.RFC3339Nano))
	text("what", r.What)
	text("user", r.User)
	text("login", r.Login)
	text("project", r.Project)
	text("address", r.Address)
	text("request", r.Request)
	text("method", r.Method)
	text("path", r.Path)
	number("status", int64(r.Status))
	number("times", int64(r.Times))
	if r.ID != uuid.Nil {
		text("entity", r.ID.String())
	}
	text("kind", r.Kind)
	text("owner", r.Reach)
	if r.Task != uuid.Nil {
		text("task", r.Task.String())
	}
	text("verb", r.Verb)
	text("message", r.Message)
	text("before", r.side(func(a Alteration) string { return a.Was }))
	text("after", r.side(func(a Alteration) string { return a.Now }))
	return e
}

// side is what attributes were or are, as JSON by name; empty for none.
func (r *Record) side(of func(Alteration) string) string {
	values := map[string]string{}
	for _, a := range r.Changes {
		if v := of(a); v != "" {
			values[a.Name] = v
		}
	}
	if len(values) == 0 {
		return ""
	}
	text, err := json.Marshal(values)
	if err != nil {
		panic(err) // texts always marshal
	}
	return string(text)
}

// title is what a reader lists a record by: "updated compute UUID".
func (r *Record) title() string {
	if r.What == AuditRefused {
		return r.What + " " + r.Method + " " + r.Path
	}
	title := r.What
	if r.Verb != "" {
		title = r.Verb + " " + title
	}
	if _, term, ok := SplitID(r.Kind); ok {
		title += " " + term
	}
	if r.ID != uuid.Nil {
		title += " " + r.ID.String()
	}
	return title
}

// summary is who did it, and what changed or why it was refused or failed, for who reads
// the feed.
func (r *Record) summary() string {
	var parts []string
	switch {
	case r.Login != "":
		parts = append(parts, "by "+r.Login)
	case r.User != "":
		parts = append(parts, "by the user "+r.User)
	default:
		parts = append(parts, "by the server")
	}
	if r.Address != "" {
		parts[0] += " from " + r.Address
	}
	if r.What == AuditRefused && r.Login+r.User == "" {
		parts[0] = "asked from " + r.Address
	}
	if r.Message != "" {
		parts = append(parts, r.Message)
	}
	for i, a := range r.Changes {
		if i == changesTold {
			parts = append(parts, "and "+strconv.Itoa(len(r.Changes)-i)+" more")
			break
		}
		parts = append(parts, a.Name+": "+quoted(a.Was)+" → "+quoted(a.Now))
	}
	return strings.Join(parts, "; ")
}

// changesTold is how many changes a summary tells.
const changesTold = 10

// quoted shows a value, and that there is none.
func quoted(value string) string {
	if value == "" {
		return "none"
	}
	return strconv.Quote(value)
}
