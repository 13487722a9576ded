package server

import (
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/occid/occid/internal/auth"
	"github.com/occid/occid/internal/engine"
	"github.com/occid/occid/occi"
)

// logoutPath is where a browser ends its session.
const logoutPath = "/logout"

// from is where the request comes from.
func (c *call) from() auth.From {
	return auth.From{Address: c.s.client(c.r), Secure: c.secure}
}

// offersSessions reports whether browsers can have sessions.
func (s *Server) offersSessions() bool { return s.auth != nil && s.auth.Offers("session") }

// sessions refuses to make sessions that nobody could present, and tells a page of the
// server's own what to show with its writes when it reads about sessions.
func (c *call) sessions() error {
	k := c.to.kind
	switch {
	case k == nil || k.ID() != occi.SessionKind || c.s.auth == nil:
	case !c.s.offersSessions() && (c.r.Method == http.MethodPost || c.r.Method == http.MethodPut):
		return occi.E(occi.Forbidden, "there are no sessions at this server")
	case c.caller.Session != "" && c.r.Method == http.MethodGet:
		c.rec.Header()[auth.CSRFField] = []string{auth.CSRFTokenOf(c.r, c.from())}
	}
	return nil
}

// keepSession has the browser keep a new session.
func (c *call) keepSession(token string, session *occi.Entity) {
	ends := time.Time{}
	if a := c.reg.model.RoleAttribute(session.Kind, auth.RoleExpires); a != nil {
		// The engine wrote it.
		ends, _ = time.Parse(time.RFC3339, session.Attributes.Get(a.Name).Text)
	}
	h := c.rec.Header()
	h["Set-Cookie"] = append(h["Set-Cookie"], auth.Cookie(token, ends, c.from()).String())
	h[auth.CSRFField] = []string{auth.CSRFToken(token)}
	h["Cache-Control"] = []string{"no-store"}
}

// intended refuses writes that a browser sends with the cookie of a session, unless it or
// the page shows that the page may: any page can have it send one, and the browser adds
// the cookie by itself. What a page of another site sends has been refused before.
func (c *call) intended() error {
	switch {
	case c.caller.Session == "" || safe(c.r.Method):
		return nil
	case len(c.r.Header[auth.CSRFField]) > 0:
		if auth.Intended(c.r, c.from()) {
			return nil
		}
		return occi.E(occi.Forbidden, "X-CSRF-Token: it is not that of the session")
	case c.r.Header.Get("Sec-Fetch-Site") != "" || c.r.Header.Get("Origin") != "":
		return nil
	}
	return occi.E(occi.Forbidden, "a write with the cookie of a session needs its X-CSRF-Token, or the field Sec-Fetch-Site or Origin of a browser")
}

// logout ends the session of the caller, and has the browser forget its cookie.
func (c *call) logout() error {
	if err := c.params.only(); err != nil {
		return err
	}
	if id, ok := occi.ParseID(c.caller.Session); ok {
		_, err := c.s.engine.Delete(c.r.Context(), c.caller, []uuid.UUID{id}, engine.Options{})
		if err != nil && occi.ClassOf(err) != occi.NotFound {
			return err
		}
	}
	h := c.rec.Header()
	h["Set-Cookie"] = append(h["Set-Cookie"], auth.Cookie("", time.Time{}, c.from()).String())
	h["Cache-Control"] = []string{"no-store"}
	c.rec.WriteHeader(http.StatusNoContent)
	return nil
}
