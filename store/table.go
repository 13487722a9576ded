package store

import (
	"strconv"
	"strings"
)

// table is what is needed to insert into one.
type table struct {
	name     string
	columns  []string
	types    []string // PostgreSQL's, of the columns
	conflict string   // how the statement ends: what to do with a row that is there
}

var (
	entityRowColumns = []string{"seq bigint", "id uuid", "kind text", "serial bigint", "revision bigint", "created bigint", "updated bigint",
		"deleted boolean", "host bytea", "source uuid", "target uuid", "words bytea", "doc bytea", "reach bytea", "project bytea"}
	attributeColumns = []string{"entity bigint", "name bytea", "key bytea"}
	taskRowColumns   = []string{"seq bigint", "id uuid", "entity uuid", "lane uuid", "host bytea", "state text", "finished bigint",
		"over boolean", "progress bigint", "attempts bigint", "started bigint", "not_before bigint", "worker bytea", "lease bigint",
		"until bigint", "doc bytea", "reach bytea"}

	entitiesTable   = newTable("entities", "", entityRowColumns...)
	attributesTable = newTable("attributes", "", attributeColumns...)
	tasksTable      = newTable("tasks", "", taskRowColumns...)

	// These write over rows that are there: found by their key whatever the plan,
	// and all with one statement where that costs least.
	changedEntities = newTable("entities", `ON CONFLICT (seq) DO UPDATE SET revision = excluded.revision, updated = excluded.updated,
		deleted = excluded.deleted, host = excluded.host, source = excluded.source, target = excluded.target,
		words = excluded.words, doc = excluded.doc, reach = excluded.reach, project = excluded.project`, entityRowColumns...)
	changedAttributes = newTable("attributes", "ON CONFLICT (entity, name) DO UPDATE SET key = excluded.key", attributeColumns...)
	// While a task runs its claim is kept and its lease renewed.
	changedTasks = newTable("tasks", `ON CONFLICT (seq) DO UPDATE SET host = excluded.host, state = excluded.state, over = excluded.over,
		progress = excluded.progress, attempts = excluded.attempts, started = excluded.started, finished = excluded.finished,
		not_before = excluded.not_before, doc = excluded.doc,
		worker = CASE WHEN excluded.state = 'running' THEN tasks.worker ELSE excluded.worker END,
		until = CASE WHEN excluded.state = 'running' THEN excluded.until + tasks.lease ELSE 0 END`, taskRowColumns...)

	afterTable     = newTable("task_after", "ON CONFLICT DO NOTHING", "task bigint", "after uuid")
	keysTable      = newTable("keys", "", "id text", "created bigint", "doc bytea")
	mixinsTable    = newTable("mixins", "", "id text", "location text", "seq bigint", "doc bytea")
	addressesTable = newTable("addresses", "ON CONFLICT (network, address) DO UPDATE SET holder = excluded.holder",
		"network uuid", "address bytea", "holder uuid", "edge boolean")
	roomsTable = newTable("rooms", "ON CONFLICT (volume) DO UPDATE SET entity = excluded.entity, pool = excluded.pool, bytes = excluded.bytes",
		"volume uuid", "entity uuid", "pool bytea", "bytes bigint")
	poolsTable   = newTable("pools", "ON CONFLICT (pool) DO UPDATE SET bytes = excluded.bytes", "pool bytea", "bytes bigint")
	eventColumns = []string{"seq bigint", "first bigint", "at bigint", "doc bytea"}
	eventsTable  = newTable("events", "", eventColumns...)
	// toldEvents are told to the servers that listen once they are committed; that takes no
	// statement of its own.
	toldEvents = newTable("events", "RETURNING pg_notify('"+eventChannel+"', seq::text)", eventColumns...)
	auditTable = newTable("audit", "", "seq bigint", "first bigint", "at bigint", "doc bytea", "hash bytea")
	usageTable = newTable("usage", `ON CONFLICT (entity, began) DO UPDATE SET ended = excluded.ended, computes = excluded.computes,
		cores = excluded.cores, memory = excluded.memory, storage = excluded.storage, addresses = excluded.addresses`,
		"entity bigint", "id uuid", "began bigint", "ended bigint", "kind text", "project bytea", "owner bytea",
		"computes bigint", "cores bigint", "memory bigint", "storage bigint", "addresses bigint")
	loadsTable = newTable("loads", "ON CONFLICT (host, what) DO UPDATE SET amount = loads.amount + excluded.amount",
		"host bytea", "what bytea", "amount bigint")
	usesTable = newTable("uses", "ON CONFLICT (owner, what) DO UPDATE SET amount = uses.amount + excluded.amount",
		"owner bytea", "what bytea", "amount bigint")
	talliesTable = newTable("tallies", `ON CONFLICT (reach, kind) DO UPDATE SET revision = tallies.revision + excluded.revision,
		members = tallies.members + excluded.members,
		updated = CASE WHEN excluded.updated > tallies.updated THEN excluded.updated ELSE tallies.updated END`,
		"reach bytea", "kind text", "revision bigint", "members bigint", "updated bigint")
	secretsTable = newTable("secrets", "ON CONFLICT (entity) DO UPDATE SET name = excluded.name, owner = excluded.owner, hash = excluded.hash",
		"entity uuid", "name bytea", "owner uuid", "hash bytea")
	kindsTable = newTable("kinds", `ON CONFLICT (kind) DO UPDATE SET serial = excluded.serial, revision = excluded.revision,
		members = excluded.members, updated = excluded.updated`,
		"kind text", "serial bigint", "revision bigint", "members bigint", "updated bigint")
)

func newTable(name, conflict string, columns ...string) *table {
	t := &table{name: name, conflict: conflict}
	for _, c := range columns {
		column, kind, _ := strings.Cut(c, " ")
		t.columns = append(t.columns, column)
		t.types = append(t.types, kind)
	}
	return t
}

// insertRows inserts with a statement per row, which costs least where the
// database is in the process.
func insertRows(t *table, rows [][]any) []statement {
	sql := t.insert() + " VALUES (" + t.params("") + ") " + t.conflict
	out := make([]statement, len(rows))
	for i, r := range rows {
		out[i] = statement{sql, r}
	}
	return out
}

// insertArrays inserts all with one statement, whose parameters are the columns.
func insertArrays(t *table, rows [][]any) []statement {
	columns := make([]any, len(t.columns))
	for c := range columns {
		values := make([]any, len(rows))
		for i, r := range rows {
			values[i] = r[c]
		}
		columns[c] = values
	}
	return []statement{{t.insert() + " SELECT * FROM unnest(" + t.params("[]") + ") " + t.conflict, columns}}
}

func (t *table) insert() string {
	return "INSERT INTO " + t.name + " (" + strings.Join(t.columns, ", ") + ")"
}

// params lists a parameter per column, cast to its type with a suffix unless
// that is empty.
func (t *table) params(suffix string) string {
	names := make([]string, len(t.columns))
	for i := range names {
		names[i] = "$" + strconv.Itoa(i+1)
		if suffix != "" {
			names[i] += "::" + t.types[i] + suffix
		}
	}
	return strings.Join(names, ", ")
}
