package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/occid/occid/internal/auth"
	"github.com/occid/occid/internal/engine"
	"github.com/occid/occid/store"
)

// firstAdministrator is the login of the user that is made when there is none.
const firstAdministrator = "admin"

// authenticator makes what finds out who asks, nil with --dev.
func (s *service) authenticator(st *store.Store) (*auth.Authenticator, error) {
	if s.options.Dev {
		return nil, nil
	}
	provers, err := s.provers()
	if err != nil {
		return nil, err
	}
	mapping, err := s.mapping()
	if err != nil {
		return nil, err
	}
	a, err := auth.New(auth.Config{Mechanisms: s.options.Auth, Accounts: st, Model: s.registry.model, Policies: s.policies, Provers: provers, Mapping: mapping, Admit: s.admitted})
	if err != nil {
		return nil, fmt.Errorf("--auth: %w", err)
	}
	s.login = a
	return a, nil
}

// admit makes an administrator if there is no user yet, so that somebody can log in. The
// secret is that of a file, or is told to people this once.
func (s *service) admit(ctx context.Context, eng *engine.Engine, people io.Writer) error {
	if s.options.Dev {
		return nil
	}
	secret, given := auth.NewSecret(), false
	if file := s.options.AdminSecretFile; file != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("--admin-secret-file: %w", err)
		}
		if secret, given = strings.TrimRight(string(text), "\r\n"), true; secret == "" {
			return errors.New("--admin-secret-file: the file is empty")
		}
	}
	made, err := eng.FirstAdministrator(ctx, firstAdministrator, secret)
	if err != nil {
		return fmt.Errorf("make the first administrator: %w", err)
	}
	if made && !given {
		fmt.Fprintf(people, "The first administrator is %s, with the secret %s. It is not shown again.\n", firstAdministrator, secret)
	}
	return nil
}
