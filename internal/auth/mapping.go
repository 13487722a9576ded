package auth

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Mapping tells what others' users are here. The zero Mapping, and nil, give them nothing.
type Mapping struct{ rules []rule }

// rule is one as the file has it.
type rule struct {
	Mechanism     string            `yaml:"mechanism"`
	When          map[string]string `yaml:"when"`
	Login         string            `yaml:"login"`
	Make          bool              `yaml:"make"`
	Join          bool              `yaml:"join"`
	Administrator bool              `yaml:"administrator"`
	Project       string            `yaml:"project"`
	Role          string            `yaml:"role"`

	conditions []condition
}

type condition struct {
	attribute string
	pattern   *regexp.Regexp
}

// maxMatches bounds in how many ways one rule may apply to one proof.
const maxMatches = 256

// ReadMapping reads a file of rules, in YAML.
func ReadMapping(path string) (*Mapping, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	m := &Mapping{}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(&m.rules); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	for i := range m.rules {
		if err := m.rules[i].compile(); err != nil {
			return nil, fmt.Errorf("%s: rule %d: %w", path, i+1, err)
		}
	}
	return m, nil
}

func (r *rule) compile() error {
	if r.Mechanism != "" && !slices.Contains(provers, r.Mechanism) {
		return fmt.Errorf("there is no mechanism %q; there are %s", r.Mechanism, strings.Join(provers, ", "))
	}
	names := map[string]bool{}
	for attribute, text := range r.When {
		p, err := regexp.Compile(`^(?:` + text + `)$`)
		if err != nil {
			return fmt.Errorf("when %s: %w", attribute, err)
		}
		for _, name := range p.SubexpNames() {
			if name != "" && names[name] {
				return fmt.Errorf("when: two groups have the name %s", name)
			}
			names[name] = true
		}
		r.conditions = append(r.conditions, condition{attribute, p})
	}
	slices.SortFunc(r.conditions, func(a, b condition) int { return strings.Compare(a.attribute, b.attribute) })
	if r.Project != "" && r.Role == "" {
		r.Role = "member"
	}
	switch role := RoleNamed(r.Role); {
	case (r.Project == "") != (r.Role == ""):
		return errors.New("a role needs a project")
	case r.Role != "" && !strings.Contains(r.Role, "$") && (role == 0 || role == Administrator):
		return fmt.Errorf("there is no role %q in a project", r.Role)
	case (r.Administrator || r.Project != "" || r.Join) && len(r.conditions) == 0:
		return errors.New("what it gives needs a condition")
	case r.Login == "" && r.Project == "" && !r.Make && !r.Join && !r.Administrator:
		return errors.New("it gives nothing")
	}
	for _, text := range []string{r.Login, r.Project, r.Role} {
		for _, g := range groupNames.FindAllStringSubmatch(text, -1) {
			if !names[g[1]] {
				return fmt.Errorf("%q: no condition has a group %s", text, g[1])
			}
		}
	}
	return nil
}

var groupNames = regexp.MustCompile(`\$\{([^}]*)\}`)

// groups are what the named groups of a rule's conditions have matched.
type groups map[string]string

func (g groups) fill(text string) string {
	return groupNames.ReplaceAllStringFunc(text, func(s string) string { return g[s[2:len(s)-1]] })
}

// matches gives each way in which all conditions hold.
func (r *rule) matches(attributes map[string][]string) []groups {
	all := []groups{{}}
	for _, c := range r.conditions {
		var next []groups
		for _, value := range attributes[c.attribute] {
			m := c.pattern.FindStringSubmatch(value)
			if m == nil {
				continue
			}
			for _, g := range all {
				if len(next) == maxMatches {
					break
				}
				with := groups{}
				for k, v := range g {
					with[k] = v
				}
				for i, name := range c.pattern.SubexpNames() {
					if name != "" {
						with[name] = m[i]
					}
				}
				next = append(next, with)
			}
		}
		all = next
	}
	return all
}

// Admission tells what a proof is here.
func (m *Mapping) Admission(mechanism string, p *Proof) Admission {
	a := Admission{Mechanism: mechanism, Subjects: p.Subjects, Login: p.Login, Title: p.Title, Administrator: p.Administrator}
	add := func(g Grant) {
		if role := RoleNamed(g.Role); role != 0 && role != Administrator && g.Project != "" && !slices.Contains(a.Grants, g) {
			a.Grants = append(a.Grants, g)
		}
	}
	for _, g := range p.Grants {
		add(g)
	}
	if m == nil {
		return a
	}
	named := false
	for i := range m.rules {
		r := &m.rules[i]
		if r.Mechanism != "" && r.Mechanism != mechanism {
			continue
		}
		for _, g := range r.matches(p.Attributes) {
			a.Make, a.Join = a.Make || r.Make, a.Join || r.Join
			a.Administrator = a.Administrator || r.Administrator
			if r.Login != "" && !named {
				a.Login, named = g.fill(r.Login), true
			}
			add(Grant{g.fill(r.Project), g.fill(r.Role)})
		}
	}
	return a
}
