package store

import (
	"encoding/json"
	"time"
	"unique"

	"github.com/google/uuid"

	"github.com/occid/occid/occi"
)

// document is what a row holds of an entity beside its columns.
type document struct {
	ID         uuid.UUID   `json:"id"`
	Kind       string      `json:"kind"`
	Owner      string      `json:"owner,omitempty"`
	Project    string      `json:"project,omitempty"`
	Title      string      `json:"title,omitempty"`
	Summary    string      `json:"summary,omitempty"`
	Mixins     []string    `json:"mixins,omitempty"`
	Attributes []attribute `json:"attributes,omitempty"`
	Source     *ref        `json:"source,omitempty"`
	Target     *ref        `json:"target,omitempty"`
	Host       string      `json:"host,omitempty"`
	Moving     string      `json:"moving,omitempty"`
	Takes      []take      `json:"takes,omitempty"`
	Charges    []charge    `json:"charges,omitempty"`
	Reserved   int64       `json:"reserved,omitempty"`
	Written    int64       `json:"written,omitempty"`
	Tasks      []uuid.UUID `json:"tasks,omitempty"`
	Deleted    bool        `json:"deleted,omitempty"`
}

type attribute struct {
	Name string    `json:"name"`
	Type occi.Type `json:"type"`
	Num  float64   `json:"num,omitempty"`
	Text string    `json:"text,omitempty"`
}

type take struct {
	What   string `json:"what"`
	Amount int64  `json:"amount"`
	Shared bool   `json:"shared,omitempty"`
	Host   string `json:"host,omitempty"`
}

type charge struct {
	What   string `json:"what"`
	Amount int64  `json:"amount"`
}

type ref struct {
	ID   uuid.UUID `json:"id,omitzero"`
	Kind string    `json:"kind,omitempty"`
	URI  string    `json:"uri,omitempty"`
}

// encodeEntity makes the document. It fails for numbers that are none.
func encodeEntity(e *occi.Entity) ([]byte, error) {
	return json.Marshal(document{
		ID: e.ID, Kind: e.Kind, Owner: e.Owner, Project: e.Project, Title: e.Title, Summary: e.Summary,
		Mixins: e.Mixins, Attributes: toAttributes(e.Attributes), Source: toRef(e.Source), Target: toRef(e.Target),
		Host: e.Host, Moving: e.Moving, Takes: toTakes(e.Takes), Charges: toCharges(e.Charges), Reserved: e.Reserved, Written: e.Written, Tasks: e.Tasks, Deleted: e.Deleted,
	})
}

// decodeEntity reads the document; the columns are left zero.
func decodeEntity(data []byte) (*occi.Entity, error) {
	var d document
	if err := json.Unmarshal(data, &d); err != nil {
		return nil, err
	}
	for i, id := range d.Mixins {
		d.Mixins[i] = intern(id)
	}
	return &occi.Entity{
		ID: d.ID, Kind: intern(d.Kind), Owner: intern(d.Owner), Project: intern(d.Project), Title: d.Title, Summary: d.Summary,
		Mixins: d.Mixins, Attributes: fromAttributes(d.Attributes), Source: fromRef(d.Source), Target: fromRef(d.Target),
		Host: intern(d.Host), Moving: intern(d.Moving), Takes: fromTakes(d.Takes), Charges: fromCharges(d.Charges), Reserved: d.Reserved, Written: d.Written, Tasks: d.Tasks, Deleted: d.Deleted,
	}, nil
}

func toAttributes(as occi.Attrs) []attribute {
	out := make([]attribute, len(as))
	for i, a := range as {
		out[i] = attribute{a.Name, a.Value.Type, a.Value.Num, a.Value.Text}
	}
	return out
}

func fromAttributes(as []attribute) occi.Attrs {
	if len(as) == 0 {
		return nil
	}
	out := make(occi.Attrs, len(as))
	for i, a := range as {
		out[i] = occi.Attr{Name: intern(a.Name), Value: occi.Value{Type: occi.Type(intern(string(a.Type))), Num: a.Num, Text: a.Text}}
	}
	return out
}

func toTakes(ts []occi.Take) []take {
	out := make([]take, len(ts))
	for i, t := range ts {
		out[i] = take(t)
	}
	return out
}

func fromTakes(ts []take) []occi.Take {
	if len(ts) == 0 {
		return nil
	}
	out := make([]occi.Take, len(ts))
	for i, t := range ts {
		out[i] = occi.Take(t)
		out[i].What, out[i].Host = intern(t.What), intern(t.Host)
	}
	return out
}

func toCharges(us []occi.Charge) []charge {
	out := make([]charge, len(us))
	for i, u := range us {
		out[i] = charge(u)
	}
	return out
}

func fromCharges(us []charge) []occi.Charge {
	if len(us) == 0 {
		return nil
	}
	out := make([]occi.Charge, len(us))
	for i, u := range us {
		out[i] = occi.Charge{What: intern(u.What), Amount: u.Amount}
	}
	return out
}

func toRef(r occi.Ref) *ref {
	if r == (occi.Ref{}) {
		return nil
	}
	return &ref{r.ID, r.Kind, r.URI}
}

func fromRef(r *ref) occi.Ref {
	if r == nil {
		return occi.Ref{}
	}
	return occi.Ref{ID: r.ID, Kind: intern(r.Kind), URI: r.URI}
}

// intern lets the many entities share the few names they are made of.
func intern(s string) string { return unique.Make(s).Value() }

// micros is a time as the database keeps it.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func fromMicros(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}
