package store_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/occid/occid/occi"
	"github.com/occid/occid/store"
)

// trail reads the whole audit trail.
func trail(t testing.TB, s *store.Store) []*occi.Record {
	t.Helper()
	first, last, err := s.AuditRange(t.Context(), time.Time{}, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	var all []*occi.Record
	for seq := first; seq <= last; seq += 3 {
		rs, err := s.AuditBefore(t.Context(), min(seq+3, last+1), seq)
		if err != nil {
			t.Fatal(err)
		}
		for i := range rs {
			all = append(all, rs[len(rs)-1-i])
		}
	}
	return all
}

// spelled spells out what records say.
func spelled(rs []*occi.Record) []string {
	var out []string
	for _, r := range rs {
		line := fmt.Sprintf("%d %s %s%s", r.Seq, r.What, r.Login, r.Verb)
		for _, a := range r.Changes {
			line += fmt.Sprintf(" %s:%s>%s", a.Name, a.Was, a.Now)
		}
		out = append(out, line)
	}
	return out
}

// asked is a context of requests by a user.
func asked(ctx context.Context, login string) context.Context {
	return occi.WithOrigin(ctx, &occi.Origin{User: "u-" + login, Login: login, Project: "lab", Address: "192.0.2.1:7", Request: "r-1", Method: "POST", Path: "/compute/"})
}

func TestAuditTellsOfChanges(t *testing.T) {
	t.Parallel()
	for _, kind := range databases {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s := modelled(t, freshDSN(t, kind))
			commit := func(ctx context.Context, c occi.Change) {
				t.Helper()
				c.At = start
				if err := s.Commit(ctx, &c); err != nil {
					t.Fatal(err)
				}
			}
			ann, own := asked(t.Context(), "ann"), t.Context()
			vm := &occi.Entity{ID: uuid.New(), Kind: computeKind, Owner: "ann", Project: "lab", Title: "vm"}
			vm.Attributes.Set("occi.compute.cores", occi.Int(1))
			vm.Attributes.Set("occi.compute.state", occi.Str("inactive"))
			vm.Attributes.Set("occi.compute.state.message", occi.Str("creating"))
			vm.Attributes.Set("org.openstack.compute.user_data", occi.Str("cGFzc3dvcmQ="))
			job := task(vm.ID)
			job.Request = "r-1"
			commit(ann, occi.Change{Puts: []*occi.Entity{vm}, Tasks: []*occi.Task{job}})
			// The server measures, then is done.
			used := vm.Clone()
			used.Attributes.Set("occi.compute.state.message", occi.Str("starting"))
			commit(own, occi.Change{Puts: []*occi.Entity{used}})
			active := used.Clone()
			active.Attributes.Set("occi.compute.state", occi.Str("active"))
			done := *job
			done.State, done.Attempts = occi.TaskDone, 1
			commit(own, occi.Change{Puts: []*occi.Entity{active}, Tasks: []*occi.Task{&done}})
			other := task(vm.ID)
			commit(ann, occi.Change{Tasks: []*occi.Task{other}})
			failed := *other
			failed.State, failed.Attempts, failed.Error = occi.TaskFailed, 1, "no host"
			commit(own, occi.Change{Tasks: []*occi.Task{&failed}})
			// A user changes it.
			resized := active.Clone()
			resized.Title = ""
			resized.Attributes.Set("occi.compute.cores", occi.Int(4))
			resized.Attributes.Set("org.openstack.compute.user_data", occi.Str(strings.Repeat("secret", 100)))
			resized.Attributes.Set("occi.compute.hostname", occi.Str(strings.Repeat("ä", 200)))
			commit(ann, occi.Change{Puts: []*occi.Entity{resized}})
			crashed := resized.Clone()
			crashed.Attributes.Set("occi.compute.state", occi.Str("error"))
			commit(own, occi.Change{Puts: []*occi.Entity{crashed}})
			gone := crashed.Clone()
			gone.Attributes = nil
			gone.Deleted = true
			commit(ann, occi.Change{Puts: []*occi.Entity{gone}})
			commit(own, occi.Change{Removes: []occi.Removal{{ID: vm.ID}}})
			tag := &occi.Mixin{Category: occi.Category{Scheme: "http://example.com/tags#", Term: "web", Title: "Web"}, Location: "/tags/web/", User: true, Project: "lab"}
			commit(ann, occi.Change{Define: []*occi.Mixin{tag}})
			commit(ann, occi.Change{Undefine: []string{tag.ID()}})
			commit(own, occi.Change{Records: []occi.Record{{What: occi.AuditRefused, Status: 403, Times: 2, Origin: occi.Origin{Login: "bob"}}}})

			got := trail(t, s)
			long := strings.Repeat("ä", 120) + "… (400 bytes)"
			want := []string{
				"1 created ann occi.core.title:>vm occi.compute.cores:>1 occi.compute.state:>inactive org.openstack.compute.user_data:>(12 bytes, confidential)",
				"2 done start occi.compute.state:inactive>active",
				"3 failed start",
				"4 updated ann occi.compute.cores:1>4 occi.compute.hostname:>" + long + " org.openstack.compute.user_data:(12 bytes, confidential)>(600 bytes, confidential) occi.core.title:vm>",
				"5 updated  occi.compute.state:active>error",
				"6 deleted ann occi.compute.cores:4> occi.compute.hostname:" + long + "> occi.compute.state:error> org.openstack.compute.user_data:(600 bytes, confidential)>",
				"7 defined ann location:>/tags/web/ title:>Web",
				"8 undefined ann location:/tags/web/> title:Web>",
				"9 refused bob",
			}
			if diff := cmp.Diff(want, spelled(got)); diff != "" {
				t.Fatalf("-want +got:\n%s", diff)
			}
			wholes := []*occi.Record{
				{Seq: 3, At: start, What: "failed", Origin: occi.Origin{User: "ann", Request: ""}, ID: vm.ID, Kind: computeKind, Task: other.ID, Verb: "start", Message: "no host"},
				{Seq: 5, At: start, What: "updated", ID: vm.ID, Kind: computeKind, Reach: "lab", Changes: []occi.Alteration{{Name: "occi.compute.state", Was: "active", Now: "error"}}},
			}
			if diff := cmp.Diff(wholes, []*occi.Record{got[2], got[4]}); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if got[0].Origin != *occi.OriginOf(ann) || got[1].Request != "r-1" || got[1].User != "ann" {
				t.Errorf("by %+v, then %+v", got[0].Origin, got[1].Origin)
			}
		})
	}
}

