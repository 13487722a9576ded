package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/singleflight"

	"github.com/occid/occid/occi"
)

const (
	// checkEvery is how long an identity counts without a look at what is stored: what
	// another server changes counts here after that.
	checkEvery = 5 * time.Second
	// verifyEvery is how long a secret counts as verified while its hash stays the same.
	verifyEvery = 15 * time.Minute
	// lookTime bounds a look at what is stored, and a hash.
	lookTime = 15 * time.Second
	// maxKnown bounds the identities that are kept.
	maxKnown = 4096
)

// Accounts is what is read of users and tokens; the store package has the contracts.
type Accounts interface {
	Secret(ctx context.Context, name string) (*occi.Secret, error)
	Entity(ctx context.Context, id uuid.UUID) (*occi.Entity, error)
	Linked(ctx context.Context, id uuid.UUID) (*occi.Entity, []*occi.Entity, error)
}

// Config is what an Authenticator is made of.
type Config struct {
	// Mechanisms are the names of those that are on, the first in front.
	Mechanisms []string
	Accounts   Accounts
	Model      func() *occi.Model
	// Policies tell what who logs in may do; nil leaves that open.
	Policies *Policies
	Now      func() time.Time // nil means time.Now
	// Provers are those that are configured, by the names of their mechanisms.
	Provers map[string]Prover
	// Mapping tells what those whom provers know are here.
	Mapping *Mapping
	// Admit finds the user of a proof, which may make it, and gives the name of its account;
	// see Engine.Admit. It is needed with provers.
	Admit func(ctx context.Context, a Admission) (name string, err error)
}

// Authenticator tells who makes a request. It is safe for concurrent use.
type Authenticator struct {
	names      []string
	mechanisms []*mechanism
	challenges []string
	accounts   Accounts
	model      func() *occi.Model
	policies   *Policies
	now        func() time.Time
	limits     limiter
	mapping    atomic.Pointer[Mapping]
	admitting  sync.RWMutex // held by who has users admitted by the mapping
	admit      func(ctx context.Context, a Admission) (name string, err error)
	rates      rates

	// key keeps what was presented from being read off the memory it is found by.
	key     [32]byte
	flights singleflight.Group // of what is being looked up
	epoch   atomic.Uint64      // counts the changes of users and tokens
	mu      sync.RWMutex
	known   map[[32]byte]*identity
}

// identity is what presented something proved to be.
type identity struct {
	caller   Caller
	epoch    uint64
	hash     string // that it was verified against
	verified time.Time
	until    time.Time // it counts without a look
	// name is that of the account that a prover's proof is of, until it ends.
	name string
	ends time.Time
	// mapping was in force then.
	mapping *Mapping
}

// New makes an Authenticator, or tells which mechanism there is not.
func New(c Config) (*Authenticator, error) {
	a := &Authenticator{accounts: c.Accounts, model: c.Model, now: c.Now, policies: c.Policies, admit: c.Admit, known: map[[32]byte]*identity{}}
	if a.now == nil {
		a.now = time.Now
	}
	a.mapping.Store(c.Mapping)
	rand.Read(a.key[:])
	for _, name := range c.Mechanisms {
		m := mechanisms[name]
		if by := c.Provers[name]; by != nil {
			m = proved(name, by)
		}
		switch {
		case slices.Contains(a.names, name):
			return nil, fmt.Errorf("the mechanism %s is named twice", name)
		case m == nil && slices.Contains(provers, name):
			return nil, fmt.Errorf("the mechanism %s is not configured", name)
		case m == nil:
			return nil, fmt.Errorf("there is no mechanism %q; there are basic, token, session, %s", name, strings.Join(provers, ", "))
		}
		a.names = append(a.names, name)
		a.mechanisms = append(a.mechanisms, m)
		a.challenges = append(a.challenges, m.challenges...)
	}
	for name := range c.Provers {
		if !slices.Contains(a.names, name) {
			return nil, fmt.Errorf("the mechanism %s is configured, but not on", name)
		}
	}
	if slices.Equal(a.names, []string{"session"}) {
		return nil, errors.New("a session begins with another mechanism, and none is on")
	}
	if len(a.mechanisms) == 0 {
		return nil, errors.New("no mechanism is on, so that nobody could log in")
	}
	return a, nil
}

