package store

import (
	"context"

	"github.com/occid/occid/occi"
)

// projects fills in whose those entities are that were shared before rows said so.
func (s *Store) projects(ctx context.Context) error {
	var missing []*occi.Entity
	err := s.run(ctx, entities(selectEntities+` WHERE length(reach) > 0 AND reach = $1 AND length(project) = 0`, func(e *occi.Entity) {
		if e.Project != "" {
			missing = append(missing, e)
		}
	}, []byte(occi.Everyone)))
	if err != nil || len(missing) == 0 {
		return err
	}
	return s.exclusive(ctx, func(reader) ([]statement, error) {
		statements := make([]statement, len(missing))
		for i, e := range missing {
			statements[i] = statement{`UPDATE entities SET project = $2 WHERE seq = $1`, []any{e.Seq, []byte(kept(e.Project))}}
		}
		return statements, nil
	})
}
