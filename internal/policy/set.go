package policy

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/cedar-policy/cedar-go"
	publicast "github.com/cedar-policy/cedar-go/ast"
	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
	"github.com/cedar-policy/cedar-go/x/exp/schema/validate"

	"github.com/occid/occid/occi"
)

//go:embed default.cedar
var defaults []byte

// Default are the policies that hold without an operator's.
func Default() []byte { return slices.Clone(defaults) }

// defaultName is where policies of the program are said to be from.
const defaultName = "default.cedar"

// Suffix is that of files of policies.
const Suffix = ".cedar"

// policy is one that is in force.
type policy struct {
	id     string
	permit bool
	ast    *ast.Policy
	// show tells that it names the action show.
	show bool
}

// Source is a text of policies, and where it is from.
type Source struct {
	Name string
	Text []byte
}

// Files reads the files of policies in a directory, by name.
func Files(dir string) ([]Source, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*"+Suffix))
	if err != nil {
		return nil, err
	}
	if _, err := os.ReadDir(dir); err != nil {
		return nil, err
	}
	var all []Source
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		all = append(all, Source{path, text})
	}
	return all, nil
}

// Policies are the policies in force. It is safe for concurrent use.
type Policies struct {
	// Version tells these policies from others.
	Version    string
	vocabulary *vocabulary
	list       []*policy
	groups     types.EntityMap // of actions

	mu     sync.RWMutex
	rights map[Principal]*Rights
}

// maxRights bounds for how many who ask the rights are kept.
const maxRights = 4096

// New makes policies of the program's own and of others, for what is in a registry. The
// error names everything that is wrong, with the file and the line of each.
func New(m *occi.Model, more ...Source) (*Policies, error) {
	p := &Policies{vocabulary: newVocabulary(m), groups: types.EntityMap{}, rights: map[Principal]*Rights{}}
	own, err := p.read(Source{defaultName, defaults})
	if err != nil {
		return nil, err
	}
	var given []*policy
	var wrong []error
	at := map[string]string{}
	for _, s := range more {
		list, err := p.read(s)
		if err != nil {
			wrong = append(wrong, err)
		}
		for _, o := range list {
			if first, taken := at[o.id]; taken {
				wrong = append(wrong, fmt.Errorf("%s: the policy %s is already at %s", place(o.ast), o.id, first))
			}
			at[o.id] = place(o.ast)
		}
		given = append(given, list...)
	}
	own = slices.DeleteFunc(own, func(o *policy) bool { return at[o.id] != "" })
	p.list = append(given, own...)
	text := sha256.New()
	for _, o := range p.list {
		fmt.Fprintf(text, "%s\n%s\n", o.id, cedar.NewPolicyFromAST((*publicast.Policy)(o.ast)).MarshalCedar())
	}
	p.Version = hex.EncodeToString(text.Sum(nil)[:8])
	schema, err := p.vocabulary.schema().Resolve()
	if err != nil {
		return nil, fmt.Errorf("the schema of the registry: %w", err)
	}
	for uid, a := range schema.Actions {
		p.groups[uid] = a.Entity
	}
	v := validate.New(schema)
	for _, o := range p.list {
		if err := v.Policy("", o.ast); err != nil {
			wrong = append(wrong, placed(o, err)...)
		} else if err := p.selectable(o); err != nil {
			wrong = append(wrong, placed(o, err)...)
		}
	}
	if len(wrong) > 0 {
		return nil, errors.Join(wrong...)
	}
	return p, nil
}

// place is where a policy begins.
func place(p *ast.Policy) string {
	return fmt.Sprintf("%s:%d", p.Position.Filename, p.Position.Line)
}

// placed tells of each line of an error where the policy is that it is about.
func placed(o *policy, err error) []error {
	lines := strings.Split(err.Error(), "\n")
	var all []error
	for _, line := range lines[:min(len(lines), mostWrong)] {
		all = append(all, fmt.Errorf("%s: policy %s: %s", place(o.ast), o.id, line))
	}
	if more := len(lines) - mostWrong; more > 0 {
		all = append(all, fmt.Errorf("%s: policy %s: and %d more", place(o.ast), o.id, more))
	}
	return all
}

// mostWrong is how much is said to be wrong with one policy.
const mostWrong = 4

// read reads a text of policies.
func (p *Policies) read(s Source) ([]*policy, error) {
	list, err := cedar.NewPolicyListFromBytes(s.Name, s.Text)
	if err != nil {
		_, text, found := strings.Cut(err.Error(), "<input>:")
		if !found {
			text = " " + err.Error()
		}
		return nil, fmt.Errorf("%s:%s", s.Name, text)
	}
	out := make([]*policy, len(list))
	for i, c := range list {
		o := &policy{permit: bool(c.Effect()), ast: (*ast.Policy)(c.AST())}
		if o.id = string(c.Annotations()["id"]); o.id == "" {
			o.id = filepath.Base(s.Name) + fmt.Sprintf(":%d", o.ast.Position.Line)
		}
		switch a := o.ast.Action.(type) {
		case ast.ScopeTypeEq:
			o.show = a.Entity == action(Show)
		case ast.ScopeTypeInSet:
			o.show = slices.Contains(a.Entities, action(Show))
		}
		out[i] = o
	}
	return out, nil
}

