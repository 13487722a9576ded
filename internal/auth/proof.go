package auth

import (
	"context"
	"net/http"
	"net/netip"
	"time"

	"github.com/occid/occid/occi"
)

// Prover is a way to log in whose proof somebody else gives than this server's store. It
// is safe for concurrent use.
type Prover interface {
	// Challenges are what WWW-Authenticate says of it.
	Challenges() []string
	// Read finds what a request presents; ok is false if nothing of the kind.
	Read(r *http.Request, from From) (c Credential, ok bool)
	// Prove tells who presents something. The error is Unauthorized if it proves nothing,
	// as Unknown gives it, and Unavailable if that cannot be told now.
	Prove(ctx context.Context, c Credential) (*Proof, error)
}

// Credential is what a request presents to a Prover.
type Credential struct {
	// Key is what a proof is remembered by, as long as it counts.
	Key string
	// Guessed credentials are such that others can guess them: failures are counted, for
	// Account too unless it is empty.
	Guessed bool
	Account string
	// Request is what a proof may depend on beside Key while it is not remembered.
	Request string
}

// Proof is who somebody has proven to be.
type Proof struct {
	// Subjects are the names of one and the same that its identity may have here, the
	// first in front.
	Subjects []string
	// Attributes are what rules look at.
	Attributes map[string][]string
	// Login and Title are what a user made of it is called.
	Login, Title string
	// Grants and Administrator are given by the prover itself, beside what rules give.
	Grants        []Grant
	Administrator bool
	// Until is when it ends to count.
	Until time.Time
}

// Grant is a role in a project, which is named by its UUID or its title.
type Grant struct{ Project, Role string }

// Admission is what the engine is to make of a proof.
type Admission struct {
	Mechanism string
	Subjects  []string
	// Login and Title are those of the user that is made if the proof is nobody's, if
	// Make says so. With Join it is the proof of the user with that login, if there is one.
	Login, Title string
	Make, Join   bool
	// Grants are all the roles that the user has by this mechanism.
	Grants        []Grant
	Administrator bool
}

// IdentityName is the name of who is known to a mechanism by a subject among accounts.
func IdentityName(mechanism, subject string) string {
	return identityPrefix + mechanism + " " + subject
}

const identityPrefix = "identity "

// Unknown is the error about what proves nothing; it does not tell why.
func Unknown() error { return unknown(nil) }

func unknown(cause error) error {
	err := occi.E(occi.Unauthorized, "the login is not known, or its secret is another")
	err.Err = cause
	return err
}

// proven finds who presents something to a prover.
func (a *Authenticator) proven(ctx context.Context, key [32]byte, m *mechanism, p presented, project string, from netip.Prefix) (Caller, error) {
	now, epoch := a.now(), a.epoch.Load()
	a.mu.RLock()
	have := a.known[key]
	a.mu.RUnlock()
	next := &identity{epoch: epoch}
	if have != nil && now.Before(have.ends) && have.mapping == a.mapping.Load() {
		next.name, next.ends, next.mapping = have.name, have.ends, have.mapping
	} else if err := a.prove(ctx, m, p, from, now, next); err != nil {
		a.forget(key)
		return Caller{}, err
	}
	f, err := a.account(ctx, next.name)
	if err != nil {
		a.forget(key)
		if occi.ClassOf(err) == occi.NotFound {
			err = Unknown()
		}
		return Caller{}, err
	}
	if next.caller, err = a.caller(ctx, f, project); err != nil {
		return Caller{}, err
	}
	next.caller = a.judged(next.caller)
	if next.until = now.Add(checkEvery); next.ends.Before(next.until) {
		next.until = next.ends
	}
	if next.until.After(now) {
		a.keep(key, next)
	}
	return next.caller, nil
}

// prove has the prover tell whose a credential is, and the engine find the user.
func (a *Authenticator) prove(ctx context.Context, m *mechanism, p presented, from netip.Prefix, now time.Time, found *identity) error {
	try := &attempt{limits: &a.limits, from: from, account: p.name}
	if p.guessed {
		if err := try.begin(now); err != nil {
			return err
		}
	}
	proof, err := m.prover.Prove(ctx, Credential{Key: p.secret, Guessed: p.guessed, Account: p.name, Request: p.request})
	if err == nil || occi.ClassOf(err) != occi.Unauthorized {
		try.end()
	}
	if err != nil {
		return err
	}
	found.ends = proof.Until
	a.admitting.RLock()
	defer a.admitting.RUnlock()
	found.mapping = a.mapping.Load()
	found.name, err = a.admit(ctx, found.mapping.Admission(m.name, proof))
	if err != nil && occi.ClassOf(err) == occi.NotFound {
		return Unknown() // the user went meanwhile
	}
	return err
}

// Remap puts other rules in force. What was proven is looked at again.
func (a *Authenticator) Remap(m *Mapping) {
	// Roles that the old rules give are not given after those of the new ones.
	a.admitting.Lock()
	defer a.admitting.Unlock()
	a.mapping.Store(m)
	a.Changed()
}
