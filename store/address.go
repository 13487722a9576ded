package store

import (
	"cmp"
	"context"
	"net/netip"
	"slices"

	"github.com/google/uuid"

	"github.com/occid/occid/occi"
)

// Holders gives who has those of the addresses that somebody has, in one
// statement.
func (s *Store) Holders(ctx context.Context, as []occi.Address) (map[occi.Address]uuid.UUID, error) {
	found := map[occi.Address]uuid.UUID{}
	if len(as) == 0 {
		return found, nil
	}
	err := s.run(ctx, addressesNamed(&s.db.dialect, as, func(a occi.Address, holder uuid.UUID) { found[a] = holder }))
	return found, err
}

// Free gives addresses of a network that nobody has, the lowest first, among those
// from first to last, which are both IPv4 or both IPv6: of at most n spans, or more
// than n addresses. Fewer than n addresses are all there are. It takes one
// statement, however many are taken.
func (s *Store) Free(ctx context.Context, network uuid.UUID, first, last netip.Addr, n int) ([]occi.Span, error) {
	from, to := occi.IPAddress(network, first).Key, occi.IPAddress(network, last).Key
	const after = `(SELECT b.address FROM addresses b WHERE b.network = $1 AND b.address > a.address AND b.address <= $3 ORDER BY b.address LIMIT 1)`
	sql := `SELECT * FROM (SELECT a.address, TRUE AS lowest, a.address AS next FROM addresses a
			WHERE a.network = $1 AND a.address >= $2 AND a.address <= $3 ORDER BY a.address LIMIT 1) AS x
		UNION ALL SELECT * FROM (SELECT a.address, FALSE, ` + after + ` FROM addresses a
			WHERE a.network = $1 AND a.edge AND a.address >= $2 AND a.address < $3 ORDER BY a.address LIMIT ` + bigint("$4") + `) AS y`
	spans := []occi.Span{{First: first, Last: last}}
	err := s.run(ctx, query{statement{sql, []any{network, []byte(from), []byte(to), n}}, func(r row) error {
		var key, next []byte
		var lowest bool
		if err := r.Scan(&key, &lowest, &next); err != nil {
			return err
		}
		end := last
		if next != nil {
			used, _ := occi.Address{Key: string(next)}.IP()
			end = used.Prev()
		}
		if lowest {
			spans[0].Last = end
			return nil
		}
		edge, _ := occi.Address{Key: string(key)}.IP()
		spans = append(spans, occi.Span{First: edge.Next(), Last: end})
		return nil
	}})
	if err != nil {
		return nil, err
	}
	if spans[0].Last.Less(first) {
		spans = spans[1:]
	}
	slices.SortFunc(spans, func(a, b occi.Span) int { return a.First.Compare(b.First) })
	return spans, nil
}

// Unread gives up to n links that are from before the store kept addresses, whose
// Hold is to be committed; it may be of none.
func (s *Store) Unread(ctx context.Context, n int) ([]*occi.Entity, error) {
	var found []*occi.Entity
	sql := `SELECT ` + entityColumns("e") + ` FROM addresses a JOIN entities e ON e.id = a.holder
		WHERE a.network = a.holder ORDER BY a.holder LIMIT ` + bigint("$1")
	err := s.run(ctx, entities(sql, func(e *occi.Entity) { found = append(found, e) }, n))
	slices.SortFunc(found, func(a, b *occi.Entity) int { return cmp.Compare(a.Seq, b.Seq) })
	return found, err
}

const selectAddresses = `SELECT a.network, a.address, a.holder FROM `

func addressesNamed(d *dialect, as []occi.Address, found func(occi.Address, uuid.UUID)) query {
	table, params := d.pairs(as)
	// SQLite reads the tables of a CROSS JOIN in this order.
	sql := selectAddresses + table + ` CROSS JOIN addresses a WHERE a.network = w.network AND a.address = w.address`
	return query{statement{sql, params}, scanAddress(found)}
}

func scanAddress(found func(occi.Address, uuid.UUID)) func(row) error {
	return func(r row) error {
		var a occi.Address
		var key []byte
		var holder uuid.UUID
		if err := r.Scan(&a.Network, &key, &holder); err != nil {
			return err
		}
		a.Key = string(key)
		found(a, holder)
		return nil
	}
}

// heldOnce refuses holds that contradict each other.
func heldOnce(holds []occi.Hold) error {
	if len(holds) == 0 {
		return nil
	}
	holders, held := map[uuid.UUID]bool{}, map[occi.Address]bool{}
	for _, h := range holds {
		if holders[h.Holder] {
			return occi.E(occi.Invalid, "the change says twice what %s has", h.Holder)
		}
		holders[h.Holder] = true
		for _, a := range h.Addresses {
			if held[a] || a.Key == "" {
				return occi.E(occi.Invalid, "the change gives the address %q twice, or it is none", a)
			}
			held[a] = true
		}
	}
	return nil
}

