package store

import (
	"math"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/occid/occid/occi"
)

// What a row of a selection is. Their order is not defined: sorting a few rows
// costs SQLite more than finding them.
const (
	rowTotal  = "0" // its seq is how many entities there are
	rowEntity = "1" // and a link of it
	rowLinked = "3" // what the query's LinkedTo names
	rowBefore = "4" // its seq is when the last change before the query's Since was
)

// maxJoins is how many tables a selection joins beside the entities; SQLite
// allows 64 in all.
const maxJoins = 40

// selection makes a query into one statement, which gives the page's entities
// in order and the links of each after it.
type selection struct {
	d    *dialect
	q    *occi.Query
	own  []string // kinds that are not selected unless they are asked for
	args []any

	tables, where []string // attributes that conditions are on, and conditions
	sorted        []string // joins of attributes that order sorts by
	keys, order   []string // expressions, and how to sort by their names

	// with defines page, of columns seq and rank; hits is what it is taken of and what is
	// to be counted, empty for nothing.
	with, hits string
	before     string // selects when the last change before the query's Since was
}

// arg adds a parameter and gives its name.
func (x *selection) arg(v any) string {
	x.args = append(x.args, v)
	return "$" + strconv.Itoa(len(x.args))
}

// in is the condition that a column is in a list.
func (x *selection) in(column string, list any) string {
	condition, arg := x.d.anyOf(column, "$"+strconv.Itoa(len(x.args)+1), list)
	x.args = append(x.args, arg)
	return condition
}

// bound adds a parameter that limits rows.
func (x *selection) bound(n int64) string { return bigint(x.arg(n)) }

// isPlain reports whether a query selects whole collections, in order.
func isPlain(q *occi.Query) bool {
	return len(q.Mixins) == 0 && len(q.AnyMixins) == 0 && len(q.Categories) == 0 && len(q.IDs) == 0 && len(q.Conds) == 0 && len(q.Text) == 0 && len(q.Sort) == 0 && q.LinkedTo == uuid.Nil && q.Where == nil &&
		q.Since.IsZero() && q.Until.IsZero()
}

// plain selects of so many members. An offset costs a step per entity, so what
// is in the second half is looked up from the end.
func (x *selection) plain(members int64) {
	offset, limit := int64(x.q.Offset), int64(x.q.Limit)
	rest := max(members-offset, 0)
	if limit == 0 || limit > rest {
		limit = rest
	}
	direction := "ASC"
	if offset > members/2 {
		offset, direction = rest-limit, "DESC"
	}
	x.kinds()
	order := "e.seq "
	if len(x.q.Reach) > 0 {
		// Sorting what is somebody's costs less than passing by what is others' in order,
		// which SQLite would prefer.
		order = "e.seq + 0 "
	}
	x.with = `page AS (SELECT e.seq, e.seq AS rank FROM entities e WHERE ` + strings.Join(x.where, " AND ") +
		` ORDER BY ` + order + direction + ` LIMIT ` + x.bound(limit) + ` OFFSET ` + x.bound(offset) + `)`
}

