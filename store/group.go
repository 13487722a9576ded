package store

import (
	"errors"

	"github.com/google/uuid"

	"github.com/occid/occid/occi"
)

// group is what the jobs of one transaction find, and what they leave. Jobs are
// applied one after the other, in memory, so that each sees what those before it
// did; what remains is written once.
type group struct {
	d        *dialect
	counters map[string]counter
	counted  map[string]bool // kinds whose counters changed
	entities map[uuid.UUID]*entityRow
	tasks    map[uuid.UUID]*taskRow
	keys     map[string]bool // taken, by keyID
	mixins   map[string]*mixinRow
	newKeys  [][]any
	// changed are the rows to write, in the order of the first change to each.
	changed      []*entityRow
	changedTasks []*taskRow
	// changedMixins are the identifiers of those to write.
	changedMixins map[string]bool
	touched       map[uuid.UUID]bool // entities that changed, or whose links did
	// leading are the links, by what they lead to, to all that is to go.
	leading   map[uuid.UUID]map[uuid.UUID]bool
	addresses addressBook
	rooms     roomBook
	// events are what the group tells; state is the store's.
	events []eventDocument
	state  func(*occi.Entity) (state, message string)
	loads  loadBook
	uses   useBook
	quotas *occi.Quotas
	// secrets are the names that are taken, and by what.
	secrets     map[string]uuid.UUID
	newSecrets  [][]any
	goneSecrets []statement
	tallies     tallyBook
	own         []string               // kinds that are the provider's own
	placed      map[string][]uuid.UUID // on hosts that are to be vacant
	lanes       map[uuid.UUID]bool     // that have a task which is not over, of those that were looked at
	audit       auditBook
	usage       usageBook
}

// load reads what the jobs are based on: in two rounds at most, however many.
func load(read reader, d *dialect, jobs []*job, uses func(*occi.Entity) occi.Use) (*group, error) {
	g := &group{d: d, counters: map[string]counter{}, counted: map[string]bool{}, entities: map[uuid.UUID]*entityRow{},
		tasks: map[uuid.UUID]*taskRow{}, keys: map[string]bool{}, touched: map[uuid.UUID]bool{},
		mixins: map[string]*mixinRow{}, changedMixins: map[string]bool{}, addresses: newAddressBook(), rooms: newRoomBook(), loads: newLoadBook(), uses: newUseBook(),
		leading: map[uuid.UUID]map[uuid.UUID]bool{}, secrets: map[string]uuid.UUID{}, tallies: newTallyBook(), placed: map[string][]uuid.UUID{}, lanes: map[uuid.UUID]bool{}, usage: newUsageBook(uses)}
	queries := []query{countersInto(g.counters)}
	entities, tasks, keys := mentioned(jobs)
	owners := g.uses.owners(jobs)
	entities = append(entities, quotasOf(owners)...)
	queries = append(queries, g.usesOf(owners)...)
	if len(entities) > 0 {
		queries = append(queries, g.entitiesIn(entities))
	}
	if len(tasks) > 0 {
		queries = append(queries, g.tasksIn(tasks))
	}
	queries = append(queries, g.lanesIn(jobs)...)
	if len(keys) > 0 {
		queries = append(queries, g.keysIn(keys))
	}
	queries = append(queries, g.leadingIn(jobs)...)
	queries = append(queries, g.mixinsIn(jobs)...)
	queries = append(queries, g.addressesIn(jobs)...)
	queries = append(queries, g.roomsIn(jobs)...)
	queries = append(queries, g.loadsIn(jobs)...)
	queries = append(queries, g.secretsIn(jobs)...)
	queries = append(queries, g.talliesIn(jobs)...)
	queries = append(queries, g.vacantIn(jobs)...)
	queries = append(append(queries, g.usageIn(jobs)...), g.auditIn())
	if err := read(queries); err != nil {
		return nil, err
	}
	owners = g.otherOwners(jobs)
	again := g.usesOf(owners)
	if more := append(g.sourcesOfRemoved(jobs), quotasOf(owners)...); len(more) > 0 {
		again = append(again, g.entitiesIn(more))
	}
	if len(again) > 0 {
		return g, read(again)
	}
	return g, nil
}

// mentioned lists what the jobs name: entities, tasks and keys.
func mentioned(jobs []*job) (entities, tasks []uuid.UUID, keys []string) {
	for _, j := range jobs {
		for _, e := range j.change.Puts {
			entities = append(entities, e.ID)
			for _, end := range []uuid.UUID{e.Source.ID, e.Target.ID} {
				if end != uuid.Nil {
					entities = append(entities, end)
				}
			}
		}
		for _, r := range j.change.Removes {
			entities = append(entities, r.ID)
		}
		for _, r := range j.change.Reads {
			entities = append(entities, r.ID)
		}
		entities = append(entities, j.change.There...)
		for _, r := range j.change.Rooms {
			entities = append(entities, r.Entity)
		}
		for _, t := range j.change.Tasks {
			tasks = append(tasks, t.ID)
		}
		if k := j.change.Key; k != nil {
			keys = append(keys, keyID(k.Who, k.Name))
		}
	}
	return entities, tasks, keys
}

