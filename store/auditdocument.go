package store

import (
	"encoding/binary"

	"github.com/google/uuid"

	"github.com/occid/occid/occi"
)

// auditFormat is the version of the documents.
const auditFormat = 1

// auditWords are the texts of a record, most of which others of its row have too.
func auditWords(r *occi.Record) [12]*string {
	return [...]*string{&r.What, &r.User, &r.Login, &r.Project, &r.Address, &r.Request, &r.Method, &r.Path, &r.Kind, &r.Reach,
		&r.Verb, &r.Message}
}

// auditWriter makes the document of a row of the audit trail: a byte for its version, then
// each record as its time after that of the one before, its texts, its status and how
// often it was, its UUIDs, each after a byte that is 0 for none, and its changes, which
// are counted. A text is the number of one that was there before, from 1, or 0, its length
// and itself. The zero auditWriter is ready for use.
type auditWriter struct {
	dst     []byte
	numbers map[string]uint64
	at      int64
	records int
}

func (w *auditWriter) add(r *occi.Record) {
	if w.numbers == nil {
		w.dst, w.numbers = append(w.dst, auditFormat), map[string]uint64{"": 1}
	}
	w.records++
	at := micros(r.At)
	w.dst = binary.AppendVarint(w.dst, at-w.at)
	w.at = at
	for _, word := range auditWords(r) {
		w.word(*word)
	}
	w.dst = binary.AppendUvarint(w.dst, uint64(r.Status))
	w.dst = binary.AppendUvarint(w.dst, uint64(r.Times))
	w.id(r.ID)
	w.id(r.Task)
	w.dst = binary.AppendUvarint(w.dst, uint64(len(r.Changes)))
	for _, a := range r.Changes {
		w.word(a.Name)
		w.word(a.Was)
		w.word(a.Now)
	}
}

func (w *auditWriter) word(s string) {
	n := w.numbers[s]
	if w.dst = binary.AppendUvarint(w.dst, n); n == 0 {
		w.numbers[s] = uint64(len(w.numbers) + 1)
		w.dst = binary.AppendUvarint(w.dst, uint64(len(s)))
		w.dst = append(w.dst, s...)
	}
}

func (w *auditWriter) id(id uuid.UUID) {
	if id == uuid.Nil {
		w.dst = append(w.dst, 0)
		return
	}
	w.dst = append(append(w.dst, 1), id[:]...)
}

// decodeAudit reads what an auditWriter has written, whose first record has a number.
func decodeAudit(text []byte, first int64) ([]*occi.Record, error) {
	if len(text) == 0 || text[0] != auditFormat {
		return nil, errEvents
	}
	r := eventReader{rest: text[1:], words: []string{""}}
	var rs []*occi.Record
	at := int64(0)
	for len(r.rest) > 0 && !r.bad {
		d := &occi.Record{Seq: first + int64(len(rs))}
		at += r.varint()
		d.At = fromMicros(at)
		for _, word := range auditWords(d) {
			*word = r.word()
		}
		d.Status, d.Times = int(r.uvarint()), int(r.uvarint())
		d.ID, d.Task = r.id(), r.id()
		// A change takes three bytes at least.
		n := r.uvarint()
		r.bad = r.bad || n > uint64(len(r.rest))/3
		for i := uint64(0); i < n && !r.bad; i++ {
			d.Changes = append(d.Changes, occi.Alteration{Name: r.word(), Was: r.word(), Now: r.word()})
		}
		rs = append(rs, d)
	}
	if r.bad {
		return nil, errEvents
	}
	return rs, nil
}

func (r *eventReader) id() (id uuid.UUID) {
	if is := r.take(1); len(is) == 1 && is[0] == 1 {
		copy(id[:], r.take(uint64(len(id))))
	}
	return id
}
