package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/google/uuid"

	"github.com/occid/occid/occi"
)

// keyID is what the row of an idempotency key is found by, whatever bytes the
// caller's and the key's names are made of.
func keyID(who, name string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %s%s", len(who), who, name))
	return hex.EncodeToString(sum[:])
}

type keyDocument struct {
	Who      string      `json:"who,omitempty"`
	Hash     string      `json:"hash"`
	Entities []uuid.UUID `json:"entities,omitempty"`
	Made     []uuid.UUID `json:"made,omitempty"`
	Defined  []string    `json:"defined,omitempty"`
	Created  int64       `json:"created"`
}

func encodeKey(k *occi.Key) ([]byte, error) {
	return json.Marshal(keyDocument{k.Who, k.Hash, k.Entities, k.Made, k.Defined, micros(k.Created)})
}

// Key gives what was made under an idempotency key, or NotFound.
func (s *Store) Key(ctx context.Context, who, name string) (*occi.Key, error) {
	var doc []byte
	sql := `SELECT doc FROM keys WHERE id = $1`
	err := s.run(ctx, query{statement{sql, []any{keyID(who, name)}}, func(r row) error { return r.Scan(&doc) }})
	if err != nil {
		return nil, err
	}
	if doc == nil {
		return nil, occi.E(occi.NotFound, "the idempotency key %q is free", name)
	}
	var d keyDocument
	if err := json.Unmarshal(doc, &d); err != nil {
		return nil, occi.E(occi.Internal, "the idempotency key %q is kept as what cannot be read: %w", name, err)
	}
	return &occi.Key{Who: who, Name: name, Hash: d.Hash, Entities: d.Entities, Made: d.Made, Defined: d.Defined,
		Created: fromMicros(d.Created)}, nil
}

// keysIn finds which keys are taken.
func (g *group) keysIn(ids []string) query {
	among, list := g.d.anyOf("id", "$1", ids)
	return query{statement{`SELECT id FROM keys WHERE ` + among, []any{list}}, func(from row) error {
		var id string
		err := from.Scan(&id)
		g.keys[id] = true
		return err
	}}
}
