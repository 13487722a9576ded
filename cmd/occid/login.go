package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/occid/occid/internal/auth"
	"github.com/occid/occid/internal/clientcert"
	"github.com/occid/occid/internal/delegate"
	"github.com/occid/occid/internal/oidc"
)

// loginOptions say whom the server believes about who people are, beside its own store.
type loginOptions struct {
	Rules string `name:"auth-rules" env:"OCCID_AUTH_RULES" placeholder:"FILE" help:"Rules, in YAML, by which those whom other ways to log in know are users here, of projects, with roles."`

	Issuer     string   `name:"oidc-issuer" env:"OCCID_OIDC_ISSUER" placeholder:"URL" help:"Provider of OpenID Connect whose users log in by oidc."`
	Client     string   `name:"oidc-client" env:"OCCID_OIDC_CLIENT" placeholder:"ID" help:"What it knows this server by."`
	SecretFile string   `name:"oidc-secret-file" env:"OCCID_OIDC_SECRET_FILE" placeholder:"FILE" help:"File with the secret of that client; without it the client is a public one."`
	Audiences  []string `name:"oidc-audience" sep:"," env:"OCCID_OIDC_AUDIENCE" placeholder:"NAME" help:"Audiences whose tokens are taken (default: that of --oidc-client)."`
	Algorithms []string `name:"oidc-algorithms" sep:"," default:"RS256,PS256,ES256,EdDSA" env:"OCCID_OIDC_ALGORITHMS" placeholder:"ALG" help:"Algorithms by which tokens may be signed."`
	Scopes     []string `name:"oidc-scopes" sep:"," default:"profile,email" env:"OCCID_OIDC_SCOPES" placeholder:"SCOPE" help:"What is asked for beside openid when browsers log in."`
	LoginClaim string   `name:"oidc-login-claim" default:"preferred_username" env:"OCCID_OIDC_LOGIN_CLAIM" placeholder:"CLAIM" help:"Claim that the login of a user is made of."`
	Callback   string   `name:"oidc-callback" env:"OCCID_OIDC_CALLBACK" placeholder:"URL" help:"Where browsers come back to (default: /login/callback where they have asked)."`
	ProviderCA string   `name:"oidc-ca" env:"OCCID_OIDC_CA" placeholder:"FILE" help:"Certificates to trust beside the system's where the provider is asked."`

	ClientCA  string `name:"client-ca" env:"OCCID_CLIENT_CA" placeholder:"FILE" help:"Authorities of certificates that clients log in with over TLS, for cert, PEM."`
	ClientCRL string `name:"client-crl" env:"OCCID_CLIENT_CRL" placeholder:"FILE" help:"Lists of what they have revoked, PEM."`
	VOMSDir   string `name:"voms-dir" env:"OCCID_VOMS_DIR" placeholder:"DIR" help:"Directory of VOMS servers that are believed, as VO/HOST.lsc; with it proxies of certificates are taken, too."`

	Program        string        `name:"auth-program" env:"OCCID_AUTH_PROGRAM" placeholder:"PATH" help:"Program that tells whose a login is, for external."`
	ProgramSchemes []string      `name:"auth-program-schemes" sep:"," env:"OCCID_AUTH_PROGRAM_SCHEMES" placeholder:"SCHEME" help:"Schemes of Authorization that it is asked about, such as Negotiate."`
	ProgramTime    time.Duration `name:"auth-program-time" default:"5s" env:"OCCID_AUTH_PROGRAM_TIME" placeholder:"TIME" help:"How long it may take."`
	ProgramMost    int           `name:"auth-program-most" default:"8" env:"OCCID_AUTH_PROGRAM_MOST" placeholder:"N" help:"How many of it may run at once."`
}