func action(name string) types.EntityUID { return types.NewEntityUID("Action", types.String(name)) }

// nobody stands for whoever asks when it is found out what can be asked of a store.
var nobody = Principal{ID: "00000000-0000-4000-8000-000000000000", Login: "nobody", Project: "00000000-0000-4000-8000-000000000000", Hosts: "none"}

// selectable refuses a policy that is about what things have that no store can select by,
// and one about showing an attribute that depends on more than who asks and what kind it
// is of: filters could tell what such an attribute is.
func (p *Policies) selectable(o *policy) error {
	if err := p.spelled(o); err != nil {
		return err
	}
	r := newRights(p, nobody)
	for _, k := range p.vocabulary.kinds {
		for _, name := range k.actions {
			if !p.covers(o.ast.Action, name) {
				continue
			}
			t := r.translation(k, name, "title")
			t.whole = true
			w, err := t.conditions(o.ast)
			var u unsayable
			switch {
			case errors.As(err, &u):
				return fmt.Errorf("the condition cannot be made a selection of the database: %w", err)
			case err != nil:
				return err
			case name == Show && o.show && w != nil && slices.ContainsFunc(o.ast.Conditions, func(c ast.ConditionType) bool { return about(c.Body) }):
				return errors.New("whether an attribute is shown can depend on who asks, the type of the resource and the attribute, not on what the resource has")
			}
		}
	}
	return nil
}

// spelled refuses a policy that compares the attribute it is about with what is none.
func (p *Policies) spelled(o *policy) error {
	var wrong error
	if uid, ok := scoped(o.ast.Principal); ok {
		wrong = role(uid)
	}
	known := func(n ast.IsNode) {
		v, _ := n.(ast.NodeValue)
		if text, ok := v.Value.(types.String); ok && !slices.ContainsFunc(p.vocabulary.kinds, func(k *kind) bool { return k.attributes[string(text)] != nil }) {
			wrong = fmt.Errorf("nothing has an attribute %q", string(text))
		}
	}
	check := func(a, b ast.IsNode) {
		if !isAttribute(a) {
			a, b = b, a
		}
		if !isAttribute(a) {
			return
		}
		known(b)
		if set, ok := b.(ast.NodeTypeSet); ok {
			for _, n := range set.Elements {
				known(n)
			}
		}
	}
	for _, c := range o.ast.Conditions {
		ast.Inspect(ast.NewNode(c.Body), func(n ast.IsNode) bool {
			switch x := n.(type) {
			case ast.NodeTypeEquals:
				check(x.Left, x.Right)
			case ast.NodeTypeNotEquals:
				check(x.Left, x.Right)
			case ast.NodeTypeContains:
				check(x.Left, x.Right)
			case ast.NodeValue:
				if uid, ok := x.Value.(types.EntityUID); ok && wrong == nil {
					wrong = role(uid)
				}
			}
			return true
		})
	}
	return wrong
}

// scoped gives the entity that a scope names, if it names one.
func scoped(s ast.IsScopeNode) (uid types.EntityUID, ok bool) {
	switch o := s.(type) {
	case ast.ScopeTypeEq:
		return o.Entity, true
	case ast.ScopeTypeIn:
		return o.Entity, true
	case ast.ScopeTypeIsIn:
		return o.Entity, true
	}
	return uid, false
}

// role refuses a role that nobody can have.
func role(uid types.EntityUID) error {
	if uid.Type == roleType && !slices.Contains(roles, uid.ID) {
		return fmt.Errorf("there is no role %q", string(uid.ID))
	}
	return nil
}

// isAttribute reports whether an expression is the name of the attribute asked about.
func isAttribute(n ast.IsNode) bool {
	a, ok := n.(ast.NodeTypeAccess)
	if !ok {
		return false
	}
	v, ok := a.Arg.(ast.NodeTypeVariable)
	return ok && v.Name == "context" && a.Value == "attribute"
}

// For gives the rights of somebody.
func (p *Policies) For(who Principal) *Rights {
	p.mu.RLock()
	r := p.rights[who]
	p.mu.RUnlock()
	if r != nil {
		return r
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if r = p.rights[who]; r != nil {
		return r
	}
	for k := range p.rights {
		if len(p.rights) < maxRights {
			break
		}
		delete(p.rights, k)
	}
	r = newRights(p, who)
	p.rights[who] = r
	return r
}