// Offers reports whether a mechanism is on.
func (a *Authenticator) Offers(name string) bool { return slices.Contains(a.names, name) }

// Challenges are the values of WWW-Authenticate, for each mechanism on offer.
func (a *Authenticator) Challenges() []string { return a.challenges }

// Changed is to be called when users, tokens, roles or policies have changed.
func (a *Authenticator) Changed() { a.epoch.Add(1) }

// ProjectField is the header field that names the project a request is about.
const ProjectField = "X-Project"

// From is where a request comes from.
type From struct {
	Address string // of the client, as http.Request.RemoteAddr has it
	Secure  bool   // the client speaks TLS
}

// Authenticate tells who makes a request. The error is Unauthorized if nobody is recognised, TooMany if there were too many attempts, and Forbidden if the project that
// the request names is not the caller's.
func (a *Authenticator) Authenticate(r *http.Request, from From) (Caller, error) {
	project := ""
	if f := r.Header[ProjectField]; len(f) > 0 {
		project = f[0]
	}
	for _, m := range a.mechanisms {
		if p, ok := m.read(r, from); ok {
			return a.recognise(r.Context(), m, p, project, from.Address)
		}
	}
	return Caller{}, occi.E(occi.Unauthorized, "this needs a login")
}

// LoginBy tells who presents a credential to the prover of a mechanism that is on.
func (a *Authenticator) LoginBy(ctx context.Context, mechanism string, c Credential, remote string) (Caller, error) {
	i := slices.Index(a.names, mechanism)
	if i < 0 || a.mechanisms[i].prover == nil {
		return Caller{}, Unknown()
	}
	return a.recognise(ctx, a.mechanisms[i], presented{name: c.Account, secret: c.Key, guessed: c.Guessed, request: c.Request}, "", remote)
}

// Login tells who a login and a secret are, whatever mechanisms are on, for a project or
// without one.
func (a *Authenticator) Login(ctx context.Context, login, secret, project, remote string) (Caller, error) {
	return a.recognise(ctx, mechanisms["basic"], presented{name: UserName(login), secret: secret}, project, remote)
}

// recognise finds who presents something. Who presents the same at once is looked up
// once.
func (a *Authenticator) recognise(ctx context.Context, m *mechanism, p presented, project, remote string) (Caller, error) {
	key := a.keyOf(m, p, project)
	if have := a.remembered(key); have != nil {
		return have.caller, nil
	}
	found, err, _ := a.flights.Do(string(key[:])+p.request, func() (any, error) {
		if have := a.remembered(key); have != nil {
			return have.caller, nil
		}
		// It is for all who wait, of whom the first may go.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookTime)
		defer cancel()
		if m.prover != nil {
			return a.proven(ctx, key, m, p, project, origin(remote))
		}
		return a.look(ctx, key, m, p, project, origin(remote))
	})
	if err != nil {
		return Caller{}, err
	}
	return found.(Caller), nil
}

// remembered gives what was presented before and counts still; nil if there is nothing.
func (a *Authenticator) remembered(key [32]byte) *identity {
	a.mu.RLock()
	defer a.mu.RUnlock()
	if have := a.known[key]; have != nil && have.epoch == a.epoch.Load() && a.now().Before(have.until) {
		return have
	}
	return nil
}

