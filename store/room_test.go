package store_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/occid/occid/occi"
	"github.com/occid/occid/store"
)

// room is what the volume of an entity takes.
func room(x *occi.Entity, pool string, bytes, limit int64) occi.Room {
	return occi.Room{Volume: x.ID, Entity: x.ID, Pool: pool, Bytes: bytes, Limit: limit}
}

// wantFull checks that a change was refused for want of room.
func wantFull(t *testing.T, what string, err error, want occi.NoRoom) {
	t.Helper()
	var full *occi.NoRoom
	if !errors.Is(err, occi.Conflict) || !errors.As(err, &full) || *full != want {
		t.Errorf("%s: %v, want %+v", what, err, want)
	}
}

func TestRoomsOfPools(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store.Store) {
		a, b := compute("a", 1), compute("b", 1)
		put(t, s, a, b)
		take := func(rooms ...occi.Room) error { return s.Commit(t.Context(), &occi.Change{At: start, Rooms: rooms}) }
		if err := take(room(a, "p", 60, 100)); err != nil {
			t.Fatal(err)
		}
		wantFull(t, "more than is free", take(room(b, "p", 41, 100)), occi.NoRoom{Pool: "p", Asked: 41, Free: 40})
		if err := take(room(b, "p", 40, 100)); err != nil {
			t.Fatal(err)
		}
		wantFull(t, "growing", take(room(a, "p", 61, 100)), occi.NoRoom{Pool: "p", Asked: 1, Free: 0})
		// What is there may stay, and become less, in a pool that has become too small.
		for _, r := range []occi.Room{room(a, "p", 60, 50), room(a, "p", 55, 50), room(a, "q", 55, 55), room(a, "p", 70, 0)} {
			if err := take(r); err != nil {
				t.Errorf("%+v: %v", r, err)
			}
		}
		got, err := s.Rooms(t.Context(), []uuid.UUID{a.ID, b.ID, uuid.New()})
		if diff := cmp.Diff(map[uuid.UUID]occi.Room{a.ID: room(a, "p", 70, 0), b.ID: room(b, "p", 40, 0)}, got); diff != "" || err != nil {
			t.Errorf("rooms: %v\n%s", err, diff)
		}
		wantClass(t, "of what is not there", take(room(compute("c", 1), "p", 1, 0)), occi.Conflict)
		wantClass(t, "twice", take(room(a, "p", 1, 0), room(a, "q", 1, 0)), occi.Invalid)
		wantClass(t, "less than nothing", take(room(a, "p", -1, 0)), occi.Invalid)
	})
}

func TestRoomGoesWithItsEntity(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store.Store) {
		x, y := compute("x", 1), compute("y", 1)
		other := occi.Room{Volume: uuid.New(), Entity: x.ID, Pool: "p", Bytes: 30, Limit: 100}
		commit(t, s, &occi.Change{At: start, Puts: []*occi.Entity{x}, Rooms: []occi.Room{room(x, "p", 70, 100), other}})
		wantFull(t, "beside it", s.Commit(t.Context(), &occi.Change{At: start, Puts: []*occi.Entity{y}, Rooms: []occi.Room{room(y, "p", 1, 100)}}),
			occi.NoRoom{Pool: "p", Asked: 1})
		if _, err := s.Entity(t.Context(), y.ID); !errors.Is(err, occi.NotFound) {
			t.Errorf("a change that was refused made it: %v", err)
		}
		commit(t, s, &occi.Change{At: start, Removes: []occi.Removal{{ID: x.ID}}, Puts: []*occi.Entity{y}, Rooms: []occi.Room{room(y, "p", 100, 100)}})
		got, err := s.Rooms(t.Context(), []uuid.UUID{x.ID, other.Volume, y.ID})
		if diff := cmp.Diff(map[uuid.UUID]occi.Room{y.ID: room(y, "p", 100, 0)}, got); diff != "" || err != nil {
			t.Errorf("rooms: %v\n%s", err, diff)
		}
		commit(t, s, &occi.Change{At: start, Removes: []occi.Removal{{ID: y.ID}}})
		z := compute("z", 1)
		commit(t, s, &occi.Change{At: start, Puts: []*occi.Entity{z}, Rooms: []occi.Room{room(z, "p", 100, 100)}})
	})
}

// TestNoMoreThanThereIsRoom has many take of one pool at once, on PostgreSQL
// through two servers.
func TestNoMoreThanThereIsRoom(t *testing.T) {
	t.Parallel()
	for _, kind := range databases {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			const volumes, fit = 60, 25
			stores := servers(t, kind)
			n := atOnce[*occi.NoRoom](t, stores, volumes, func(i int) *occi.Change {
				x := compute(fmt.Sprint(i), 1)
				return &occi.Change{At: start, Puts: []*occi.Entity{x}, Rooms: []occi.Room{room(x, "p", 4, 4*fit+3)}}
			})
			if n != fit {
				t.Errorf("%d volumes were made where %d fit", n, fit)
			}
		})
	}
}

// TestUnusedPools lets go of a pool only when no volume takes anything of it any more.
func TestUnusedPools(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store.Store) {
		a, row := compute("a", 1), network("p")
		put(t, s, a, row)
		gone := func(more ...occi.Removal) error {
			return s.Commit(t.Context(), &occi.Change{At: start, Unused: []string{"p"}, Removes: append(more, occi.Removal{ID: row.ID})})
		}
		commit(t, s, &occi.Change{At: start, Rooms: []occi.Room{room(a, "p", 1, 0)}})
		wantClass(t, "with a volume", gone(), occi.Conflict)
		if got, err := s.Promised(t.Context()); err != nil || got["p"] != 1 {
			t.Errorf("of the pool %d bytes are promised, %v", got["p"], err)
		}
		if err := gone(occi.Removal{ID: a.ID}); err != nil {
			t.Error(err)
		}
	})
}

// TestWhatIsStored finds what has volumes in a pool, and the pools of those.
func TestWhatIsStored(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store.Store) {
		vm, own, disk, other := compute("vm", 1), compute("own", 1), network("disk"), network("other")
		p, q := network("p"), network("q")
		p.Host, q.Host = "h\np", "h\nq"
		l := link(vm, disk)
		put(t, s, vm, own, disk, other, p, q, l)
		commit(t, s, &occi.Change{At: start, Rooms: []occi.Room{room(disk, "h\np", 1, 0), room(own, "h\np", 1, 0), room(other, "h\nq", 1, 0)}})
		for _, tt := range []struct {
			of   *occi.Entity
			kind string
			want []uuid.UUID
		}{{p, disk.Kind, []uuid.UUID{disk.ID}}, {p, vm.Kind, []uuid.UUID{vm.ID, own.ID}}, {q, disk.Kind, []uuid.UUID{other.ID}}, {q, vm.Kind, nil},
			{vm, p.Kind, []uuid.UUID{p.ID}}, {own, p.Kind, []uuid.UUID{p.ID}}, {disk, p.Kind, []uuid.UUID{p.ID}}, {other, p.Kind, []uuid.UUID{q.ID}}} {
			page, err := s.List(t.Context(), &occi.Query{Kinds: []string{tt.kind}, LinkedTo: tt.of.ID, Stored: l.Kind})
			if err != nil {
				t.Fatal(err)
			}
			var got []uuid.UUID
			for _, x := range page.Entities {
				got = append(got, x.ID)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("of %s %q there are %v, want %v", tt.of.Kind, tt.of.Title, got, tt.want)
			}
		}
	})
}