// sourcesOfRemoved lists the sources of links to remove that are not loaded.
func (g *group) sourcesOfRemoved(jobs []*job) []uuid.UUID {
	var ids []uuid.UUID
	for _, j := range jobs {
		for _, r := range j.change.Removes {
			if x := g.entities[r.ID]; x.exists() && isLink(x.e) && g.entities[x.e.Source.ID] == nil {
				ids = append(ids, x.e.Source.ID)
			}
		}
	}
	return ids
}

func isLink(e *occi.Entity) bool { return e.Source.ID != uuid.Nil }

// check reports why a job cannot be applied, nil if it can.
func (g *group) check(j *job) error {
	if k := j.change.Key; k != nil && g.keys[keyID(k.Who, k.Name)] {
		return occi.E(occi.Conflict, "the idempotency key %q is taken", k.Name)
	}
	for _, b := range j.change.Based {
		if now := sum(g.basedOn(b), b.Kinds, g.own); now.revision != b.Revision {
			return occi.E(occi.Conflict, "the collection is at revision %d, the change is based on %d", now.revision, b.Revision)
		}
	}
	for _, e := range j.change.Puts {
		if err := g.checkRevision(e.ID, e.Revision); err != nil {
			return err
		}
	}
	for _, r := range j.change.Removes {
		if r.Revision == 0 {
			continue
		}
		if err := g.checkRevision(r.ID, r.Revision); err != nil {
			return err
		}
	}
	for _, r := range j.change.Reads {
		if err := g.checkRevision(r.ID, r.Revision); err != nil {
			return err
		}
	}
	if err := errors.Join(g.checkThere(j.change), g.checkVacant(j.change)); err != nil {
		return err
	}
	if err := g.checkAddresses(j); err != nil {
		return err
	}
	if err := g.checkRooms(j); err != nil {
		return err
	}
	if err := g.checkLoads(j); err != nil {
		return err
	}
	if err := g.checkUses(j); err != nil {
		return err
	}
	if err := g.checkSecrets(j); err != nil {
		return err
	}
	if err := g.checkEnds(j.change.Puts); err != nil {
		return err
	}
	if err := g.checkLinks(j.change); err != nil {
		return err
	}
	for _, t := range j.change.Tasks {
		if err := g.checkTask(t); err != nil {
			return err
		}
	}
	return g.checkMixins(j)
}

// checkRevision compares an entity with the revision a change is based on, 0 for
// one that is to be new.
func (g *group) checkRevision(id uuid.UUID, based int64) error {
	x := g.entities[id]
	switch exists := x.exists(); {
	case !exists && based == 0:
		return nil
	case !exists:
		return occi.E(occi.Conflict, "entity %s does not exist any more", id)
	case based == 0:
		return occi.E(occi.Conflict, "entity %s exists already", id)
	case x.e.Kind == occi.QuotaKind && x.e.Written <= based && based < x.revision:
		// What it shows as used is written over.
		return nil
	case x.revision != based:
		return occi.E(occi.Conflict, "entity %s is at revision %d, the change is based on %d", id, x.revision, based)
	}
	return nil
}

// checkEnds lets new links lead only from and to what is there, or comes with
// them.
func (g *group) checkEnds(puts []*occi.Entity) error {
	own := idsOf(puts)
	for _, e := range puts {
		if e.Revision > 0 {
			continue
		}
		for _, end := range []uuid.UUID{e.Source.ID, e.Target.ID} {
			if x := g.entities[end]; end != uuid.Nil && !own[end] && (!x.exists() || x.e.Deleted) {
				return occi.E(occi.Conflict, "link %s has an end %s that does not exist", e.ID, end)
			}
		}
	}
	return nil
}

func idsOf(es []*occi.Entity) map[uuid.UUID]bool {
	ids := make(map[uuid.UUID]bool, len(es))
	for _, e := range es {
		ids[e.ID] = true
	}
	return ids
}