// look finds who presents something in what is stored.
func (a *Authenticator) look(ctx context.Context, key [32]byte, m *mechanism, p presented, project string, from netip.Prefix) (Caller, error) {
	now, epoch := a.now(), a.epoch.Load()
	a.mu.RLock()
	have := a.known[key]
	a.mu.RUnlock()
	try := &attempt{limits: &a.limits, from: from, account: p.name}
	if m != mechanisms["basic"] {
		try.account = "" // of no account
	}
	// Who was verified a while ago is not kept out by others' failures.
	known := have != nil && now.Sub(have.verified) < verifyEvery
	if !known {
		if err := try.begin(now); err != nil {
			return Caller{}, err
		}
	}
	f, err := a.account(ctx, p.name)
	if err != nil && !errors.Is(err, occi.NotFound) {
		try.end()
		return Caller{}, err
	}
	next := &identity{epoch: epoch, verified: now, until: now.Add(checkEvery)}
	if known = known && f != nil && f.secret.Hash == have.hash; known {
		next.verified = have.verified
	} else if err := a.verified(ctx, m, p, f, try, now); err != nil {
		a.forget(key)
		return Caller{}, err
	}
	if next.caller, err = a.caller(ctx, f, project); err != nil {
		return Caller{}, err
	}
	next.caller = a.judged(next.caller)
	next.hash = f.secret.Hash
	if ends := f.ends(a.model()); ends.Before(next.until) {
		next.until = ends
	}
	a.keep(key, next)
	return next.caller, nil
}

// judged gives a caller with what it may do, if there are policies.
func (a *Authenticator) judged(c Caller) Caller {
	if a.policies == nil {
		return c
	}
	return a.policies.For(c)
}

// verified compares what is presented with an account, nil for none.
func (a *Authenticator) verified(ctx context.Context, m *mechanism, p presented, f *account, try *attempt, now time.Time) error {
	if err := try.begin(now); err != nil {
		return err
	}
	ok, err := m.verify(ctx, p, f)
	if err != nil || ok {
		try.end()
		return err
	}
	if f != nil && f.token == nil {
		return unknown(attempted(value(a.model(), f.user, RoleName)))
	}
	return Unknown()
}

// attempted is the login of an account whose secret was not presented, as the cause of an
// Unauthorized.
type attempted string

func (a attempted) Error() string { return "the account is " + string(a) }

// Attempted gives the login that somebody tried who was refused, if there is such a user:
// of no other it is known that it is no secret.
func Attempted(err error) string {
	var a attempted
	_ = errors.As(err, &a)
	return string(a)
}

// attempt is one to log in, which counts as failed from its beginning until its end.
type attempt struct {
	limits  *limiter
	from    netip.Prefix
	account string
	begun   bool
}

// begin counts the attempt, once, or tells that there were too many.
func (t *attempt) begin(now time.Time) error {
	if t.begun {
		return nil
	}
	if wait := t.limits.attempt(t.from, t.account, now); wait > 0 {
		return tooMany(wait)
	}
	t.begun = true
	return nil
}

// end takes the attempt back: it has not failed.
func (t *attempt) end() {
	if t.begun {
		t.limits.succeeded(t.from, t.account)
	}
}

// keyOf is what an identity is found by: a hash, so that what was presented is not kept.
func (a *Authenticator) keyOf(m *mechanism, p presented, project string) [32]byte {
	text := make([]byte, 0, 256)
	text = append(text, a.key[:]...)
	for _, part := range []string{m.name, p.name, project} {
		text = append(append(text, part...), 0)
	}
	return sha256.Sum256(append(text, p.secret...))
}

func (a *Authenticator) keep(key [32]byte, i *identity) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for k := range a.known {
		if len(a.known) < maxKnown {
			break
		}
		delete(a.known, k)
	}
	a.known[key] = i
}

func (a *Authenticator) forget(key [32]byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.known, key)
}

// later is how long to wait, as the cause of a TooMany.
type later time.Duration

func (l later) Error() string { return "locked for " + time.Duration(l).String() }

func tooMany(wait time.Duration) error {
	return &occi.Error{Class: occi.TooMany, Message: "too many attempts have failed; try again later", Err: later(wait)}
}

// RetryAfter gives after how many seconds a request may be made again that an error
// refused as TooMany.
func RetryAfter(err error) int {
	var l later
	if !errors.As(err, &l) {
		return 1
	}
	return int((time.Duration(l) + time.Second - 1) / time.Second)
}
