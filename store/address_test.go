package store_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/occid/occid/occi"
	"github.com/occid/occid/store"
)

var (
	netA = uuid.MustParse("00000000-0000-4000-8000-00000000000a")
	netB = uuid.MustParse("00000000-0000-4000-8000-00000000000b")
)

func ip(network uuid.UUID, text string) occi.Address {
	return occi.IPAddress(network, netip.MustParseAddr(text))
}

func mac(network uuid.UUID, text string) occi.Address {
	a, _ := occi.MACAddress(network, text)
	return a
}

func hold(holder uuid.UUID, as ...occi.Address) *occi.Change {
	return &occi.Change{At: start, Holds: []occi.Hold{{Holder: holder, Addresses: as}}}
}

func commit(t testing.TB, s *store.Store, c *occi.Change) {
	t.Helper()
	if err := s.Commit(t.Context(), c); err != nil {
		t.Fatal(err)
	}
}

// holds compares who has addresses.
func holds(t testing.TB, s *store.Store, want map[occi.Address]uuid.UUID, asked ...occi.Address) {
	t.Helper()
	got, err := s.Holders(t.Context(), asked)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("who has what (-want +got), %v:\n%s", err, diff)
	}
}

// free lists what is free between two addresses, as "first-last".
func free(t testing.TB, s *store.Store, network uuid.UUID, first, last string, n int) []string {
	t.Helper()
	spans, err := s.Free(t.Context(), network, netip.MustParseAddr(first), netip.MustParseAddr(last), n)
	if err != nil {
		t.Fatal(err)
	}
	out := []string{}
	for _, x := range spans {
		out = append(out, fmt.Sprintf("%s-%s", x.First, x.Last))
	}
	return out
}

func TestAddressesOfNetworks(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store.Store) {
		x, y := uuid.New(), uuid.New()
		a, b, m := ip(netA, "198.18.0.2"), ip(netA, "fd00::2"), mac(netA, "02:00:00:00:00:01")
		commit(t, s, hold(x, a, b, m))
		holds(t, s, map[occi.Address]uuid.UUID{a: x, b: x, m: x}, a, b, m, ip(netB, "198.18.0.2"), ip(netA, "198.18.0.3"))
		for _, taken := range []occi.Address{a, b, mac(netA, "02-00-00-00-00-01")} {
			wantClass(t, taken.String(), s.Commit(t.Context(), hold(y, taken)), occi.Conflict)
		}
		other := ip(netB, "198.18.0.2")
		commit(t, s, hold(y, other))
		// A new hold replaces the old one, and may be of what another loses with it.
		commit(t, s, &occi.Change{At: start, Holds: []occi.Hold{{Holder: x, Addresses: []occi.Address{other, b}}, {Holder: y, Addresses: []occi.Address{a}}}})
		holds(t, s, map[occi.Address]uuid.UUID{a: y, b: x, other: x}, a, b, m, other)
		wantClass(t, "an address of two", s.Commit(t.Context(), &occi.Change{At: start,
			Holds: []occi.Hold{{Holder: x, Addresses: []occi.Address{m}}, {Holder: y, Addresses: []occi.Address{m}}}}), occi.Invalid)
		wantClass(t, "two holds", s.Commit(t.Context(), &occi.Change{At: start, Holds: []occi.Hold{{Holder: x}, {Holder: x}}}), occi.Invalid)
		commit(t, s, hold(x))
		holds(t, s, map[occi.Address]uuid.UUID{a: y}, a, b, m, other)
	})
}

func TestAddressesGoWithTheirHolder(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store.Store) {
		x := compute("x", 1)
		a := ip(netA, "198.18.0.2")
		commit(t, s, &occi.Change{At: start, Puts: []*occi.Entity{x}, Holds: []occi.Hold{{Holder: x.ID, Addresses: []occi.Address{a}}}})
		gone := x.Clone()
		gone.Deleted = true
		put(t, s, gone)
		wantClass(t, "of what is not gone yet", s.Commit(t.Context(), hold(uuid.New(), a)), occi.Conflict)
		heir := uuid.New()
		commit(t, s, &occi.Change{At: start, Removes: []occi.Removal{{ID: x.ID}}, Holds: []occi.Hold{{Holder: heir, Addresses: []occi.Address{a}}}})
		holds(t, s, map[occi.Address]uuid.UUID{a: heir}, a)
	})
}