// apply does a job that was checked.
func (g *group) apply(j *job) {
	at := micros(j.change.At)
	g.beginAudit(j)
	g.applyLoads(j)
	g.applyUses(j, at)
	var links []*occi.Entity
	for i := range j.puts {
		p := &j.puts[i]
		g.put(p, at)
		if isLink(p.e) {
			links = append(links, p.e)
		}
	}
	for _, r := range j.change.Removes {
		if e := g.remove(r.ID, at); e != nil && isLink(e) {
			links = append(links, e)
		}
	}
	g.follow(links, idsOf(j.change.Puts), at)
	for i := range j.tasks {
		g.putTask(&j.tasks[i], j.change.Claim, at)
	}
	g.endAudit(j)
	g.applyAddresses(j)
	g.applyRooms(j)
	g.auditMixins(j)
	g.applyMixins(j, at)
	g.applySecrets(j)
	if k := j.change.Key; k != nil {
		id := keyID(k.Who, k.Name)
		g.keys[id] = true
		g.newKeys = append(g.newKeys, []any{id, micros(k.Created), j.key})
	}
}

// replaced tells what a job takes the place of or removes, with the sign -1, and what it
// puts, with 1, before it is applied.
func (g *group) replaced(j *job, f func(e *occi.Entity, sign int64)) {
	for _, e := range j.change.Puts {
		if x := g.entities[e.ID]; x.exists() {
			f(x.e, -1)
		}
		f(e, 1)
	}
	for _, r := range j.change.Removes {
		if x := g.entities[r.ID]; x.exists() {
			f(x.e, -1)
		}
	}
}

// follow brings the sources of links that changed to their next revision, but
// those that have it already.
func (g *group) follow(links []*occi.Entity, done map[uuid.UUID]bool, at int64) {
	for _, l := range links {
		if !done[l.Source.ID] {
			done[l.Source.ID] = true
			g.bump(l.Source.ID, at)
		}
		g.touched[l.Source.ID] = true
		// Who asks what is linked to a resource asks in the target's collection.
		g.count(l.Target.Kind, 0, at)
		g.tally(l.Reach(), l.Target.Kind, 0, at)
	}
}

// count notes a change in a kind's collection.
func (g *group) count(kind string, members, at int64) {
	if kind == "" {
		return
	}
	c := g.counters[kind]
	c.revision++
	c.members += members
	c.updated = max(c.updated, at)
	g.counters[kind] = c
	g.counted[kind] = true
}

// next gives the next serial of a kind.
func (g *group) next(kind string) int64 {
	c := g.counters[kind]
	c.serial++
	g.counters[kind] = c
	g.counted[kind] = true
	return c.serial
}

// statements writes all that changed. Rows go before those that come after: what
// was removed may be there again under another number.
func (g *group) statements() []statement {
	var out []statement
	insert := func(t *table, rows [][]any) {
		if len(rows) > 0 {
			out = append(out, g.d.insert(t, rows)...)
		}
	}
	var entities, entitiesAgain, attributes, attributesAgain [][]any
	for _, x := range g.changed {
		switch {
		case x.stored != nil && (x.removed || x.content == nil):
			out = append(out, x.rewrite()...)
		case x.stored != nil:
			entitiesAgain = append(entitiesAgain, x.values())
		case !x.removed:
			entities = append(entities, x.values())
		}
		gone, changed, added := x.reindex()
		out = append(out, gone...)
		attributesAgain = append(attributesAgain, changed...)
		attributes = append(attributes, added...)
	}
	events := g.eventRows()
	var tasks, tasksAgain, after, kinds [][]any
	for _, x := range g.changedTasks {
		if x.stored {
			tasksAgain = append(tasksAgain, x.values())
			continue
		}
		tasks = append(tasks, x.values())
		after = append(after, x.after()...)
	}
	for kind := range g.counted {
		c := g.counters[kind]
		kinds = append(kinds, []any{kind, c.serial, c.revision, c.members, c.updated})
	}
	changes, mixins := g.mixinStatements()
	out = append(out, changes...)
	freed, taken, edges := g.addresses.statements()
	out = append(out, freed...)
	freed, rooms, pools := g.rooms.statements()
	out = append(out, freed...)
	insert(mixinsTable, mixins)
	insert(changedEntities, entitiesAgain)
	insert(entitiesTable, entities)
	insert(changedAttributes, attributesAgain)
	insert(attributesTable, attributes)
	insert(changedTasks, tasksAgain)
	insert(tasksTable, tasks)
	insert(afterTable, after)
	insert(keysTable, g.newKeys)
	insert(kindsTable, kinds)
	insert(addressesTable, taken)
	insert(roomsTable, rooms)
	insert(poolsTable, pools)
	insert(g.d.events, events)
	insert(auditTable, g.auditRows())
	insert(usageTable, g.usage.values())
	loads, emptied := g.loads.statements()
	insert(loadsTable, loads)
	uses, unused := g.uses.statements()
	insert(usesTable, uses)
	emptied = append(emptied, unused...)
	out = append(out, g.goneSecrets...)
	insert(secretsTable, g.newSecrets)
	insert(talliesTable, g.tallies.rows())
	return append(append(out, emptied...), edges...)
}
