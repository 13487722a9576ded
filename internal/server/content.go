package server

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/occid/occid/internal/engine"
	"github.com/occid/occid/internal/web"
	"github.com/occid/occid/occi"
)

// contentWord ends the path of what a volume holds: /storage/UUID/content.
const contentWord = "content"

// putContent takes in what a volume is to hold, whole or in parts (RFC 9110 section
// 14.5).
func (c *call) putContent() error {
	if err := c.params.only(); err != nil {
		return err
	}
	var err error
	if c.format, err = c.negotiated(); err != nil {
		return err
	}
	part, err := partOf(c.r)
	if err != nil {
		return err
	}
	if part.asks {
		return c.howFar()
	}
	u := engine.Upload{Offset: part.first, Total: part.total}
	if u.Sum, err = checksum(c.r.Header, part.ranged); err != nil {
		return err
	}
	w := write{}
	if w.prefers, err = c.preferences(); err != nil {
		return err
	}
	if w.options.Match, err = web.Guard(c.r); err != nil {
		return err
	}
	body := &patient{r: c.r.Body, times: c.s.bounds, control: http.NewResponseController(c.rec.ResponseWriter)}
	u.Body = body
	exact := &sized{r: body, left: part.length}
	if part.ranged {
		u.Body = exact
	}
	up, err := c.s.engine.Upload(c.r.Context(), c.caller, c.to.id, u, w.options)
	if err != nil {
		c.arrived(up)
		if body.failed != nil {
			return occi.E(occi.Invalid, "the content ended early; %d bytes have arrived and can be gone on with: %w", up.Have, body.failed)
		}
		return err
	}
	if up.Outcome == nil {
		return c.incomplete(up)
	}
	return c.changed(w, up.Outcome)
}

// howFar answers who asks how much of an upload has arrived.
func (c *call) howFar() error {
	up, err := c.s.engine.Uploaded(c.r.Context(), c.caller, c.to.id)
	if err != nil {
		return err
	}
	if up.Outcome != nil {
		return c.changed(write{}, up.Outcome)
	}
	return c.incomplete(up)
}

// incomplete answers a part after which others are to come.
func (c *call) incomplete(up *engine.Uploaded) error {
	c.arrived(up)
	c.rec.Header()["Content-Length"] = []string{"0"}
	c.rec.WriteHeader(http.StatusPermanentRedirect)
	return nil
}

// arrived tells how much of an upload there is.
func (c *call) arrived(up *engine.Uploaded) {
	h := c.rec.Header()
	h["Upload-Offset"] = []string{strconv.FormatInt(up.Have, 10)}
	if up.Have > 0 {
		h["Range"] = []string{fmt.Sprintf("bytes=0-%d", up.Have-1)}
	}
	if up.Total >= 0 {
		h["Upload-Length"] = []string{strconv.FormatInt(up.Total, 10)}
	}
}

// getContent gives the file of a volume; HEAD tells how much of an upload there is.
func (c *call) getContent() error {
	if err := c.params.only(); err != nil {
		return err
	}
	h := c.rec.Header()
	if c.r.Method == http.MethodHead {
		up, err := c.s.engine.Uploaded(c.r.Context(), c.caller, c.to.id)
		if err != nil {
			return err
		}
		c.arrived(up)
		h["Content-Type"] = []string{"application/octet-stream"}
		h["Cache-Control"] = []string{"no-store"}
		c.rec.WriteHeader(http.StatusOK)
		return nil
	}
	return c.s.engine.Content(c.r.Context(), c.caller, c.to.id, &download{c: c, control: http.NewResponseController(c.rec.ResponseWriter)})
}

// deleteContent forgets an upload that has not come to its end.
func (c *call) deleteContent() error {
	if err := c.params.only(); err != nil {
		return err
	}
	if err := c.s.engine.DropUpload(c.r.Context(), c.caller, c.to.id); err != nil {
		return err
	}
	c.rec.WriteHeader(http.StatusNoContent)
	return nil
}

// download begins an answer with the first byte of it.
type download struct {
	c       *call
	control *http.ResponseController
}

func (d *download) Write(b []byte) (int, error) {
	if d.c.rec.status == 0 {
		h := d.c.rec.Header()
		h["Content-Type"] = []string{"application/octet-stream"}
		h["Content-Disposition"] = []string{`attachment; filename="` + d.c.to.id.String() + `.qcow2"`}
		h["Accept-Ranges"] = []string{"none"}
		h["Cache-Control"] = []string{"no-store"}
	}
	if err := d.control.SetWriteDeadline(time.Now().Add(d.c.s.bounds.Write)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, err
	}
	return d.c.rec.Write(b)
}

// pace is how many bytes of an upload must come in the time that another body may take.
const pace = 64 << 10

