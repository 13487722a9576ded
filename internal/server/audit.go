package server

import (
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/google/uuid"

	"github.com/occid/occid/internal/auth"
	"github.com/occid/occid/occi"
	"github.com/occid/occid/render"
)

// maxPath is how much of a request's path the audit trail has, in bytes.
const maxPath = 240

// getAudit answers with the records of the audit trail that the query selects: a page of
// them, the newest first.
func (c *call) getAudit() error {
	s, err := c.selects()
	if err != nil {
		return err
	}
	if s.archive != nil {
		return badParam("archive", "the audit trail has no archives; created.ge and created.lt select a time")
	}
	if s.page == 0 {
		s.page, s.number = 1, pageSize
		s.query.Limit = pageSize
	}
	page, err := c.s.engine.Audit(c.r.Context(), c.caller, &s.query)
	if err != nil {
		return err
	}
	page.Count.Updated = latest(page.Entities)
	return c.showText(func(v *render.View) ([]byte, error) { return c.page(nil, v, s, page) })
}

// getRecord answers with one record of the audit trail.
func (c *call) getRecord() error {
	e, err := c.s.engine.AuditRecord(c.r.Context(), c.caller, c.to.id)
	if err != nil {
		return err
	}
	return c.showOne(e)
}

// origin is who makes the request, from where.
func (c *call) origin() *occi.Origin {
	path := c.r.URL.Path
	if term := c.acts(); term != "" && c.to.action == "" {
		path += "?action=" + term
	}
	return &occi.Origin{User: c.caller.Name, Login: c.caller.Login, Project: c.caller.Project, Address: hostOf(c.s.client(c.r)),
		Request: c.id, Method: c.r.Method, Path: clip(path)}
}

// clip shortens what clients make up.
func clip(s string) string {
	return strings.ToValidUTF8(s[:min(len(s), maxPath)], "\uFFFD")
}

// hostOf is an address without its port.
func hostOf(remote string) string {
	if a, err := netip.ParseAddrPort(remote); err == nil {
		return a.Addr().Unmap().String()
	}
	if host, _, err := net.SplitHostPort(remote); err == nil {
		return host
	}
	return remote
}

// refused has the audit trail tell that the request was refused, if that is of interest:
// for who makes it, or for the state of what it is about.
func (c *call) refused(status int, cause error) {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusConflict, http.StatusTooManyRequests:
	case http.StatusNotFound:
		// What is another's is not there; a path that is nothing is of no interest.
		if c.to.id == uuid.Nil {
			return
		}
	default:
		return
	}
	r := &occi.Record{Origin: *c.origin(), Status: status, ID: c.to.id, Message: string(occi.ClassOf(cause))}
	if r.Login == "" {
		r.Login = auth.Attempted(cause)
	}
	if k := c.to.kind; c.to.of != nil {
		r.Kind = c.to.of.ID()
	} else if k != nil {
		r.Kind = k.ID()
	}
	c.s.engine.Refuse(r)
}
