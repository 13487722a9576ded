package auth_test

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/occid/occid/internal/auth"
	"github.com/occid/occid/occi"
)

// accounts are users by name, whose secrets have the hashes given.
type accounts struct {
	hashes map[string]string
	reads  atomic.Int64
}

func (a *accounts) Secret(_ context.Context, name string) (*occi.Secret, error) {
	a.reads.Add(1)
	hash, ok := a.hashes[name]
	if !ok {
		return nil, occi.E(occi.NotFound, "none")
	}
	id := uuid.NewSHA1(uuid.Nil, []byte(name))
	return &occi.Secret{Entity: id, Owner: id, Name: name, Hash: hash}, nil
}

func (a *accounts) Entity(_ context.Context, id uuid.UUID) (*occi.Entity, error) {
	return &occi.Entity{ID: id, Kind: occi.UserKind}, nil
}

func (a *accounts) Linked(ctx context.Context, id uuid.UUID) (*occi.Entity, []*occi.Entity, error) {
	x, err := a.Entity(ctx, id)
	return x, nil, err
}

// watch is an authenticator with a clock of its own.
type watch struct {
	*auth.Authenticator
	accounts *accounts
	now      time.Time
}

func newWatch(t *testing.T, logins ...string) *watch {
	t.Helper()
	w := &watch{accounts: &accounts{hashes: map[string]string{}}, now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	for _, login := range logins {
		hash, err := auth.Hash(t.Context(), "secret of "+login)
		if err != nil {
			t.Fatal(err)
		}
		w.accounts.hashes[auth.UserName(login)] = hash
	}
	m, err := occi.NewModel("", []*occi.Kind{{Category: occi.Category{Scheme: occi.CoreScheme, Term: "entity"}}}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	w.Authenticator, err = auth.New(auth.Config{Mechanisms: []string{"basic", "token"}, Accounts: w.accounts,
		Model: func() *occi.Model { return m }, Now: func() time.Time { return w.now }})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// from logs in from an address, and gives the class of what refuses that.
func (w *watch) from(t *testing.T, address, login, secret string) occi.Class {
	t.Helper()
	r := (&http.Request{Header: http.Header{}}).WithContext(t.Context())
	r.SetBasicAuth(login, secret)
	_, err := w.Authenticate(r, auth.From{Address: address})
	if err == nil {
		return ""
	}
	return occi.ClassOf(err)
}

func TestGuessesAreSlowedAndLocked(t *testing.T) {
	t.Parallel()
	w := newWatch(t, "ann", "bob")
	const here, elsewhere = "198.51.100.7:1", "198.51.100.8:1"
	guess := func(n int, want occi.Class) {
		t.Helper()
		for i := range n {
			if got := w.from(t, here, "ann", "guess"); got != want {
				t.Fatalf("guess %d: %q, want %q", i, got, want)
			}
		}
	}
	guess(5, occi.Unauthorized)
	guess(3, occi.TooMany) // the fifth locked it for a second
	for wait := time.Second; wait < 15*time.Minute; wait *= 2 {
		w.now = w.now.Add(wait - 1)
		guess(1, occi.TooMany)
		w.now = w.now.Add(1)
		guess(1, occi.Unauthorized)
	}
	if got := w.from(t, here, "ann", "secret of ann"); got != occi.TooMany {
		t.Errorf("while it is locked: %q", got)
	}
	if got := w.from(t, elsewhere, "ann", "secret of ann"); got != "" {
		t.Errorf("from elsewhere: %q", got)
	}
	if got := w.from(t, elsewhere, "bob", "secret of bob"); got != "" {
		t.Errorf("somebody else from elsewhere: %q", got)
	}
	w.now = w.now.Add(time.Hour)
	if got := w.from(t, here, "ann", "secret of ann"); got != "" {
		t.Errorf("after an hour: %q", got)
	}
	guess(4, occi.Unauthorized)
	if got := w.from(t, here, "ann", "secret of ann"); got != "" {
		t.Errorf("four failures are free: %q", got)
	}
}

// TestManyAtOnce: guesses that are made at once are no way around, and who logs in by many
// connections at once is let in by all.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	w := newWatch(t, "ann")
	all := func(address string, secret func(i int) string) map[occi.Class]int {
		var mu sync.Mutex
		got := map[occi.Class]int{}
		var group sync.WaitGroup
		for i := range 40 {
			group.Go(func() {
				class := w.from(t, address, "ann", secret(i))
				mu.Lock()
				defer mu.Unlock()
				got[class]++
			})
		}
		group.Wait()
		return got
	}
	if got := all("198.51.100.7:1", func(i int) string { return "guess " + strconv.Itoa(i) }); got[occi.Unauthorized] != 5 || got[occi.TooMany] != 35 {
		t.Errorf("40 guesses at once: %v", got)
	}
	if got := all("198.51.100.8:1", func(int) string { return "secret of ann" }); got[""] != 40 {
		t.Errorf("40 logins at once: %v", got)
	}
}

func TestAddressesThatGuessNamesAreLocked(t *testing.T) {
	t.Parallel()
	w := newWatch(t, "ann")
	locked := false
	for i := range 20 {
		// The addresses of one /64 count as one.
		locked = w.from(t, "[2001:db8::"+strconv.Itoa(i)+"]:1", "user"+strconv.Itoa(i), "guess") == occi.TooMany
	}
	if !locked {
		t.Error("20 names may be tried from one network")
	}
	if got := w.from(t, "[2001:db8:0:1::1]:1", "ann", "secret of ann"); got != "" {
		t.Errorf("from another network: %q", got)
	}
}

func TestVerifiedLoginsAreRemembered(t *testing.T) {
	t.Parallel()
	w := newWatch(t, "ann")
	login := func(secret string, want occi.Class, reads int64) {
		t.Helper()
		before := w.accounts.reads.Load()
		got := w.from(t, "198.51.100.7:1", "ann", secret)
		if read := w.accounts.reads.Load() - before; got != want || read != reads {
			t.Errorf("%q after %d reads, want %q after %d", got, read, want, reads)
		}
	}
	login("secret of ann", "", 1)
	login("secret of ann", "", 0)
	w.now = w.now.Add(6 * time.Second)
	login("secret of ann", "", 1)
	w.Changed()
	login("secret of ann", "", 1)
	hash, err := auth.Hash(t.Context(), "another secret")
	if err != nil {
		t.Fatal(err)
	}
	w.accounts.hashes[auth.UserName("ann")] = hash
	w.Changed()
	login("secret of ann", occi.Unauthorized, 1)
	login("another secret", "", 1)
	delete(w.accounts.hashes, auth.UserName("ann"))
	w.Changed()
	login("another secret", occi.Unauthorized, 1)
}

// TestUnknownAccountsCostAsMuch compares how long refusals take: the hash is most of it.
func TestUnknownAccountsCostAsMuch(t *testing.T) {
	t.Parallel()
	w := newWatch(t, "ann")
	took := func(login string) time.Duration {
		best := time.Hour
		for i := range 6 {
			w.now = w.now.Add(time.Hour)
			began := time.Now()
			if got := w.from(t, "198.51.100.7:1", login, "guess "+strconv.Itoa(i)); got != occi.Unauthorized {
				t.Fatalf("%s: %q", login, got)
			}
			best = min(best, time.Since(began))
		}
		return best
	}
	known, unknown := took("ann"), took("nobody")
	if ratio := float64(known) / float64(unknown); ratio < 0.33 || ratio > 3 {
		t.Errorf("a wrong secret takes %s, an unknown account %s", known, unknown)
	}
}

func TestHashes(t *testing.T) {
	t.Parallel()
	one, err := auth.Hash(t.Context(), "secret")
	if err != nil {
		t.Fatal(err)
	}
	two, err := auth.Hash(t.Context(), "secret")
	if err != nil {
		t.Fatal(err)
	}
	if one == two || !strings.HasPrefix(one, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("%s, %s", one, two)
	}
	if a, b := auth.NewToken(), auth.NewToken(); a == b || auth.TokenName(a) == auth.TokenName(b) || strings.Contains(auth.TokenName(a), a) {
		t.Error("tokens are not told apart, or are told")
	}
}

func TestMechanismsAreKnown(t *testing.T) {
	t.Parallel()
	for _, names := range [][]string{nil, {"kerberos"}, {"basic", "basic"}} {
		if _, err := auth.New(auth.Config{Mechanisms: names}); err == nil {
			t.Errorf("%q are mechanisms", names)
		}
	}
	a, err := auth.New(auth.Config{Mechanisms: []string{"token"}})
	if err != nil || a.Offers("basic") || len(a.Challenges()) != 1 {
		t.Errorf("%v, %v", a, err)
	}
}
