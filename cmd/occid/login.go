package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/occid/occid/internal/auth"
	"github.com/occid/occid/internal/delegate"
)

// loginOptions say whom the server believes about who people are, beside its own store.
type loginOptions struct {
	Rules string `name:"auth-rules" env:"OCCID_AUTH_RULES" placeholder:"FILE" help:"Rules, in YAML, by which those whom other ways to log in know are users here, of projects, with roles."`

	Program        string        `name:"auth-program" env:"OCCID_AUTH_PROGRAM" placeholder:"PATH" help:"Program that tells whose a login is, for external."`
	ProgramSchemes []string      `name:"auth-program-schemes" sep:"," env:"OCCID_AUTH_PROGRAM_SCHEMES" placeholder:"SCHEME" help:"Schemes of Authorization that it is asked about, such as Negotiate."`
	ProgramTime    time.Duration `name:"auth-program-time" default:"5s" env:"OCCID_AUTH_PROGRAM_TIME" placeholder:"TIME" help:"How long it may take."`
	ProgramMost    int           `name:"auth-program-most" default:"8" env:"OCCID_AUTH_PROGRAM_MOST" placeholder:"N" help:"How many of it may run at once."`
}

// check refuses what does not go together.
func (o *loginOptions) check() error {
	switch {
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

// admitted has the engine find who somebody is here.
func (s *service) admitted(ctx context.Context, a auth.Admission) (string, error) {
	return s.engine.Admit(ctx, a)
}
