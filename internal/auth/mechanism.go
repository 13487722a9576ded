package auth

import (
	"context"
	"encoding/base64"
	"net/http"
	"strings"
)

// presented is what a request gives to be recognised by.
type presented struct {
	name   string // of the account that it is about, as accounts are named
	secret string // to be compared with the account's hash; empty where the name is the proof
	// guessed and request are those of a Credential.
	guessed bool
	request string
}

// mechanism is a way to log in.
type mechanism struct {
	name string
	// challenges are what WWW-Authenticate says of it.
	challenges []string
	// read finds what a request presents; ok is false if nothing of the kind.
	read func(*http.Request, From) (p presented, ok bool)
	// verify compares it with an account, which is nil if there is none; that must take
	// as long.
	verify func(ctx context.Context, p presented, f *account) (bool, error)
	// prover, if set, does all that in place of them.
	prover Prover
}

// provers are the mechanisms whose proof others give.
var provers = []string{"oidc", "cert", "external"}

// proved is the mechanism of a prover.
func proved(name string, by Prover) *mechanism {
	return &mechanism{name: name, challenges: by.Challenges(), prover: by, read: func(r *http.Request, from From) (presented, bool) {
		c, ok := by.Read(r, from)
		return presented{name: c.Account, secret: c.Key, guessed: c.Guessed, request: c.Request}, ok
	}}
}

// mechanisms are those that an operator can switch on, beside those of provers.
var mechanisms = map[string]*mechanism{
	"basic":   {name: "basic", challenges: []string{`Basic realm="occid", charset="UTF-8"`}, read: readBasic, verify: verifySecret},
	"token":   {name: "token", challenges: []string{`Bearer realm="occid"`}, read: readToken, verify: verifyToken},
	"session": {name: "session", challenges: []string{`Cookie realm="occid", form-action="/session/", cookie-name="` + cookieName + `"`}, read: readSession, verify: verifyToken},
}

// readBasic reads RFC 7617's field.
func readBasic(r *http.Request, _ From) (presented, bool) {
	text, ok := scheme(r.Header, "Basic")
	if !ok {
		return presented{}, false
	}
	b, err := base64.StdEncoding.DecodeString(text)
	login, secret, cut := strings.Cut(string(b), ":")
	if err != nil || !cut {
		// It is no account's, and refused as such.
		return presented{name: UserName("")}, true
	}
	return presented{name: UserName(login), secret: secret}, true
}

func verifySecret(ctx context.Context, p presented, f *account) (bool, error) {
	hash := ""
	if f != nil && f.token == nil {
		hash = f.secret.Hash
	}
	return matches(ctx, p.secret, hash)
}

// readToken reads RFC 6750's field, or the older X-Auth-Token. There is no dot in a token
// of the server's own.
func readToken(r *http.Request, _ From) (presented, bool) {
	if text, ok := scheme(r.Header, "Bearer"); ok && !strings.Contains(text, ".") {
		return presented{name: TokenName(text)}, true
	}
	if f := r.Header["X-Auth-Token"]; len(f) > 0 {
		return presented{name: TokenName(strings.TrimSpace(f[0]))}, true
	}
	return presented{}, false
}

// verifyToken: who knows what the name is a hash of has proven it.
func verifyToken(_ context.Context, _ presented, f *account) (bool, error) {
	return f != nil && f.token != nil, nil
}

// scheme gives what follows the name of a scheme in Authorization.
func scheme(h http.Header, name string) (string, bool) {
	for _, f := range h["Authorization"] {
		if given, rest, _ := strings.Cut(f, " "); strings.EqualFold(given, name) {
			return strings.TrimSpace(rest), true
		}
	}
	return "", false
}