// addressRow is a row of the table addresses.
type addressRow struct {
	occi.Address
	stored uuid.UUID // who had it when it was read; zero for nobody
	holder uuid.UUID // who has it now
}

// addressBook is what a group knows of addresses.
type addressBook struct {
	rows map[occi.Address]*addressRow
	held map[uuid.UUID][]*addressRow // what holders had, or have come to have
}

func newAddressBook() addressBook {
	return addressBook{map[occi.Address]*addressRow{}, map[uuid.UUID][]*addressRow{}}
}

func (b *addressBook) read(a occi.Address, holder uuid.UUID) {
	if b.rows[a] == nil {
		x := &addressRow{a, holder, holder}
		b.rows[a] = x
		b.held[holder] = append(b.held[holder], x)
	}
}

// free takes all that a holder has from it.
func (b *addressBook) free(holder uuid.UUID) {
	for _, x := range b.held[holder] {
		if x.holder == holder {
			x.holder = uuid.Nil
		}
	}
	delete(b.held, holder)
}

func (b *addressBook) take(a occi.Address, holder uuid.UUID) {
	x := b.rows[a]
	if x == nil {
		x = &addressRow{Address: a}
		b.rows[a] = x
	}
	x.holder = holder
	b.held[holder] = append(b.held[holder], x)
}

// addressesIn loads what jobs name of addresses, and what their holders have.
func (g *group) addressesIn(jobs []*job) []query {
	var holders []uuid.UUID
	var named []occi.Address
	for _, j := range jobs {
		for _, h := range j.change.Holds {
			holders = append(holders, h.Holder)
			named = append(named, h.Addresses...)
		}
		for _, r := range j.change.Removes {
			holders = append(holders, r.ID)
		}
	}
	var out []query
	if len(holders) > 0 {
		of, list := g.d.anyOf("a.holder", "$1", holders)
		out = append(out, query{statement{selectAddresses + `addresses a WHERE ` + of, []any{list}}, scanAddress(g.addresses.read)})
	}
	if len(named) > 0 {
		out = append(out, addressesNamed(g.d, named, g.addresses.read))
	}
	return out
}

// checkAddresses refuses addresses that others have, unless they lose them with the
// job.
func (g *group) checkAddresses(j *job) error {
	if len(j.change.Holds) == 0 {
		return nil
	}
	losing := map[uuid.UUID]bool{}
	for _, h := range j.change.Holds {
		losing[h.Holder] = true
	}
	for _, r := range j.change.Removes {
		losing[r.ID] = true
	}
	for _, h := range j.change.Holds {
		for _, a := range h.Addresses {
			if x := g.addresses.rows[a]; x != nil && x.holder != uuid.Nil && !losing[x.holder] {
				return occi.E(occi.Conflict, "the address %s in network %s is that of %s", a, a.Network, x.holder)
			}
		}
	}
	return nil
}

func (g *group) applyAddresses(j *job) {
	for _, r := range j.change.Removes {
		g.addresses.free(r.ID)
	}
	for _, h := range j.change.Holds {
		g.addresses.free(h.Holder)
	}
	for _, h := range j.change.Holds {
		for _, a := range h.Addresses {
			g.addresses.take(a, h.Holder)
		}
	}
}

// statements deletes what has become free and gives the rows to write; edges come
// after those.
func (b *addressBook) statements() (freed []statement, taken [][]any, edges []statement) {
	stale := map[occi.Address]bool{}
	for _, x := range b.rows {
		if x.holder == x.stored {
			continue
		}
		if x.holder == uuid.Nil {
			freed = append(freed, statement{`DELETE FROM addresses WHERE network = $1 AND address = $2`, []any{x.Network, []byte(x.Key)}})
		} else {
			taken = append(taken, []any{x.Network, []byte(x.Key), x.holder, false})
		}
		if ip, ok := x.IP(); ok && (x.holder == uuid.Nil || x.stored == uuid.Nil) {
			stale[x.Address] = true
			if before := ip.Prev(); before.IsValid() {
				stale[occi.IPAddress(x.Network, before)] = true
			}
		}
	}
	for a := range stale {
		edges = append(edges, setEdge(a))
	}
	return freed, taken, edges
}

// setEdge has the row of an address, if there is one, tell whether somebody has the
// next.
func setEdge(a occi.Address) statement {
	ip, _ := a.IP()
	next := []byte{} // of no address
	if after := ip.Next(); after.IsValid() {
		next = []byte(occi.IPAddress(a.Network, after).Key)
	}
	return statement{`UPDATE addresses SET edge = NOT EXISTS (SELECT 1 FROM addresses n WHERE n.network = $1 AND n.address = $3)
		WHERE network = $1 AND address = $2`, []any{a.Network, []byte(a.Key), next}}
}