func TestAuditIsOneChain(t *testing.T) {
	t.Parallel()
	for _, kind := range databases {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			all := servers(t, kind)
			var work sync.WaitGroup
			const n = 60
			for i := range n {
				work.Go(func() {
					if err := all[i%len(all)].Commit(asked(t.Context(), "ann"), &occi.Change{At: start, Puts: []*occi.Entity{compute("x", int64(i))}}); err != nil {
						t.Error(err)
					}
				})
			}
			work.Wait()
			c, err := all[0].VerifyAudit(t.Context(), "")
			if err != nil || c.Records != n || c.First != 1 || c.Last != n {
				t.Fatalf("%+v, %v", c, err)
			}
			put(t, all[0], compute("one more", 1))
			later, err := all[0].VerifyAudit(t.Context(), c.Hash)
			if err != nil || later.Hash == c.Hash || later.Last != n+1 {
				t.Errorf("%+v, %v", later, err)
			}
			_, err = all[0].VerifyAudit(t.Context(), strings.Repeat("0", 64))
			wantBroken(t, "a last record that is not there", err, n+2)
		})
	}
}

func wantBroken(t *testing.T, what string, err error, seq int64) {
	t.Helper()
	var b *store.Broken
	if !errors.As(err, &b) || b.Seq != seq {
		t.Errorf("%s: %v, want it broken at %d", what, err, seq)
	}
}

// unguarded takes away what keeps the audit trail from being changed.
func unguarded(t *testing.T, kind, dsn string) {
	t.Helper()
	if kind == "postgres" {
		execute(t, dsn, "ALTER TABLE audit DISABLE TRIGGER ALL; ALTER TABLE audit_checkpoints DISABLE TRIGGER ALL")
		return
	}
	execute(t, dsn, "DROP TRIGGER audit_unchanged; DROP TRIGGER audit_kept; DROP TRIGGER audit_once; DROP TRIGGER audit_checkpoints_true")
}