// filtered selects what meets conditions, in the order asked for.
func (x *selection) filtered() error {
	q := x.q
	if n := len(q.Conds) + len(q.Mixins) + len(q.Sort); n > maxJoins {
		return occi.E(occi.Invalid, "%d conditions, mixins and orders are more than %d", n, maxJoins)
	}
	x.kinds()
	// Equality finds fewest, so it comes first; see from.
	for _, equal := range []bool{true, false} {
		for _, c := range q.Conds {
			if (c.Op == occi.Eq) != equal {
				continue
			}
			if err := x.cond(c); err != nil {
				return err
			}
		}
	}
	for _, id := range q.Mixins {
		x.having(id, "= "+x.arg([]byte(mixinKey)))
	}
	if len(q.AnyMixins) > 0 {
		x.where = append(x.where, "e.seq IN "+x.withAny(q.AnyMixins))
	}
	for _, c := range q.Categories {
		x.where = append(x.where, x.either(c))
	}
	if len(q.IDs) > 0 {
		x.where = append(x.where, x.in("e.id", q.IDs))
	}
	for _, word := range q.Text {
		x.where = append(x.where, x.d.holds("e.words", x.arg([]byte(strings.ToLower(kept(word))))))
	}
	switch id := q.LinkedTo; {
	case id == uuid.Nil:
	case q.Placed:
		x.where = append(x.where, `e.host = (SELECT o.host FROM entities o WHERE o.id = `+x.arg(id)+` AND length(o.host) > 0)
			AND e.source IS NULL AND e.id <> `+x.arg(id))
	case q.Stored != "":
		id, kind := x.arg(id), x.arg(q.Stored)
		// The host of a pool's entity is the pool's own name.
		x.where = append(x.where, `e.id IN (SELECT r.entity FROM entities o JOIN rooms r ON r.pool = o.host WHERE o.id = `+id+`
			UNION SELECT l.source FROM entities o JOIN rooms r ON r.pool = o.host JOIN entities l ON l.target = r.entity
				WHERE o.id = `+id+` AND l.kind = `+kind+` AND NOT l.deleted
			UNION SELECT p.id FROM rooms r JOIN entities p ON p.host = r.pool WHERE r.entity = `+id+`
			UNION SELECT p.id FROM entities l JOIN rooms r ON r.entity = l.target JOIN entities p ON p.host = r.pool
				WHERE l.source = `+id+` AND l.kind = `+kind+` AND NOT l.deleted)`)
	case q.Pooled != "":
		id, kind := x.arg(id), x.arg(q.Pooled)
		x.where = append(x.where, `e.id IN (SELECT s.id FROM entities s WHERE s.source IS NULL AND length(s.host) > 0 AND s.host IN
				(SELECT o.host FROM entities l JOIN entities o ON o.id = l.source WHERE l.target = `+id+` AND l.kind = `+kind+` AND NOT l.deleted)
			UNION SELECT l.target FROM entities o JOIN entities h ON h.host = o.host JOIN entities l ON l.source = h.id
				WHERE o.id = `+id+` AND length(o.host) > 0 AND length(h.host) > 0 AND l.kind = `+kind+` AND NOT l.deleted)`)
	default:
		id := x.arg(id)
		within := x.within("l")
		x.where = append(x.where, `e.id IN (SELECT l.target FROM entities l WHERE l.source = `+id+` AND NOT l.deleted`+within+`
			UNION SELECT l.source FROM entities l WHERE l.target = `+id+` AND NOT l.deleted`+within+`)`)
	}
	x.window()
	for _, o := range q.Sort {
		x.sort(o)
	}
	x.page()
	return nil
}

// window bounds when the last change was. All other conditions are there already.
func (x *selection) window() {
	if since := x.q.Since; !since.IsZero() {
		at := bigint(x.arg(micros(since)))
		x.before = "SELECT COALESCE(max(e.updated), 0) FROM " + x.from() + " WHERE " + strings.Join(x.where, " AND ") + " AND e.updated < " + at
		x.where = append(x.where, "e.updated >= "+at)
	}
	if until := x.q.Until; !until.IsZero() {
		x.where = append(x.where, "e.updated < "+bigint(x.arg(micros(until))))
	}
}

// kinds restricts to members of the query's collections.
func (x *selection) kinds() {
	x.where = append(x.where, "NOT e.deleted"+x.within("e"))
	switch len(x.q.Kinds) {
	case 0:
		if len(x.q.IDs) == 0 {
			x.without("e.kind", x.own)
		}
	case 1:
		x.where = append(x.where, "e.kind = "+x.arg(x.q.Kinds[0]))
	default:
		x.where = append(x.where, x.in("e.kind", x.q.Kinds))
	}
}

// within restricts a table of entities to the query's reach. What is there of an index is
// said too, for SQLite to see that it serves.
func (x *selection) within(table string) string {
	if x.q == nil {
		return ""
	}
	allowed := x.allowed(table, x.q.Where)
	if len(x.q.Reach) == 0 {
		return allowed
	}
	names := make([]string, len(x.q.Reach))
	for i, r := range x.q.Reach {
		names[i] = x.arg([]byte(kept(r)))
	}
	return " AND length(" + table + ".reach) > 0 AND " + table + ".reach IN (" + strings.Join(names, ", ") + ")" + allowed
}

// without leaves out what has one of some values in a column.
func (x *selection) without(column string, values []string) {
	for _, v := range values {
		x.where = append(x.where, column+" <> "+x.arg(v))
	}
}

// withAny selects what has any of some mixins.
func (x *selection) withAny(mixins []string) string {
	names := make([]string, len(mixins))
	for i, id := range mixins {
		names[i] = x.arg(indexed(id))
	}
	return `(SELECT m.entity FROM attributes m WHERE m.key = ` + x.arg([]byte(mixinKey)) + ` AND m.name IN (` + strings.Join(names, ", ") + `))`
}

