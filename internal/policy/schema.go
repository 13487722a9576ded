package policy

import (
	"slices"

	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/schema"
	"github.com/cedar-policy/cedar-go/x/exp/schema/ast"

	"github.com/occid/occid/occi"
)

// Schema is what policies can speak of in a registry, as Cedar writes schemas.
func Schema(m *occi.Model) ([]byte, error) { return newVocabulary(m).schema().MarshalCedar() }

// roles are those that somebody can have.
var roles = []types.String{"administrator", "manager", "member", "reader", "recovery", "auditor"}

// schema makes the schema of a vocabulary.
func (v *vocabulary) schema() *schema.Schema {
	s := &ast.Schema{Entities: ast.Entities{}, Enums: ast.Enums{}, Actions: ast.Actions{}}
	s.Enums[roleType] = ast.Enum{Values: roles}
	s.Entities[callerType] = ast.Entity{ParentTypes: []ast.EntityTypeRef{roleType}, Shape: ast.RecordType{
		"id": {Type: ast.String()}, "login": {Type: ast.String()}, "project": {Type: ast.String()},
		"hosts": {Type: ast.Set(ast.String())}, "token": {Type: ast.Bool()}}}
	for _, k := range v.kinds {
		s.Entities[ast.Ident(k.name)] = ast.Entity{Shape: k.shape()}
	}
	s.Actions[Act] = ast.Action{}
	for _, a := range slices.Concat(fixed, v.acts) {
		if a == Act {
			continue
		}
		action := ast.Action{AppliesTo: &ast.AppliesTo{Principals: []ast.EntityTypeRef{callerType}, Context: ast.RecordType{}}}
		if a == Show || a == Set {
			action.AppliesTo.Context = ast.RecordType{"attribute": {Type: ast.String()}}
		}
		if a == Cancel || slices.Contains(v.acts, a) {
			action.Parents = []ast.ParentRef{ast.ParentRefFromID(Act)}
		}
		for _, k := range v.kinds {
			if slices.Contains(k.actions, a) {
				action.AppliesTo.Resources = append(action.AppliesTo.Resources, ast.EntityTypeRef(k.name))
			}
		}
		s.Actions[types.String(a)] = action
	}
	return schema.NewSchemaFromAST(s)
}

func (k *kind) shape() ast.RecordType {
	r := ast.RecordType{commonProject: {Type: ast.String()}, commonShared: {Type: ast.Bool()}, commonTenant: {Type: ast.Bool()}}
	if k.bare {
		return r
	}
	r[commonHost] = ast.Attribute{Type: ast.String()}
	r[commonMixins] = ast.Attribute{Type: ast.Set(ast.String())}
	if k.link {
		r[commonSource] = ast.Attribute{Type: ast.String(), Optional: true}
		r[commonTarget] = ast.Attribute{Type: ast.String(), Optional: true}
	}
	if k.user {
		r[memberOf] = ast.Attribute{Type: ast.Set(ast.String())}
	}
	for name, a := range k.attributes {
		if t := typeOf(a); t != nil {
			r[types.String(name)] = ast.Attribute{Type: t, Optional: true}
		}
	}
	return r
}

// typeOf is the type that policies have for an attribute; nil if they cannot compare it.
func typeOf(a *occi.Attribute) ast.IsType {
	if a.Secret {
		return nil
	}
	switch a.Type {
	case occi.String:
		return ast.String()
	case occi.Integer:
		return ast.Long()
	case occi.Number:
		return ast.Decimal()
	case occi.Boolean:
		return ast.Bool()
	}
	return nil
}
