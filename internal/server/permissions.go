package server

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/occid/occid/internal/auth"
	"github.com/occid/occid/internal/policy"
	"github.com/occid/occid/occi"
	"github.com/occid/occid/render"
)

// permissionFormats are what permissions can be had as, by default the first.
var permissionFormats = []*render.Format{render.Formats()[0], render.Named("application/json")}

// permissions is what a caller is told of itself, and of an entity or of what it may make.
type permissions struct {
	User    string   `json:"user,omitempty"`
	Project string   `json:"project,omitempty"`
	Roles   []string `json:"roles"`
	Entity  string   `json:"entity,omitempty"`
	// Permitted are verbs, and actions as ?action=TERM; without an entity, "create" and
	// the location of a kind.
	Permitted []string `json:"permitted"`
}

// getPermissions tells what the caller may do with an entity, or make.
func (c *call) getPermissions() error {
	if err := c.params.only("entity"); err != nil {
		return err
	}
	named, given, err := c.params.single("entity")
	if err != nil {
		return err
	}
	p := permissions{User: c.caller.Login, Project: c.caller.Project, Roles: []string{"administrator"}, Permitted: []string{}}
	if !c.caller.Operates() {
		p.Roles = strings.Split(c.caller.Roles.String(), ",")
	}
	if given {
		err = c.permittedOn(&p, named)
	} else {
		c.permittedToMake(&p)
	}
	if err != nil {
		return err
	}
	f := c.to.suffix
	if f == nil {
		if f, err = render.Accept(c.r.Header["Accept"], permissionFormats); err != nil {
			return err
		}
	}
	c.rec.Header()["Cache-Control"] = []string{"no-store"}
	switch f {
	case permissionFormats[1]:
		text, err := json.Marshal(p)
		if err != nil {
			return err
		}
		c.send(http.StatusOK, f, append(text, '\n'))
	case permissionFormats[0]:
		c.send(http.StatusOK, f, []byte(strings.Join(append(p.Permitted, ""), "\n")))
	default:
		return nothingAt(c.r.URL.Path)
	}
	return nil
}

// verbs that permissions name beside actions, in order.
var verbNames = []string{policy.Read, policy.Update, policy.Delete}

func (c *call) permittedOn(p *permissions, named string) error {
	ref := c.reg.model.ParseRef(named)
	e, err := c.s.engine.Get(c.r.Context(), c.caller, ref.ID)
	if err != nil {
		return err
	}
	p.Entity = c.base() + c.reg.model.Path(e)
	for _, v := range verbNames {
		if c.caller.May(e, v) == auth.Allowed {
			p.Permitted = append(p.Permitted, v)
		}
	}
	if k := c.reg.model.Kind(e.Kind); c.caller.May(e, policy.Share) == auth.Allowed && c.sharable(k) {
		p.Permitted = append(p.Permitted, policy.Share)
	}
	for _, a := range c.reg.model.Possible(e) {
		if c.caller.May(e, c.caller.Action(a.Term)) == auth.Allowed {
			p.Permitted = append(p.Permitted, "?action="+a.Term)
		}
	}
	return nil
}

// sharable reports whether what is of a kind can be shared with all projects.
func (c *call) sharable(k *occi.Kind) bool {
	x := c.reg.model.Mixin(occi.SharedMixin)
	return x != nil && k != nil && slices.ContainsFunc(x.Applies, func(id string) bool { return c.reg.model.IsA(k, id) })
}

func (c *call) permittedToMake(p *permissions) {
	for _, k := range c.reg.model.Kinds {
		if !k.Abstract && k.ID() != occi.TaskKind && k.ID() != occi.TaskLinkKind && k.ID() != occi.AuditKind && k.ID() != occi.QuotaKind && k.Host != hostHost && k.Host != strayHost && c.caller.Could(k.ID(), policy.Create) {
			p.Permitted = append(p.Permitted, "create "+k.Location)
		}
	}
}

// offers tells which actions are shown of an entity: those that the caller may invoke.
// It is nil where that is all.
func (c *call) offers() func(*occi.Entity, string) bool {
	if c.caller.Free() {
		return nil
	}
	return func(e *occi.Entity, term string) bool {
		return c.caller.May(e, c.caller.Action(term)) == auth.Allowed
	}
}