// check refuses what does not go together.
func (o *loginOptions) check() error {
	switch {
	case o.Issuer == "" && (o.Client != "" || o.SecretFile != "" || len(o.Audiences) > 0 || o.Callback != "" || o.ProviderCA != ""):
		return errors.New("--oidc-issuer is missing, which the other options of OpenID Connect are for")
	case o.Callback != "" && !strings.HasPrefix(o.Callback, "https://") && !strings.HasPrefix(o.Callback, "http://"):
		return fmt.Errorf("--oidc-callback: %q is no URL", o.Callback)
	case o.ClientCA == "" && (o.ClientCRL != "" || o.VOMSDir != ""):
		return errors.New("--client-crl and --voms-dir are for --client-ca, which is missing")
	case o.Program == "" && len(o.ProgramSchemes) > 0:
		return errors.New("--auth-program-schemes is for --auth-program, which is missing")
	case o.ProgramTime < 10*time.Millisecond || o.ProgramTime > time.Minute:
		return fmt.Errorf("--auth-program-time: %s is not between 10ms and 1m", o.ProgramTime)
	case o.ProgramMost < 1 || o.ProgramMost > 256:
		return fmt.Errorf("--auth-program-most: %d is not between 1 and 256", o.ProgramMost)
	}
	return nil
}

// provers makes what is asked about who people are, by the names of their mechanisms.
func (s *service) provers() (map[string]auth.Prover, error) {
	o, all := &s.options.Login, map[string]auth.Prover{}
	if o.Issuer != "" {
		secret := ""
		if o.SecretFile != "" {
			text, err := os.ReadFile(o.SecretFile)
			if err != nil {
				return nil, fmt.Errorf("--oidc-secret-file: %w", err)
			}
			if secret = strings.TrimRight(string(text), "\r\n"); secret == "" {
				return nil, errors.New("--oidc-secret-file: the file is empty")
			}
		}
		p, err := oidc.New(oidc.Config{Issuer: o.Issuer, Client: o.Client, Secret: secret, Audiences: o.Audiences, Algorithms: o.Algorithms, Scopes: o.Scopes,
			Login: o.LoginClaim, CA: o.ProviderCA, Logger: s.log})
		if err != nil {
			return nil, fmt.Errorf("--oidc-issuer: %w", err)
		}
		all["oidc"], s.browser = p, p
	}
	if o.ClientCA != "" {
		if !s.options.Web.secure() {
			return nil, errors.New("--client-ca is for a server that speaks TLS itself, as with --tls-cert")
		}
		a, err := clientcert.Open(clientcert.Config{CA: o.ClientCA, CRL: o.ClientCRL, VOMS: o.VOMSDir, Logger: s.log})
		if err != nil {
			return nil, fmt.Errorf("--client-ca: %w", err)
		}
		all["cert"], s.clients = a, a
	}
	if o.Program != "" {
		p, err := delegate.New(delegate.Config{Path: o.Program, Schemes: o.ProgramSchemes, Time: o.ProgramTime, Most: o.ProgramMost, Logger: s.log})
		if err != nil {
			return nil, fmt.Errorf("--auth-program: %w", err)
		}
		all["external"] = p
	}
	return all, nil
}

// mapping reads the rules, none without a file.
func (s *service) mapping() (*auth.Mapping, error) {
	if s.options.Login.Rules == "" {
		return nil, nil
	}
	m, err := auth.ReadMapping(s.options.Login.Rules)
	if err != nil {
		return nil, fmt.Errorf("--auth-rules: %w", err)
	}
	return m, nil
}

// remap reads the rules again. If they are no good, those from before stay.
func (s *service) remap() {
	if s.login == nil || s.options.Login.Rules == "" {
		return
	}
	m, err := s.mapping()
	if err != nil {
		s.log.Error("the rules of logins stay as they were", "error", err)
		return
	}
	s.login.Remap(m)
}

// admitted has the engine find who somebody is here.
func (s *service) admitted(ctx context.Context, a auth.Admission) (string, error) {
	return s.engine.Admit(ctx, a)
}