// either makes alternatives of categories a condition.
func (x *selection) either(c occi.Either) string {
	holds := []string{"e.seq IS NULL"}
	if len(c.Kinds) > 0 {
		holds = append(holds, x.in("e.kind", c.Kinds))
	}
	if len(c.Mixins) > 0 {
		holds = append(holds, "e.seq IN "+x.withAny(c.Mixins))
	}
	for _, id := range c.NoMixins {
		holds = append(holds, "e.seq NOT IN "+x.withAny([]string{id}))
	}
	return "(" + strings.Join(holds, " OR ") + ")"
}

// having adds conditions, which begin with an operator, on the key under a name.
func (x *selection) having(name string, conditions ...string) {
	a := "a" + strconv.Itoa(len(x.tables))
	x.tables = append(x.tables, a)
	x.where = append(x.where, a+".entity = e.seq", a+".name = "+x.arg(indexed(name)))
	for _, c := range conditions {
		x.where = append(x.where, a+".key "+c)
	}
}

// entitiesFirst reports whether conditions on entities find fewest.
func (x *selection) entitiesFirst() bool {
	return len(x.tables) == 0 || len(x.q.IDs)+len(x.q.Reach) > 0 || x.q.LinkedTo != uuid.Nil
}

// number is what numbers the entities, of the table whose index has them in order.
func (x *selection) number() string {
	if x.entitiesFirst() {
		return "e.seq"
	}
	return x.tables[0] + ".entity AS seq"
}

// from lists the tables. SQLite goes through those of a CROSS JOIN in the order
// written, so the first must be what finds fewest; PostgreSQL sees by itself.
func (x *selection) from() string {
	tables := make([]string, 0, len(x.tables)+1)
	for _, a := range x.tables {
		tables = append(tables, "attributes "+a)
	}
	if x.entitiesFirst() {
		tables = append([]string{"entities e"}, tables...)
	} else {
		tables = append(tables, "entities e")
	}
	return strings.Join(append([]string{strings.Join(tables, " CROSS JOIN ")}, x.sorted...), " ")
}

// cond adds a condition on an attribute, or that any of several holds.
func (x *selection) cond(c occi.Cond) error {
	if len(c.Or) > 0 {
		return x.anyOf(append([]occi.Cond{c}, c.Or...))
	}
	switch c.Name {
	case occi.AttrID:
		on, err := x.compareID(c)
		x.where = append(x.where, "e.id "+on)
		return err
	case occi.Created, occi.Updated:
		op, err := operator(c)
		x.where = append(x.where, "e."+c.Name+" "+op+" "+bigint(x.arg(int64(c.Value.Num))))
		return err
	}
	conditions, err := x.compare(c)
	x.having(c.Name, conditions...)
	return err
}

// anyOf adds that any of several conditions holds.
func (x *selection) anyOf(conds []occi.Cond) error {
	selects := make([]string, len(conds))
	for i, c := range conds {
		if c.Name == occi.AttrID {
			on, err := x.compareID(c)
			if err != nil {
				return err
			}
			selects[i] = "SELECT i.seq FROM entities i WHERE i.id " + on
			continue
		}
		conditions, err := x.compare(c)
		if err != nil {
			return err
		}
		selects[i] = "SELECT m.entity FROM attributes m WHERE m.name = " + x.arg(indexed(c.Name)) +
			" AND m.key " + strings.Join(conditions, " AND m.key ")
	}
	x.where = append(x.where, "e.seq IN ("+strings.Join(selects, " UNION ALL ")+")")
	return nil
}

// operator gives a comparison as SQL has it.
func operator(c occi.Cond) (string, error) {
	switch c.Op {
	case occi.Eq, occi.Lt, occi.Le, occi.Gt, occi.Ge:
		return string(c.Op), nil
	case occi.Ne:
		return "<>", nil
	}
	return "", occi.E(occi.Invalid, "%s: unknown comparison %q", c.Name, c.Op)
}

// compare makes the comparisons of an attribute's key: a range of keys of the
// value's type.
func (x *selection) compare(c occi.Cond) ([]string, error) {
	op, err := operator(c)
	if err != nil {
		return nil, err
	}
	if c.Name == occi.AttrSource || c.Name == occi.AttrTarget {
		c.Value = occi.Str(refValue(c.Value.String()))
	}
	key := keyOf(c.Value)
	conditions := []string{op + " " + x.arg([]byte(key))}
	if c.Op != occi.Eq {
		conditions = append(conditions, ">= "+x.arg([]byte{key[0]}), "< "+x.arg([]byte{key[0] + 1}))
	}
	return conditions, nil
}