func TestFreeAddresses(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store.Store) {
		want := func(network uuid.UUID, first, last string, n int, spans ...string) {
			t.Helper()
			if diff := cmp.Diff(append([]string{}, spans...), free(t, s, network, first, last, n)); diff != "" {
				t.Errorf("free from %s to %s (-want +got):\n%s", first, last, diff)
			}
		}
		want(netA, "198.18.0.1", "198.18.0.9", 5, "198.18.0.1-198.18.0.9")
		x := uuid.New()
		commit(t, s, hold(x, ip(netA, "198.18.0.1"), ip(netA, "198.18.0.2"), ip(netA, "198.18.0.5"), ip(netA, "198.18.0.9"),
			mac(netA, "02:00:00:00:00:01"), ip(netA, "fd00::1"), ip(netB, "198.18.0.3")))
		want(netA, "198.18.0.1", "198.18.0.9", 5, "198.18.0.3-198.18.0.4", "198.18.0.6-198.18.0.8")
		want(netA, "198.18.0.1", "198.18.0.9", 1, "198.18.0.3-198.18.0.4")
		want(netA, "198.18.0.2", "198.18.0.5", 5, "198.18.0.3-198.18.0.4")
		want(netA, "198.18.0.5", "198.18.0.5", 5)
		want(netA, "198.18.0.4", "198.18.0.9", 5, "198.18.0.4-198.18.0.4", "198.18.0.6-198.18.0.8")
		want(netA, "198.18.0.7", "198.18.0.12", 5, "198.18.0.7-198.18.0.8", "198.18.0.10-198.18.0.12")
		want(netA, "fd00::1", "fd00::ffff:ffff:ffff:ffff", 5, "fd00::2-fd00::ffff:ffff:ffff:ffff")
		want(netA, "255.255.255.254", "255.255.255.255", 5, "255.255.255.254-255.255.255.255")
		commit(t, s, hold(x, ip(netA, "255.255.255.255"), ip(netA, "0.0.0.0")))
		want(netA, "0.0.0.0", "255.255.255.255", 5, "0.0.0.1-255.255.255.254")
	})
}

// TestFreeIsWhatNobodyHas compares with a set, over random holds in one small
// range.
func TestFreeIsWhatNobodyHas(t *testing.T) {
	t.Parallel()
	at := func(i int) netip.Addr {
		return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, 0xc6120000+uint32(i))))
	}
	onEach(t, func(t *testing.T, s *store.Store) {
		rapid.Check(t, func(rt *rapid.T) {
			network := uuid.New()
			had := map[int]uuid.UUID{}
			holders := []uuid.UUID{uuid.New(), uuid.New(), uuid.New()}
			for range rapid.IntRange(1, 8).Draw(rt, "changes") {
				h := rapid.SampledFrom(holders).Draw(rt, "holder")
				numbers := rapid.SliceOfNDistinct(rapid.IntRange(0, 15), 0, 6, rapid.ID).Draw(rt, "numbers")
				c, taken := hold(h), false
				for _, i := range numbers {
					c.Holds[0].Addresses = append(c.Holds[0].Addresses, occi.IPAddress(network, at(i)))
					taken = taken || had[i] != uuid.Nil && had[i] != h
				}
				err := s.Commit(context.Background(), c)
				if taken != errors.Is(err, occi.Conflict) || !taken && err != nil {
					rt.Fatalf("the change of %v ended with %v", numbers, err)
				}
				if taken {
					continue
				}
				for i, o := range had {
					if o == h {
						delete(had, i)
					}
				}
				for _, i := range numbers {
					had[i] = h
				}
			}
			first := rapid.IntRange(0, 15).Draw(rt, "first")
			last := rapid.IntRange(first, 15).Draw(rt, "last")
			spans, err := s.Free(context.Background(), network, at(first), at(last), 16)
			if err != nil {
				rt.Fatal(err)
			}
			var want, got []int
			for i := first; i <= last; i++ {
				if had[i] == uuid.Nil {
					want = append(want, i)
				}
				for _, x := range spans {
					if x.First.Compare(at(i)) <= 0 && at(i).Compare(x.Last) <= 0 {
						got = append(got, i)
					}
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				rt.Errorf("free (-want +got):\n%s", diff)
			}
		})
	})
}

// TestAClashHurtsNobodyElse has many ask for one address at once, and each for one
// of its own beside it: of those who share a transaction, only who lost is refused.
func TestAClashHurtsNobodyElse(t *testing.T) {
	t.Parallel()
	const many = 60
	for _, kind := range databases {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			stores := servers(t, kind)
			var wg sync.WaitGroup
			lost, own := make([]error, many), make([]error, many)
			for i := range many {
				s := stores[i%len(stores)]
				wg.Go(func() { lost[i] = s.Commit(t.Context(), hold(uuid.New(), ip(netA, "198.18.0.2"))) })
				wg.Go(func() { own[i] = s.Commit(t.Context(), hold(uuid.New(), ip(netA, fmt.Sprint("198.18.1.", i)))) })
			}
			wg.Wait()
			won := 0
			for i := range many {
				if own[i] != nil {
					t.Errorf("one with an address of its own: %v", own[i])
				}
				if lost[i] == nil {
					won++
				} else if !errors.Is(lost[i], occi.Conflict) {
					t.Error(lost[i])
				}
			}
			if won != 1 {
				t.Errorf("%d have the one address", won)
			}
		})
	}
}

