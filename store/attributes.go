package store

import (
	"strconv"
	"strings"
)

// maxRows is how many attributes one statement writes: the text of a statement
// depends on their number, and it should be prepared already.
const maxRows = 16

// index brings an entity's keys from had to want.
func (g *group) index(seq int64, had, want map[string]string) {
	for name := range had {
		if _, ok := want[name]; !ok {
			g.add(`DELETE FROM attributes WHERE entity = $1 AND name = $2`, seq, indexed(name))
		}
	}
	args := []any{seq}
	for name, key := range want {
		if old, ok := had[name]; ok && old == key {
			continue
		}
		args = append(args, indexed(name), []byte(key))
		if len(args) == 1+2*maxRows {
			g.add(putAttributes[maxRows], args...)
			args = []any{seq}
		}
	}
	if n := len(args) / 2; n > 0 {
		g.add(putAttributes[n], args...)
	}
}

// putAttributes has the statements that write so many attributes of an entity.
var putAttributes = func() (texts [maxRows + 1]string) {
	for n := 1; n <= maxRows; n++ {
		var b strings.Builder
		b.WriteString(`INSERT INTO attributes (entity, name, key) VALUES `)
		for i := range n {
			if i > 0 {
				b.WriteString(", ")
			}
			b.WriteString("($1, $" + strconv.Itoa(2*i+2) + ", $" + strconv.Itoa(2*i+3) + ")")
		}
		b.WriteString(` ON CONFLICT (entity, name) DO UPDATE SET key = excluded.key`)
		texts[n] = b.String()
	}
	return texts
}()
