package oidc

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"net/http"
	"net/url"
	"strings"

	standard "github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/occid/occid/internal/auth"
	"github.com/occid/occid/occi"
)

// Mechanism is the name of what Finish gives, among ways to log in.
func (p *Provider) Mechanism() string { return "oidc" }

// Begin begins the login of a browser, which is to come back to a URL of this server. It
// gives where the browser is to go, and what it keeps meanwhile for Finish: who does not
// have that cannot end the login.
func (p *Provider) Begin(ctx context.Context, back string) (to, kept string, err error) {
	o, err := p.flow(ctx, back)
	if err != nil {
		return "", "", err
	}
	state, nonce, verifier := rand.Text(), rand.Text(), oauth2.GenerateVerifier()
	to = o.AuthCodeURL(state, standard.Nonce(nonce), oauth2.S256ChallengeOption(verifier))
	return to, strings.Join([]string{state, nonce, verifier}, "."), nil
}

// Finish ends the login of a browser that came back with a query, and gives what it
// presents by that. The error is Unauthorized if the login failed, or is another's.
func (p *Provider) Finish(ctx context.Context, back, kept string, q url.Values) (auth.Credential, error) {
	parts := strings.Split(kept, ".")
	if len(parts) != 3 || len(q["state"]) != 1 || subtle.ConstantTimeCompare([]byte(parts[0]), []byte(q.Get("state"))) != 1 {
		return auth.Credential{}, occi.E(occi.Unauthorized, "this browser has begun no login that ends like this; begin again")
	}
	if is := q["iss"]; len(is) > 0 && (len(is) > 1 || is[0] != p.config.Issuer) { // RFC 9207
		return auth.Credential{}, occi.E(occi.Unauthorized, "the login ends with another provider than it began with")
	}
	if what := q.Get("error"); what != "" {
		return auth.Credential{}, occi.E(occi.Unauthorized, "the provider refused the login: %.80q", what)
	}
	if len(q["code"]) != 1 {
		return auth.Credential{}, occi.E(occi.Unauthorized, "the login ends without a code")
	}
	o, err := p.flow(ctx, back)
	if err != nil {
		return auth.Credential{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	token, err := o.Exchange(context.WithValue(ctx, oauth2.HTTPClient, p.client), q.Get("code"), oauth2.VerifierOption(parts[2]))
	if err != nil {
		var refused *oauth2.RetrieveError
		if errors.As(err, &refused) && refused.Response.StatusCode < http.StatusInternalServerError && refused.Response.StatusCode != http.StatusTooManyRequests {
			p.config.Logger.Warn("the provider did not take a login's code", "issuer", p.config.Issuer, "status", refused.Response.StatusCode, "code", refused.ErrorCode)
			return auth.Credential{}, occi.E(occi.Unauthorized, "the provider did not take the login's code; begin again")
		}
		return auth.Credential{}, p.unavailable(errors.New("its token endpoint failed")) // what it wrote may hold secrets
	}
	raw, _ := token.Extra("id_token").(string)
	t, _, err := p.verify(ctx, raw, []string{p.config.Client})
	if err != nil {
		return auth.Credential{}, err
	}
	if subtle.ConstantTimeCompare([]byte(t.Nonce), []byte(parts[1])) != 1 {
		return auth.Credential{}, occi.E(occi.Unauthorized, "the token is of another login; begin again")
	}
	return auth.Credential{Key: fromBrowser + raw}, nil
}

// flow is the authorization code flow with the provider.
func (p *Provider) flow(ctx context.Context, back string) (*oauth2.Config, error) {
	found, err := p.provider(ctx)
	if err != nil {
		return nil, err
	}
	return &oauth2.Config{ClientID: p.config.Client, ClientSecret: p.config.Secret, Endpoint: found.Endpoint(), RedirectURL: back,
		Scopes: append([]string{standard.ScopeOpenID}, p.config.Scopes...)}, nil
}