// many holds the first n addresses of 198.18.0.0/15 in a network, but every hole-th.
func many(t testing.TB, s *store.Store, network uuid.UUID, n, hole int) {
	t.Helper()
	c := &occi.Change{At: start}
	ip := netip.MustParseAddr("198.18.0.0")
	for i := range n {
		if ip = ip.Next(); i%hole != hole-1 {
			c.Holds = append(c.Holds, occi.Hold{Holder: uuid.New(), Addresses: []occi.Address{occi.IPAddress(network, ip)}})
		}
		if len(c.Holds) == 5000 || i == n-1 {
			commit(t, s, c)
			c = &occi.Change{At: start}
		}
	}
}

// TestFreeLooksAtFew counts how many addresses PostgreSQL looks at to find free ones
// among many, with a plan that it made when there were few.
func TestFreeLooksAtFew(t *testing.T) {
	t.Parallel()
	dsn := freshDSN(t, "postgres")
	s := open(t, dsn)
	find := func(network uuid.UUID, n int) {
		for range 10 {
			if spans := free(t, s, network, "198.18.0.1", "198.19.255.254", n); len(spans) != n {
				t.Errorf("%d spans, want %d", len(spans), n)
			}
		}
	}
	many(t, s, netA, 10, 5)
	execute(t, dsn, `ANALYZE`)
	find(netA, 2)
	many(t, s, netB, 5000, 2)
	find(netB, 3)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if n := indexed(t, dsn, "addresses_edge", "idx_tup_read"); n == 0 || n > 200 {
		t.Errorf("%d addresses were looked at", n)
	}
}

func TestReadsAreAsTheyWere(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store.Store) {
		x := compute("x", 1)
		put(t, s, x)
		read := []occi.Version{{ID: x.ID, Revision: x.Revision}}
		commit(t, s, &occi.Change{At: start, Puts: []*occi.Entity{compute("y", 1)}, Reads: read})
		put(t, s, x.Clone())
		wantClass(t, "what has changed", s.Commit(t.Context(), &occi.Change{At: start, Puts: []*occi.Entity{compute("z", 1)}, Reads: read}), occi.Conflict)
		commit(t, s, &occi.Change{At: start, Removes: []occi.Removal{{ID: x.ID}}})
		wantClass(t, "what is gone", s.Commit(t.Context(), &occi.Change{At: start, Reads: []occi.Version{{ID: x.ID, Revision: 2}}}), occi.Conflict)
	})
}

// TestLinksFromBefore upgrades a database whose links had addresses before the
// store kept them.
func TestLinksFromBefore(t *testing.T) {
	t.Parallel()
	for _, kind := range databases {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			dsn := freshDSN(t, kind)
			s := open(t, dsn)
			vm, network := compute("vm", 1), compute("network", 1)
			network.Kind = networkKind
			var links []*occi.Entity
			for range 3 {
				links = append(links, &occi.Entity{ID: uuid.New(), Kind: nicKind, Source: occi.Ref{ID: vm.ID, Kind: computeKind},
					Target: occi.Ref{ID: network.ID, Kind: networkKind}})
			}
			put(t, s, vm, network)
			put(t, s, links...)
			if found, err := s.Unread(t.Context(), 10); err != nil || len(found) != 0 {
				t.Errorf("%d links of today are unread, %v", len(found), err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			execute(t, dsn, downTo(t, 3))
			s = open(t, dsn, store.WithUses(coresAndStorage))
			found, err := s.Unread(t.Context(), 2)
			if err != nil || len(found) != 2 {
				t.Fatalf("%d of the first 2 are unread, %v", len(found), err)
			}
			a := ip(network.ID, "198.18.0.2")
			commit(t, s, hold(links[0].ID, a))
			commit(t, s, hold(links[1].ID))
			holds(t, s, map[occi.Address]uuid.UUID{a: links[0].ID}, a)
			if found, err = s.Unread(t.Context(), 2); err != nil || len(found) != 1 || found[0].ID != links[2].ID {
				t.Errorf("%d are unread when one is left, %v", len(found), err)
			}
			commit(t, s, &occi.Change{At: start, Removes: []occi.Removal{{ID: links[2].ID}}})
			if found, err = s.Unread(t.Context(), 2); err != nil || len(found) != 0 {
				t.Errorf("%d are unread when the last is gone, %v", len(found), err)
			}
		})
	}
}
