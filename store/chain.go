package store

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/occid/occid/occi"
)

// chainPage is how many rows are read at once where all are.
const chainPage = 1000

// Chain is what was found of the audit trail.
type Chain struct {
	// Records is how many are kept, First the number of the first of them.
	Records, First int64
	// Last is the number of the last record, and Hash depends on all there ever were.
	Last int64
	Hash string
}

// Broken tells that the audit trail is not as it was written.
type Broken struct {
	Seq int64 // the first record of which that is so
	Why string
}

// Error implements error.
func (b *Broken) Error() string {
	return fmt.Sprintf("the audit trail is broken at record %d: %s", b.Seq, b.Why)
}

// broken makes a Broken.
func broken(seq int64, format string, args ...any) error {
	return &Broken{seq, fmt.Sprintf(format, args...)}
}

// VerifyAudit checks that the records of the audit trail are those that were written, in
// their order and without a gap, but for what was forgotten by RetainAudit. The error is a
// Broken if they are not. With a hash that was found as that of a last record before,
// it checks too that the trail goes on from there.
func (s *Store) VerifyAudit(ctx context.Context, known string) (*Chain, error) {
	v := &verifier{found: &Chain{First: 1}, known: known}
	var at int64
	err := s.run(ctx, query{statement{sql: `SELECT seq, at, hash FROM audit_checkpoints ORDER BY seq DESC LIMIT 1`}, func(r row) error {
		return r.Scan(&v.checkpoint.seq, &at, &v.checkpoint.hash)
	}})
	if err != nil {
		return nil, err
	}
	v.found.First, v.found.Last, v.hash = v.checkpoint.seq+1, v.checkpoint.seq, v.checkpoint.hash
	v.seen(v.hash)
	for {
		n := 0
		after := v.found.Last
		if v.found.Records == 0 {
			after = -1 // what is before a checkpoint should not be there
		}
		sql := `SELECT seq, first, at, doc, hash FROM audit WHERE seq > $1 ORDER BY seq LIMIT ` + bigint("$2")
		err := s.run(ctx, query{statement{sql, []any{after, chainPage}}, func(r row) error {
			n++
			return v.row(r)
		}})
		if err != nil {
			return v.found, err
		}
		if n < chainPage {
			return v.found, v.end()
		}
	}
}

// verifier goes along the chain.
type verifier struct {
	found      *Chain
	hash       []byte // of the row before
	checkpoint auditHead
	confirmed  bool // a record tells of the checkpoint
	known      string
	met        bool // the known hash was met
}

func (v *verifier) row(r row) error {
	var seq, first, at int64
	var doc, hash []byte
	if err := r.Scan(&seq, &first, &at, &doc, &hash); err != nil {
		return err
	}
	next := v.found.Last + 1
	if first != next {
		if first < next {
			return broken(first, "it is there twice, or was forgotten by a checkpoint and is there still")
		}
		return broken(next, "it is missing, with those up to %d", first-1)
	}
	if !bytes.Equal(auditHash(v.hash, seq, first, at, doc), hash) {
		return broken(first, "it, one up to %d or the hash before it was changed", seq)
	}
	records, err := decodeAudit(doc, first)
	if err != nil || int64(len(records)) != seq-first+1 {
		return broken(first, "it cannot be read")
	}
	for _, d := range records {
		if d.What == occi.AuditForgotten && d.Message == v.checkpoint.String() {
			v.confirmed = true
		}
	}
	v.found.Records += seq - first + 1
	v.found.Last, v.hash = seq, hash
	v.seen(hash)
	return nil
}

func (v *verifier) seen(hash []byte) {
	v.found.Hash = hex.EncodeToString(hash)
	v.met = v.met || v.found.Hash == v.known
}

// end checks what only all of it tells.
func (v *verifier) end() error {
	switch {
	case v.checkpoint.seq > 0 && !v.confirmed:
		return broken(v.found.First, "no record tells that those before it were forgotten, or the last ones are missing")
	case v.known != "" && !v.met:
		return broken(v.found.Last+1, "the last record that was known is not there: records are missing at the end, or all were written anew")
	}
	return nil
}

// String is how a record tells of a checkpoint.
func (h auditHead) String() string {
	return "up to record " + strconv.FormatInt(h.seq, 10) + ", hash " + hex.EncodeToString(h.hash)
}

// RetainAudit forgets records of the audit trail that are from before a time, the oldest first,
// for an origin, and gives how many. The trail tells of it, and what is kept can be verified.
// The newest records stay in any case.
func (s *Store) RetainAudit(ctx context.Context, before time.Time) (int64, error) {
	first, last, err := s.AuditRange(ctx, time.Time{}, time.Time{})
	if err != nil || last < first {
		return 0, err
	}
	end, err := s.auditAt(ctx, micros(before), first, last)
	if err != nil || end <= first {
		return 0, err
	}
	var upTo auditHead
	sql := `SELECT seq, hash FROM audit WHERE seq < $1 ORDER BY seq DESC LIMIT 1`
	err = s.run(ctx, query{statement{sql, []any{end}}, func(r row) error { return r.Scan(&upTo.seq, &upTo.hash) }})
	if err != nil || upTo.seq == 0 {
		return 0, err
	}
	now := time.Now()
	if err := s.Commit(ctx, &occi.Change{At: now, Records: []occi.Record{{What: occi.AuditForgotten, Message: upTo.String()}}}); err != nil {
		return 0, err
	}
	err = s.exclusive(ctx, func(reader) ([]statement, error) {
		return []statement{
			{`INSERT INTO audit_checkpoints (seq, at, hash) VALUES ($1, $2, $3)`, []any{upTo.seq, micros(now), upTo.hash}},
			{`DELETE FROM audit WHERE seq <= $1`, []any{upTo.seq}},
		}, nil
	})
	return upTo.seq - first + 1, err
}

// OpenTrail opens a database to read its audit trail, as it is: its schema is not brought
// up to date, and a file may be in use by a server. Else it is as Open.
func OpenTrail(ctx context.Context, dsn string) (*Store, error) {
	path, file := strings.CutPrefix(dsn, "sqlite:")
	if !file || path == "" {
		// The URL may hold a password, which errors of Open leave out.
		return Open(ctx, dsn)
	}
	db, err := readSQLite(path)
	if err != nil {
		return nil, occi.E(occi.Unavailable, "open the database: %w", err)
	}
	s := newStore()
	s.db = db
	if _, _, err := s.AuditRange(ctx, time.Time{}, time.Time{}); err != nil {
		return nil, errors.Join(occi.E(occi.Invalid, "%s is no database with an audit trail: %w", path, err), db.close())
	}
	return s, nil
}
