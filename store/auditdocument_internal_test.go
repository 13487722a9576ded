package store

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/occid/occid/occi"
)

func auditDocument(rs ...*occi.Record) []byte {
	var w auditWriter
	for _, r := range rs {
		w.add(r)
	}
	return w.dst
}

// FuzzAudit reads documents of the audit trail, whole and spoilt: one that is read is
// written in a way that is read alike.
func FuzzAudit(f *testing.F) {
	a, at := uuid.New(), time.UnixMicro(1767323045678901).UTC()
	whole := auditDocument(
		&occi.Record{At: at, What: "created", ID: a, Kind: "k", Reach: "lab", Origin: occi.Origin{User: "u", Login: "ann", Project: "lab",
			Address: "192.0.2.1", Request: "r", Method: "POST", Path: "/compute/"}, Changes: []occi.Alteration{{Name: "n", Now: "1"}, {Name: "o", Was: "2"}}},
		&occi.Record{At: at.Add(-time.Second), What: "failed", ID: a, Task: uuid.New(), Verb: "start", Message: "no"},
		&occi.Record{At: at, What: "refused", Status: 403, Times: 70000})
	f.Add(whole)
	f.Add(whole[:len(whole)-1])
	f.Add(whole[:1])
	f.Add([]byte{auditFormat + 1})
	f.Add([]byte{auditFormat, 0xff})
	f.Add([]byte(nil))
	f.Fuzz(func(t *testing.T, text []byte) {
		rs, err := decodeAudit(text, 7)
		if err != nil {
			return
		}
		again, err := decodeAudit(auditDocument(rs...), 7)
		if len(rs) == 0 {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(rs, again); diff != "" {
			t.Errorf("-read +read again:\n%s", diff)
		}
	})
}
