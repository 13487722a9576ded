package server_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestReadsTakeFewStatementsAndNoHost(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, c *cloud) {
		network := c.create("/network/", `{"title":"n"}`)
		compute := c.create("/compute/", `{"title":"a","cores":2,"links":[{"target":"`+network+`"}]}`)
		task := c.paths(compute + "/tasks/")[0]
		host := c.described()
		// The engine's own look at the store and the host would count too. Without a
		// driver every call of the host is a fault.
		c.engine.Stop()
		c.host.Driver = nil
		c.statements.take()
		c.do("GET", compute+".ovf", "").want(t, 200)
		if sql := c.statements.take(); len(sql) > 1 {
			t.Errorf("GET of an envelope: %d statements:\n%s", len(sql), strings.Join(sql, "\n"))
		}
		for _, media := range []string{"text/plain", "application/occi+json", "application/atom+xml"} {
			for path, most := range map[string]int{
				compute: 1, network: 1, task: 1, host: 1, "/host/": 2, host + "/compute/": 2, compute + "/host/": 3,
				"/": 2, "/compute/": 2, "/compute/?cores=2&sort=-memory&page=1&number=2": 2, "/compute/?q=a": 2, "/?state=active": 2,
				"/resource/": 2, "/link/": 2, "/mixin/": 2, "/mixin/ssh_key/": 2, network + "/compute/": 2, compute + "/network/?title=n": 2,
				compute + "/tasks/": 2, "/task/": 2, "/tasklink/": 2, "/-/": 1, "/-/states": 0, "/healthz": 0, "/readyz": 1,
			} {
				c.statements.take()
				c.do("GET", path, "", "Accept: "+media).want(t, 200)
				if sql := c.statements.take(); len(sql) > most {
					t.Errorf("GET %s as %s: %d statements, want %d at most:\n%s", path, media, len(sql), most, strings.Join(sql, "\n"))
				}
			}
		}
	})
}

// TestTenantsReadsTakeAsFewStatements: who asks is remembered, and what is theirs is
// selected with the rest.
func TestTenantsReadsTakeAsFewStatements(t *testing.T) {
	t.Parallel()
	onTenants(t, func(t *testing.T, w *tenants) {
		member := w.people["member"]
		compute, network, task := w.things["compute"][own], w.things["network"][own], w.things["task"][own]
		w.engine.Stop()
		at := time.Now()
		w.still.Store(&at)
		// A look at who asks is taken as often as the clock says, at first for each login.
		for _, more := range []int{3, 0} {
			w.statements.take()
			member.do("GET", compute, "").want(t, 200)
			if sql := w.statements.take(); len(sql) > 1+more {
				t.Errorf("%d statements, want %d at most:\n%s", len(sql), 1+more, strings.Join(sql, "\n"))
			}
		}
		for path, most := range map[string]int{
			compute: 1, network: 1, task: 1, w.things["network"][shared]: 1, "/": 2, "/compute/": 2, "/compute/?cores=1&sort=-memory&page=1&number=2": 2, "/?q=a": 2,
			"/resource/": 2, "/mixin/": 2, network + "/compute/": 2, compute + "/tasks/": 2, "/task/": 2, "/-/": 1,
			// What is selected by a condition is counted by one too.
			"/user/": 3, "/token/": 3,
		} {
			w.statements.take()
			member.do("GET", path, "").want(t, 200)
			if sql := w.statements.take(); len(sql) > most {
				t.Errorf("GET %s: %d statements, want %d at most:\n%s", path, len(sql), most, strings.Join(sql, "\n"))
			}
		}
	})
}

func TestCollectionsTakeAsManyStatementsWhateverTheirSize(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, c *cloud) {
		c.create("/compute/", `{"resources":[`+strings.Repeat(`{"type":"compute"},`, 299)+`{"type":"compute"}]}`)
		c.engine.Stop()
		c.statements.take()
		r := c.do("GET", "/compute/", "", "Accept: text/uri-list").want(t, 200)
		if n := strings.Count(r.text, "\n"); n != 300 {
			t.Errorf("%d members of 300", n)
		}
		if sql := c.statements.take(); len(sql) > 2 {
			t.Errorf("%d statements:\n%s", len(sql), strings.Join(sql, "\n"))
		}
		c.do("GET", "/compute/", "", "Accept: text/uri-list", "If-None-Match: "+r.Header.Get("ETag")).want(t, 304)
		if sql := c.statements.take(); len(sql) > 1 {
			t.Errorf("unchanged, %d statements:\n%s", len(sql), strings.Join(sql, "\n"))
		}
	})
}

// TestACreateTakesFewTransactions holds that a create takes two: the first accepts it and
// claims its task, as nobody else asks for anything, and the last notes its outcome. To
// find nothing to claim takes none. Now and then the server writes something of its own
// meanwhile, so the fewest of some creates count.
func TestACreateTakesFewTransactions(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, c *cloud) {
		c.described()
		var fewest []string
		for i := range 5 {
			c.statements.take()
			c.do("POST", "/compute/", `{"title":"a"}`, "Content-Type: application/json", "Prefer: wait=60", fmt.Sprintf("Idempotency-Key: k%d", i)).want(t, 201)
			if writes := transactions(c.statements.take()); i == 0 || len(writes) < len(fewest) {
				fewest = writes
			}
		}
		if len(fewest) != 2 {
			t.Errorf("%d transactions, want 2:\n%s", len(fewest), strings.Join(fewest, "\n"))
		}
	})
}

// transactions lists those that write, but for those that only tell of a claim.
func transactions(statements []string) (writes []string) {
	var all []string
	open, told := false, true
	for _, sql := range statements {
		verb, rest, _ := strings.Cut(sql, " ")
		write := verb == "INSERT" || verb == "UPDATE" || verb == "DELETE"
		switch {
		case verb == "BEGIN":
			open, told = true, true
		case verb == "COMMIT":
			if open = false; !told {
				writes = append(writes, strings.Join(all, "; "))
			}
			all = nil
		case write && !open:
			writes = append(writes, sql)
		case write:
			told = told && strings.HasPrefix(rest, "INTO events")
			all = append(all, sql)
		}
	}
	return writes
}
