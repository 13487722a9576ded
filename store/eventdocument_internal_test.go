package store

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
)

// FuzzEvents reads documents of events, whole and spoilt: one that is read is written
// in a way that is read alike.
func FuzzEvents(f *testing.F) {
	a, b := uuid.New(), uuid.New()
	whole := appendEvents(nil, []eventDocument{
		{At: 5, What: "created", ID: a, Kind: "k", Owner: "ann", Project: "lab", State: "inactive", Message: "a\nb"},
		{At: 3, What: "state", ID: b, Kind: "t", Owner: "ann", About: a, AboutKind: "k", Verb: "start", State: "failed", Was: "running", Message: "a\nb"},
	})
	f.Add(whole)
	f.Add(whole[:len(whole)-1])
	f.Add(whole[:1])
	f.Add([]byte{2})
	f.Add([]byte{eventFormat, 0xff})
	f.Add([]byte(nil))
	f.Fuzz(func(t *testing.T, text []byte) {
		ds, err := decodeEvents(text)
		if err != nil {
			return
		}
		again, err := decodeEvents(appendEvents(nil, ds))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(ds, again); diff != "" {
			t.Errorf("-read +read again:\n%s", diff)
		}
	})
}

func TestEventsFitARow(t *testing.T) {
	t.Parallel()
	const kind = "http://schemas.ogf.org/occi/infrastructure#compute"
	var ds []eventDocument
	for range maxEvents / 2 {
		id := uuid.New()
		ds = append(ds, eventDocument{At: 1767323045678901, What: "created", ID: id, Kind: kind, State: "inactive", Message: "creating"},
			eventDocument{At: 1767323045678901, What: "created", ID: uuid.New(), Kind: "http://schemas.occid.org/occi/core#task", About: id, AboutKind: kind, Verb: "create", State: "pending"})
	}
	text := appendEvents(nil, ds)
	// From this on PostgreSQL compresses a row.
	if len(text) > 1900 {
		t.Errorf("%d events take %d bytes", len(ds), len(text))
	}
	if got, err := decodeEvents(text); err != nil || !cmp.Equal(got, ds) {
		t.Errorf("read: %v, %v", got, err)
	}
}