func TestAuditShowsWhatWasTamperedWith(t *testing.T) {
	t.Parallel()
	for _, kind := range databases {
		for what, c := range map[string]struct {
			sql    string
			broken int64
		}{
			"a document":               {"UPDATE audit SET doc = (SELECT doc FROM audit WHERE seq = 2) WHERE seq = 4", 4},
			"a time":                   {"UPDATE audit SET at = at + 1 WHERE seq = 5", 5},
			"a hash":                   {"UPDATE audit SET hash = (SELECT hash FROM audit WHERE seq = 2) WHERE seq = 3", 3},
			"a row that is gone":       {"DELETE FROM audit WHERE seq = 6", 6},
			"rows that are gone":       {"DELETE FROM audit WHERE seq < 4", 1},
			"a row of another number":  {"UPDATE audit SET seq = 99, first = 99 WHERE seq = 8", 8},
			"a checkpoint of nobody's": {"INSERT INTO audit_checkpoints SELECT seq, at, hash FROM audit WHERE seq = 3; DELETE FROM audit WHERE seq <= 3", 4},
		} {
			t.Run(kind+"/"+what, func(t *testing.T) {
				t.Parallel()
				dsn := freshDSN(t, kind)
				s := open(t, dsn)
				for i := range 8 {
					put(t, s, compute("x", int64(i)))
				}
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				unguarded(t, kind, dsn)
				execute(t, dsn, c.sql)
				s, err := store.OpenTrail(t.Context(), dsn)
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				_, err = s.VerifyAudit(t.Context(), "")
				wantBroken(t, what, err, c.broken)
			})
		}
	}
}

func TestAuditIsAppendOnly(t *testing.T) {
	t.Parallel()
	for _, kind := range databases {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			dsn := freshDSN(t, kind)
			s := open(t, dsn)
			for i := range 5 {
				if err := s.Commit(t.Context(), &occi.Change{At: start.Add(time.Duration(i) * time.Hour), Puts: []*occi.Entity{compute("x", int64(i))}}); err != nil {
					t.Fatal(err)
				}
			}
			refuses := func(statements ...string) {
				t.Helper()
				for _, sql := range statements {
					if err := try(t, dsn, sql); err == nil {
						t.Errorf("%s is not refused", sql)
					}
				}
			}
			refuses("UPDATE audit SET at = 0", "DELETE FROM audit", "DELETE FROM audit WHERE seq = 1",
				"INSERT INTO audit_checkpoints VALUES (2, 0, 'x')", "INSERT INTO audit_checkpoints VALUES (99, 0, 'x')")
			if kind == "postgres" {
				refuses("TRUNCATE audit")
			} else {
				refuses("INSERT OR REPLACE INTO audit VALUES (1, 1, 0, 'x', 'y')")
			}
			n, err := s.RetainAudit(t.Context(), start.Add(2*time.Hour))
			if err != nil || n != 2 {
				t.Fatalf("forgot %d, %v", n, err)
			}
			refuses("UPDATE audit_checkpoints SET seq = 4", "DELETE FROM audit_checkpoints", "DELETE FROM audit WHERE seq = 3")
			c, err := s.VerifyAudit(t.Context(), "")
			if err != nil || c.First != 3 || c.Last != 6 || c.Records != 4 {
				t.Errorf("%+v, %v", c, err)
			}
			if got := trail(t, s); got[0].Seq != 3 || got[3].What != occi.AuditForgotten {
				t.Errorf("kept: %v", spelled(got))
			}
			if n, err := s.RetainAudit(t.Context(), start.Add(2*time.Hour)); n != 0 || err != nil {
				t.Errorf("forgot %d more, %v", n, err)
			}
			if _, err := s.RetainAudit(t.Context(), time.Now().Add(time.Hour)); err != nil {
				t.Error(err)
			}
			put(t, s, compute("after", 1))
			if c, err := s.VerifyAudit(t.Context(), ""); err != nil || c.First != 7 || c.Last != 8 {
				t.Errorf("%+v, %v", c, err)
			}
		})
	}
}

func TestAuditOfATime(t *testing.T) {
	t.Parallel()
	s := open(t, freshDSN(t, "sqlite"))
	for i := range 10 {
		if err := s.Commit(t.Context(), &occi.Change{At: start.Add(time.Duration(i) * time.Hour), Puts: []*occi.Entity{compute("x", int64(i))}}); err != nil {
			t.Fatal(err)
		}
	}
	at := func(h int) time.Time { return start.Add(time.Duration(h) * time.Hour) }
	for _, c := range []struct {
		from, to    time.Time
		first, last int64
	}{
		{time.Time{}, time.Time{}, 1, 10}, {at(3), time.Time{}, 4, 10}, {time.Time{}, at(3), 1, 4}, {at(2), at(5), 3, 6},
		{at(20), time.Time{}, 11, 10}, {time.Time{}, at(-5), 1, 0}, {at(5), at(2), 6, 5},
	} {
		first, last, err := s.AuditRange(t.Context(), c.from, c.to)
		if err != nil || last-first != c.last-c.first || first <= last && first != c.first {
			t.Errorf("from %s to %s: %d to %d, %v; want %d to %d", c.from, c.to, first, last, err, c.first, c.last)
		}
	}
}
