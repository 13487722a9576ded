package store

import (
	"encoding/binary"
	"errors"
	"strings"

	"github.com/google/uuid"

	"github.com/occid/occid/occi"
)

// eventDocument is what a row holds of an event; its number follows from its place.
type eventDocument struct {
	At                   int64
	What                 string
	ID                   uuid.UUID
	Kind, Owner, Project string
	About                uuid.UUID
	AboutKind, Verb      string
	State, Was, Message  string
}

func (d *eventDocument) event(seq int64) *occi.Event {
	return &occi.Event{Seq: seq, At: fromMicros(d.At), What: d.What, ID: d.ID, Kind: intern(d.Kind), Owner: d.Owner, Project: d.Project,
		About: occi.Ref{ID: d.About, Kind: intern(d.AboutKind)}, Verb: d.Verb, State: d.State, Was: d.Was, Message: d.Message}
}

// words are the texts of an event, most of which others of its row have too.
func (d *eventDocument) words() [9]*string {
	return [...]*string{&d.What, &d.Kind, &d.Owner, &d.Project, &d.AboutKind, &d.Verb, &d.State, &d.Was, &d.Message}
}

// appendEvents adds the document of a row. Each text is in it once, and UUIDs are
// binary: PostgreSQL compresses rows of more than 2 KB and keeps them apart, which
// these are spared. The format is a byte for its version, then each event: its time, after that of the one before; its UUID; its
// texts; and the UUID that it is about. A text is the number of one that was there
// before, from 1, or 0, its length and itself.
func appendEvents(dst []byte, ds []eventDocument) []byte {
	dst = append(dst, eventFormat)
	numbers := map[string]uint64{"": 1}
	at := int64(0)
	for i := range ds {
		d := &ds[i]
		dst = binary.AppendVarint(dst, d.At-at)
		at = d.At
		dst = append(dst, d.ID[:]...)
		for _, word := range d.words() {
			n := numbers[*word]
			if dst = binary.AppendUvarint(dst, n); n == 0 {
				numbers[*word] = uint64(len(numbers) + 1)
				dst = binary.AppendUvarint(dst, uint64(len(*word)))
				dst = append(dst, *word...)
			}
		}
		if d.AboutKind != "" || d.About != uuid.Nil {
			dst = append(append(dst, 1), d.About[:]...)
		} else {
			dst = append(dst, 0)
		}
	}
	return dst
}

// eventFormat is the version of the documents.
const eventFormat = 1

var errEvents = errors.New("the document is cut off or of another format")

// decodeEvents reads what appendEvents has written.
func decodeEvents(text []byte) ([]eventDocument, error) {
	if len(text) == 0 || text[0] != eventFormat {
		return nil, errEvents
	}
	r := eventReader{rest: text[1:], words: []string{""}}
	var ds []eventDocument
	at := int64(0)
	for len(r.rest) > 0 && !r.bad {
		var d eventDocument
		at += r.varint()
		d.At = at
		copy(d.ID[:], r.take(uint64(len(d.ID))))
		for _, word := range d.words() {
			*word = r.word()
		}
		if about := r.take(1); len(about) == 1 && about[0] == 1 {
			copy(d.About[:], r.take(uint64(len(d.About))))
		}
		ds = append(ds, d)
	}
	if r.bad {
		return nil, errEvents
	}
	return ds, nil
}

// eventReader reads a document from its beginning. bad is set once it is not as it
// should be.
type eventReader struct {
	rest  []byte
	words []string
	bad   bool
}

func (r *eventReader) take(n uint64) []byte {
	if n > uint64(len(r.rest)) {
		r.rest, r.bad = nil, true
		return nil
	}
	part := r.rest[:n]
	r.rest = r.rest[n:]
	return part
}

func (r *eventReader) varint() int64 {
	v, n := binary.Varint(r.rest)
	r.take(uint64(max(n, 0)))
	r.bad = r.bad || n <= 0
	return v
}

func (r *eventReader) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	r.take(uint64(max(n, 0)))
	r.bad = r.bad || n <= 0
	return v
}

func (r *eventReader) word() string {
	n := r.uvarint()
	switch {
	case r.bad || n > uint64(len(r.words)):
		r.bad = true
		return ""
	case n > 0:
		return r.words[n-1]
	}
	word := strings.ToValidUTF8(string(r.take(r.uvarint())), "\uFFFD")
	r.words = append(r.words, word)
	return word
}