// patient is a body that may take as long as it likes, as long as it comes at a pace.
type patient struct {
	r       io.Reader
	control *http.ResponseController
	times   web.Bounds
	due     int64 // bytes until there is more time
	failed  error // why it ended early
}

func (p *patient) Read(b []byte) (int, error) {
	if p.due <= 0 {
		p.due = pace
		now := time.Now()
		err := errors.Join(p.control.SetReadDeadline(now.Add(p.times.Read)), p.control.SetWriteDeadline(now.Add(p.times.Write)))
		if err != nil && !errors.Is(err, http.ErrNotSupported) {
			return 0, err
		}
	}
	n, err := p.r.Read(b)
	p.due -= int64(n)
	if err != nil && err != io.EOF {
		p.failed = err
	}
	return n, err
}

// sized is a body that must have a certain length.
type sized struct {
	r    *patient
	left int64
}

func (s *sized) Read(b []byte) (int, error) {
	n, err := s.r.Read(b)
	s.left -= int64(n)
	if err == io.EOF && s.left > 0 {
		err = fmt.Errorf("%w: %d bytes of the range are missing", io.ErrUnexpectedEOF, s.left)
		s.r.failed = err
	}
	return n, err
}

// part is which bytes of the content a request carries.
type part struct {
	ranged, asks  bool
	first, length int64
	total         int64 // -1 if not known
}

// partOf reads Content-Range and Content-Length.
func partOf(r *http.Request) (part, error) {
	p := part{total: r.ContentLength}
	fields := r.Header["Content-Range"]
	if len(fields) == 0 {
		return p, nil
	}
	bad := func(why string) (part, error) {
		return p, occi.E(occi.Invalid, "Content-Range: %.80q %s; such as bytes 0-99/200 is meant", strings.Join(fields, ", "), why)
	}
	text, ok := strings.CutPrefix(fields[0], "bytes ")
	span, total, cut := strings.Cut(text, "/")
	if len(fields) > 1 || !ok || !cut {
		return bad("is not understood")
	}
	p.ranged = true
	if span == "*" {
		p.asks = true
		if r.ContentLength > 0 {
			return bad("asks how far the upload is, but the request has content")
		}
		return p, nil
	}
	first, last, _ := strings.Cut(span, "-")
	a, err1 := strconv.ParseUint(first, 10, 62)
	b, err2 := strconv.ParseUint(last, 10, 62)
	n, err3 := strconv.ParseUint(total, 10, 62)
	switch {
	case err1 != nil || err2 != nil || err3 != nil:
		return bad("is not understood")
	case a > b || b >= n:
		return bad("is no range within the whole")
	}
	p.first, p.length, p.total = int64(a), int64(b-a+1), int64(n)
	if r.ContentLength >= 0 && r.ContentLength != p.length {
		return bad(fmt.Sprintf("does not suit a Content-Length of %d", r.ContentLength))
	}
	return p, nil
}

// checksum reads the SHA-256 of all the content, nil if none is given: Repr-Digest and,
// unless the request carries a part, Content-Digest (RFC 9530), Digest (RFC 3230) or
// X-Checksum-Sha256.
func checksum(h http.Header, ranged bool) ([]byte, error) {
	if ranged && len(h["Content-Digest"]) > 0 {
		return nil, occi.E(occi.Invalid, "Content-Digest: of a part it is not compared; Repr-Digest gives that of the whole")
	}
	var sum []byte
	for _, field := range []struct {
		name, prefix, suffix string
		decode               func(string) ([]byte, error)
	}{
		{"Repr-Digest", "sha-256=:", ":", base64.StdEncoding.DecodeString},
		{"Content-Digest", "sha-256=:", ":", base64.StdEncoding.DecodeString},
		{"Digest", "sha-256=", "", base64.StdEncoding.DecodeString},
		{"X-Checksum-Sha256", "", "", hex.DecodeString},
	} {
		if len(h[field.name]) == 0 {
			continue
		}
		var own []byte
		for value := range strings.SplitSeq(strings.Join(h[field.name], ","), ",") {
			value = strings.TrimSpace(value)
			if len(value) < len(field.prefix) || !strings.EqualFold(value[:len(field.prefix)], field.prefix) || !strings.HasSuffix(value, field.suffix) {
				continue
			}
			text, err := field.decode(strings.TrimSuffix(value[len(field.prefix):], field.suffix))
			if err != nil || len(text) != 32 {
				return nil, occi.E(occi.Invalid, "%s: %.100q is no SHA-256", field.name, value)
			}
			own = text
		}
		switch {
		case own == nil:
			return nil, occi.E(occi.Invalid, "%s: only SHA-256 is compared; %.100q gives none", field.name, strings.Join(h[field.name], ", "))
		case sum != nil && string(sum) != string(own):
			return nil, occi.E(occi.Invalid, "%s: another SHA-256 than in another field", field.name)
		}
		sum = own
	}
	return sum, nil
}
