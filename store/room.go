package store

import (
	"context"
	"slices"

	"github.com/google/uuid"

	"github.com/occid/occid/occi"
)

const selectRooms = `SELECT volume, entity, pool, bytes FROM rooms WHERE `

// Rooms gives what is kept of what volumes take of pools, in one statement. It
// tells no limits.
func (s *Store) Rooms(ctx context.Context, volumes []uuid.UUID) (map[uuid.UUID]occi.Room, error) {
	found := map[uuid.UUID]occi.Room{}
	if len(volumes) == 0 {
		return found, nil
	}
	among, list := s.db.anyOf("volume", "$1", volumes)
	err := s.run(ctx, query{statement{selectRooms + among, []any{list}}, scanRoom(func(r occi.Room) { found[r.Volume] = r })})
	return found, err
}

func scanRoom(found func(occi.Room)) func(row) error {
	return func(from row) error {
		var r occi.Room
		var pool []byte
		if err := from.Scan(&r.Volume, &r.Entity, &pool, &r.Bytes); err != nil {
			return err
		}
		r.Pool = string(pool)
		found(r)
		return nil
	}
}

// roomedOnce refuses rooms that contradict each other.
func roomedOnce(rooms []occi.Room) error {
	seen := map[uuid.UUID]bool{}
	for _, r := range rooms {
		if seen[r.Volume] || r.Bytes < 0 || r.Pool == "" {
			return occi.E(occi.Invalid, "the change says twice what the volume %s takes, or what cannot be", r.Volume)
		}
		seen[r.Volume] = true
	}
	return nil
}

// roomRow is a row of the table rooms.
type roomRow struct {
	occi.Room
	stored, changed bool
}

// poolRow is a row of the table pools.
type poolRow struct {
	bytes   int64
	changed bool
}

// roomBook is what a group knows of rooms.
type roomBook struct {
	rows  map[uuid.UUID]*roomRow   // by volume
	of    map[uuid.UUID][]*roomRow // by entity
	pools map[string]*poolRow
}

func newRoomBook() roomBook {
	return roomBook{map[uuid.UUID]*roomRow{}, map[uuid.UUID][]*roomRow{}, map[string]*poolRow{}}
}

func (b *roomBook) read(r occi.Room) {
	if b.rows[r.Volume] == nil {
		x := &roomRow{Room: r, stored: true}
		b.rows[r.Volume] = x
		b.of[r.Entity] = append(b.of[r.Entity], x)
	}
}

// pool gives the row of a pool.
func (b *roomBook) pool(name string) *poolRow {
	p := b.pools[name]
	if p == nil {
		p = &poolRow{}
		b.pools[name] = p
	}
	return p
}

// take has a volume take what a room says, in place of what it took.
func (b *roomBook) take(r occi.Room) {
	x := b.rows[r.Volume]
	if x == nil {
		x = &roomRow{}
		b.rows[r.Volume] = x
	}
	if x.Bytes > 0 {
		p := b.pool(x.Pool)
		p.bytes, p.changed = p.bytes-x.Bytes, true
	}
	if x.Entity != r.Entity {
		b.of[r.Entity] = append(b.of[r.Entity], x)
	}
	x.Room, x.changed = r, true
	if r.Bytes > 0 {
		p := b.pool(r.Pool)
		p.bytes, p.changed = p.bytes+r.Bytes, true
	}
}

// free takes from an entity what its volumes take.
func (b *roomBook) free(entity uuid.UUID) {
	for _, x := range b.of[entity] {
		if x.Entity == entity && x.Bytes > 0 {
			none := x.Room
			none.Bytes = 0
			b.take(none)
		}
	}
}

// roomsIn loads what jobs name of rooms, what goes with what they remove, and the
// pools, of which there are few.
func (g *group) roomsIn(jobs []*job) []query {
	var volumes, entities []uuid.UUID
	for _, j := range jobs {
		for _, r := range j.change.Rooms {
			volumes = append(volumes, r.Volume)
		}
		for _, r := range j.change.Removes {
			entities = append(entities, r.ID)
		}
	}
	var out []query
	for column, ids := range map[string][]uuid.UUID{"volume": volumes, "entity": entities} {
		if len(ids) > 0 {
			among, list := g.d.anyOf(column, "$1", ids)
			out = append(out, query{statement{selectRooms + among, []any{list}}, scanRoom(g.rooms.read)})
		}
	}
	if len(out) == 0 && !slices.ContainsFunc(jobs, func(j *job) bool { return len(j.change.Unused) > 0 }) {
		return nil
	}
	return append(out, poolsInto(func(pool string, bytes int64) { g.rooms.pools[pool] = &poolRow{bytes: bytes} }))
}

// poolsInto reads what is taken of all pools.
func poolsInto(found func(pool string, bytes int64)) query {
	return query{statement{sql: `SELECT pool, bytes FROM pools`}, func(from row) error {
		var pool []byte
		var bytes int64
		err := from.Scan(&pool, &bytes)
		found(string(pool), bytes)
		return err
	}}
}

// checkRooms refuses what a pool has no room for, and rooms of what is not there.
func (g *group) checkRooms(j *job) error {
	if len(j.change.Rooms)+len(j.change.Unused) == 0 {
		return nil
	}
	more := map[string]int64{}
	freed := map[uuid.UUID]bool{}
	own := idsOf(j.change.Puts)
	for _, r := range j.change.Removes {
		for _, x := range g.rooms.of[r.ID] {
			if x.Entity == r.ID {
				more[x.Pool] -= x.Bytes
				freed[x.Volume] = true
			}
		}
	}
	limits := map[string]int64{}
	for _, r := range j.change.Rooms {
		if x := g.entities[r.Entity]; r.Bytes > 0 && !own[r.Entity] && !x.exists() {
			return occi.E(occi.Conflict, "entity %s, which a volume is of, does not exist any more", r.Entity)
		}
		if x := g.rooms.rows[r.Volume]; x != nil && !freed[r.Volume] {
			more[x.Pool] -= x.Bytes
		}
		more[r.Pool] += r.Bytes
		if r.Limit > 0 {
			limits[r.Pool] = r.Limit
		}
	}
	for _, pool := range j.change.Unused {
		if g.rooms.pool(pool).bytes+more[pool] > 0 {
			return occi.E(occi.Conflict, "volumes are in the pool %s", pool)
		}
	}
	for pool, limit := range limits {
		if used := g.rooms.pool(pool).bytes; more[pool] > 0 && used+more[pool] > limit {
			return occi.E(occi.Conflict, "a volume is too large: %w", &occi.NoRoom{Pool: pool, Asked: more[pool], Free: max(0, limit-used)})
		}
	}
	return nil
}

func (g *group) applyRooms(j *job) {
	for _, r := range j.change.Removes {
		g.rooms.free(r.ID)
	}
	for _, r := range j.change.Rooms {
		g.rooms.take(r)
	}
}

// statements deletes what is free and gives the rows to write.
func (b *roomBook) statements() (freed []statement, rooms, pools [][]any) {
	for volume, x := range b.rows {
		switch {
		case !x.changed:
		case x.Bytes > 0:
			rooms = append(rooms, []any{volume, x.Entity, []byte(x.Pool), x.Bytes})
		case x.stored:
			freed = append(freed, statement{`DELETE FROM rooms WHERE volume = $1`, []any{volume}})
		}
	}
	for name, p := range b.pools {
		if p.changed {
			pools = append(pools, []any{[]byte(name), p.bytes})
		}
	}
	return freed, rooms, pools
}
