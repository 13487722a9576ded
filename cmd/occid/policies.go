package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/alecthomas/kong"

	"github.com/occid/occid/internal/auth"
	"github.com/occid/occid/internal/policy"
	"github.com/occid/occid/occi"
	"github.com/occid/occid/spec"
)

// operatorPolicies reads the policies of a directory, none without one.
func operatorPolicies(dir string) ([]policy.Source, error) {
	if dir == "" {
		return nil, nil
	}
	return policy.Files(dir)
}

// openPolicies puts the policies in force that the options name.
func (s *service) openPolicies() error {
	sources, err := operatorPolicies(s.options.Policies)
	if err != nil {
		return fmt.Errorf("--policies: %w", err)
	}
	if s.policies, err = auth.NewPolicies(s.registry.model(), sources...); err != nil {
		return fmt.Errorf("--policies: %w", err)
	}
	return nil
}

// reloadPolicies reads the policies again, for the registry in force, and tells the log
// what came of it. If one of them is wrong, those that were before stay.
func (s *service) reloadPolicies(log *slog.Logger) {
	sources, err := operatorPolicies(s.options.Policies)
	if err == nil {
		err = s.policies.Replace(s.registry.model(), sources...)
	}
	if err != nil {
		log.Error("the policies stay as they were", "error", err)
		return
	}
	s.judged()
	log.Info("the policies were loaded", "files", len(sources))
}

// policyCommand is the word that has the program show or check policies.
const policyCommand = "policies"

// policyOptions are those of occid policies.
type policyOptions struct {
	Schema  policySchema  `cmd:"" help:"Print what policies can speak of, as a schema of Cedar."`
	Default policyDefault `cmd:"" help:"Print the policies that hold without others."`
	Check   policyCheck   `cmd:"" help:"Check the policies of a directory."`
}

// ofRegistry is what the commands know of the registry.
type ofRegistry struct {
	Spec string `env:"OCCID_SPEC" placeholder:"DIR" help:"Directory of further registry files."`
}

func (o ofRegistry) model() (*occi.Model, error) { return spec.Load(o.Spec) }

type policySchema struct{ ofRegistry }

// Run prints the schema.
func (c *policySchema) Run(out io.Writer) error {
	m, err := c.model()
	if err != nil {
		return err
	}
	text, err := policy.Schema(m)
	if err != nil {
		return err
	}
	_, err = out.Write(text)
	return err
}

type policyDefault struct{}

// Run prints the policies.
func (*policyDefault) Run(out io.Writer) error {
	_, err := out.Write(policy.Default())
	return err
}

type policyCheck struct {
	ofRegistry
	Dir string `arg:"" help:"Directory of files that end in .cedar."`
}

// Run checks the policies.
func (c *policyCheck) Run(out io.Writer) error {
	m, err := c.model()
	if err != nil {
		return err
	}
	sources, err := policy.Files(c.Dir)
	if err != nil {
		return err
	}
	if _, err := policy.New(m, sources...); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "the policies of %d files are good\n", len(sources))
	return err
}

// policies runs occid policies, if that is what the arguments are.
func policies(args []string) (ran bool, err error) {
	if len(args) == 0 || args[0] != policyCommand {
		return false, nil
	}
	return true, runPolicies(args[1:], os.Stdout)
}

func runPolicies(args []string, out io.Writer) error {
	k, err := kong.New(&policyOptions{}, kong.Name("occid "+policyCommand), kong.BindTo(out, (*io.Writer)(nil)),
		kong.Description("Show what policies can say and what they say without an operator's, or check an operator's."))
	if err != nil {
		return err
	}
	c, err := k.Parse(args)
	if err != nil {
		return err
	}
	return c.Run()
}