// compareID makes the comparison of the identifier, which every entity has; what
// is no UUID is none's.
func (x *selection) compareID(c occi.Cond) (string, error) {
	op, err := operator(c)
	id, ok := occi.ParseID(refValue(c.Value.String()))
	switch {
	case ok:
		return op + " " + x.arg(id), err
	case c.Op == occi.Ne:
		return "IS NOT NULL", err
	}
	return "IS NULL", err
}

func (x *selection) sort(o occi.Order) {
	var key string
	switch {
	case o.Name == occi.Created || o.Name == occi.Updated:
		key = "e." + o.Name
	case o.Name == occi.AttrID:
		key = "e.id"
	case len(o.Or) > 0:
		key = x.firstKey(append([]string{o.Name}, o.Or...))
	default:
		s := "s" + strconv.Itoa(len(x.sorted))
		x.sorted = append(x.sorted, "LEFT JOIN attributes "+s+" ON "+s+".entity = e.seq AND "+s+".name = "+x.arg(indexed(o.Name)))
		key = s + ".key"
	}
	name := "k" + strconv.Itoa(len(x.keys))
	x.keys = append(x.keys, key+" AS "+name)
	if o.Desc {
		name += " DESC"
	}
	// Entities without the attribute come last in either direction.
	x.order = append(x.order, name+" NULLS LAST")
}

// firstKey selects the key of the first of several attributes that an entity has.
func (x *selection) firstKey(names []string) string {
	keys := make([]string, len(names))
	for i, name := range names {
		keys[i] = "(SELECT m.key FROM attributes m WHERE m.entity = e.seq AND m.name = " + x.arg(indexed(name)) + ")"
	}
	return "COALESCE(" + strings.Join(keys, ", ") + ")"
}

// page takes the page of the hits.
func (x *selection) page() {
	limit := int64(x.q.Limit)
	if limit == 0 {
		limit = math.MaxInt64
	}
	rank := "seq"
	if len(x.order) > 0 {
		rank = "row_number() OVER (ORDER BY " + strings.Join(append(x.order, "seq"), ", ") + ")"
	}
	found := `(SELECT ` + strings.Join(append([]string{x.number()}, x.keys...), ", ") + ` FROM ` + x.from() + ` WHERE ` + strings.Join(x.where, " AND ") + `)`
	if x.d.tables {
		x.with, x.hits = `hits AS MATERIALIZED `+found+`, `, "hits"
	} else {
		x.hits = found + ` AS hits`
	}
	x.with += `page AS (SELECT seq, ` + rank + ` AS rank FROM ` + x.hits + ` ORDER BY rank LIMIT ` + x.bound(limit) + ` OFFSET ` + x.bound(int64(x.q.Offset)) + `)`
}

// noColumns stand for those of no entity.
const noColumns = "0, 0, 0, 0, 0, NULL"

// pageRows selects the entities of page, a table of columns seq and rank: each with each of
// its links l of which a condition, that begins with AND, holds, or with none. In SQLite a
// table of a few rows that is made for a statement costs more than all else that it does,
// so page is used once, and first, for which SQLite heeds a CROSS JOIN.
func pageRows(links string) string {
	return ` SELECT page.rank, ` + rowEntity + `, ` + entityColumns("e") + `, COALESCE(l.seq, 0), COALESCE(l.serial, 0), COALESCE(l.revision, 0),
		COALESCE(l.created, 0), COALESCE(l.updated, 0), l.doc
		FROM page CROSS JOIN entities e LEFT JOIN entities l ON l.source = e.id` + links + ` WHERE e.seq = page.seq`
}

// statement reads the page.
func (x *selection) statement() statement {
	sql := `WITH ` + x.with + pageRows(" AND NOT l.deleted"+x.within("l"))
	if x.hits != "" {
		sql += ` UNION ALL SELECT 0, ` + rowTotal + `, (SELECT count(*) FROM ` + x.hits + `), 0, 0, 0, 0, NULL, ` + noColumns
	}
	if x.before != "" {
		sql += ` UNION ALL SELECT 0, ` + rowBefore + `, (` + x.before + `), 0, 0, 0, 0, NULL, ` + noColumns
	}
	if x.q.LinkedTo != uuid.Nil {
		sql += ` UNION ALL SELECT 0, ` + rowLinked + `, ` + entityColumns("t") + `, ` + noColumns + ` FROM entities t WHERE t.id = ` + x.arg(x.q.LinkedTo) + ` AND NOT t.deleted` + x.within("t")
	}
	return statement{sql, x.args}
}
