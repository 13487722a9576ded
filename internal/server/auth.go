package server

import (
	"net/http"
	"slices"
	"strings"

	"github.com/occid/occid/internal/auth"
	"github.com/occid/occid/internal/engine"
	"github.com/occid/occid/internal/policy"
	"github.com/occid/occid/occi"
)

// exchangePath is where a login is exchanged for a token, as older clouds do.
const exchangePath = "/v1.0"

// authenticated finds out who makes the request, unless the route is for everybody or
// the server for anybody. What it refuses is answered in the format asked for.
func (c *call) authenticated(open bool) error {
	if c.s.auth == nil || open {
		return nil
	}
	var err error
	if c.caller, err = c.s.auth.Authenticate(c.r, c.from()); err != nil {
		path := c.r.URL.Path
		_, c.to.suffix = cutSuffix(path[strings.LastIndexByte(path, '/')+1:])
		return err
	}
	c.caller.Note = &c.note
	return c.throttled()
}

// throttled refuses what comes faster than the quotas of the caller and of its project allow.
func (c *call) throttled() error {
	rate, err := c.s.auth.Take(c.r.Context(), c.caller)
	if rate != nil {
		rate.Show(c.rec.Header())
	}
	return err
}

// permitted refuses what policies can permit on nothing that the route may be about, and
// writes to an entity that may not be written to or seen. What is read is selected by what
// may be read.
func (c *call) permitted() error {
	need, ok := auth.NeedOf(c.to.verbs.name, c.r.Method)
	if err := c.sessions(); err != nil {
		return err
	}
	switch {
	case !ok:
		return occi.E(occi.Forbidden, "%s at %s is for nobody", c.r.Method, c.to.path)
	case need.Open || c.caller.Freely() || need.Reads():
		return nil
	}
	do := need.Do
	if term := c.acts(); term != "" {
		do = []string{c.caller.Action(term)}
	}
	k, kind := c.to.kind, need.Kind
	if c.to.of != nil {
		k = c.to.of
	}
	if k != nil && !k.Abstract && kind == "" {
		kind = k.ID()
	}
	if !c.caller.Could(kind, do...) {
		return occi.E(occi.Forbidden, "your role does not allow %s here; it is %s", c.r.Method, c.caller.Roles)
	}
	if !c.to.verbs.writes {
		return nil
	}
	if do[0] == policy.Act {
		do = c.caller.Acts(kind) // which one is told by what the request holds
	}
	return c.s.engine.Permit(c.r.Context(), c.caller, do, k.ID(), c.to.id)
}

// acts gives the term of the action that the URL invokes, "" if it does not.
func (c *call) acts() string {
	if c.to.action != "" || c.r.Method != http.MethodPost {
		return c.to.action
	}
	for _, p := range c.params {
		if p.name == "action" {
			return p.value
		}
	}
	return ""
}

// challenge tells how to log in.
func (c *call) challenge(h http.Header) {
	if c.s.auth != nil {
		h["Www-Authenticate"] = c.s.auth.Challenges()
	}
}

// hand gives a new token to its maker: it is shown this once. That of a session is for
// the browser, and no page sees it.
func (c *call) hand(token string, es []*occi.Entity) {
	if token == "" {
		return
	}
	if i := slices.IndexFunc(es, func(x *occi.Entity) bool { return x.Kind == occi.SessionKind }); i >= 0 {
		c.keepSession(token, es[i])
		return
	}
	c.rec.Header()["X-Auth-Token"] = []string{token}
	c.rec.Header()["Cache-Control"] = []string{"no-store"}
	if len(es) != 1 {
		return
	}
	if a := c.reg.model.RoleAttribute(es[0].Kind, auth.RoleToken); a != nil {
		es[0] = es[0].Clone()
		es[0].Attributes.Set(a.Name, occi.Str(token))
	}
}

// exchange makes a token for who logs in by X-Auth-User and X-Auth-Key.
func (c *call) exchange() error {
	if err := c.params.only(); err != nil {
		return err
	}
	user, key := c.r.Header["X-Auth-User"], c.r.Header["X-Auth-Key"]
	if len(user) != 1 || len(key) != 1 {
		return occi.E(occi.Unauthorized, "X-Auth-User and X-Auth-Key are needed here")
	}
	project, login, ok := strings.Cut(user[0], ":")
	if !ok {
		project, login = "", user[0]
	}
	var err error
	if c.caller, err = c.s.auth.Login(c.r.Context(), login, key[0], project, c.s.client(c.r)); err != nil {
		return err
	}
	if err := c.throttled(); err != nil {
		return err
	}
	c.reg = c.s.registry(c.caller)
	c.r = c.r.WithContext(occi.WithOrigin(c.r.Context(), c.origin()))
	d := &occi.Draft{Kind: occi.TokenKind, Attributes: []occi.DraftAttr{{Name: occi.AttrTitle, Value: occi.Str(exchangePath)}}}
	out, err := c.s.engine.Create(c.r.Context(), c.caller, occi.TokenKind, []*occi.Draft{d}, engine.Options{})
	if err != nil {
		return err
	}
	h := c.rec.Header()
	h["X-Auth-Token"] = []string{out.Token}
	h["X-Server-Management-Url"] = []string{c.base() + "/"}
	h["Cache-Control"] = []string{"no-store"}
	c.rec.WriteHeader(http.StatusNoContent)
	return nil
}
