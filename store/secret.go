package store

import (
	"context"
	"slices"

	"github.com/google/uuid"

	"github.com/occid/occid/occi"
)

// Secret gives what is known under a name, or NotFound.
func (s *Store) Secret(ctx context.Context, name string) (*occi.Secret, error) {
	var found *occi.Secret
	sql := `SELECT entity, owner, hash FROM secrets WHERE name = $1`
	err := s.run(ctx, query{statement{sql, []any{[]byte(name)}}, func(r row) error {
		found = &occi.Secret{Name: name}
		var hash []byte
		err := r.Scan(&found.Entity, &found.Owner, &hash)
		found.Hash = string(hash)
		return err
	}})
	if err == nil && found == nil {
		err = occi.E(occi.NotFound, "there is no such account")
	}
	return found, err
}

// secretsIn finds which names are taken of those that jobs give.
func (g *group) secretsIn(jobs []*job) []query {
	var names []string
	for _, j := range jobs {
		for _, x := range j.change.Secrets {
			names = append(names, x.Name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	sql := `SELECT name, entity FROM secrets WHERE ` + g.d.anyOfBytes("name", "$1")
	return []query{{statement{sql, []any{g.d.bytes(names)}}, func(from row) error {
		var name []byte
		var id uuid.UUID
		err := from.Scan(&name, &id)
		g.secrets[string(name)] = id
		return err
	}}}
}

// checkSecrets refuses names that others have.
func (g *group) checkSecrets(j *job) error {
	for _, x := range j.change.Secrets {
		if id, taken := g.secrets[x.Name]; taken && id != x.Entity {
			return occi.E(occi.Conflict, "the name is taken")
		}
	}
	return nil
}

func (g *group) applySecrets(j *job) {
	for _, x := range j.change.Secrets {
		g.secrets[x.Name] = x.Entity
		g.newSecrets = append(g.newSecrets, []any{x.Entity, []byte(x.Name), x.Owner, []byte(x.Hash)})
	}
}

// dropSecret forgets what an entity of the provider's own was recognised by.
func (g *group) dropSecret(e *occi.Entity) {
	if !slices.Contains(g.own, e.Kind) {
		return
	}
	for name, id := range g.secrets {
		if id == e.ID {
			delete(g.secrets, name)
		}
	}
	g.newSecrets = slices.DeleteFunc(g.newSecrets, func(row []any) bool { return row[0] == e.ID })
	g.goneSecrets = append(g.goneSecrets, statement{`DELETE FROM secrets WHERE entity = $1`, []any{e.ID}})
}
