package main

import (
	"fmt"
	"strings"

	"github.com/occid/occid/internal/engine"
	"github.com/occid/occid/occi"
)

// quotaOptions are what new projects and users may use.
type quotaOptions struct {
	ProjectQuota []string `sep:"," env:"OCCID_PROJECT_QUOTA" placeholder:"WHAT=MOST" help:"What a new project may use, as computes=10,cores=20,memory=64GiB,storage=500GiB,addresses=20,images=5,requests=50; any amount of what is not named."`
	UserQuota    []string `sep:"," env:"OCCID_USER_QUOTA" placeholder:"WHAT=MOST" help:"What a new user may use in all projects together, likewise."`
}

// read gives both by what they bound.
func (o *quotaOptions) read(m *occi.Model) (project, user engine.Allowance, err error) {
	if project, err = allowance(m, "--project-quota", o.ProjectQuota); err != nil {
		return nil, nil, err
	}
	user, err = allowance(m, "--user-quota", o.UserQuota)
	return project, user, err
}

func allowance(m *occi.Model, option string, list []string) (engine.Allowance, error) {
	a := engine.Allowance{}
	for _, item := range list {
		what, most, ok := strings.Cut(item, "=")
		if _, twice := a[what]; !ok || twice {
			return nil, fmt.Errorf("%s: %q is not as cores=20, or is there twice", option, item)
		}
		a[what] = most
	}
	if err := a.Check(m); err != nil {
		return nil, fmt.Errorf("%s: %w", option, err)
	}
	return a, nil
}
