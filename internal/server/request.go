package server

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/occid/occid/internal/engine"
	"github.com/occid/occid/internal/web"
	"github.com/occid/occid/occi"
	"github.com/occid/occid/render"
)

// Limits of requests.
const (
	maxBody = 1 << 20 // bytes
	maxKey  = 255     // bytes of an idempotency key
)

// read takes in the request's body, once.
func (c *call) read() ([]byte, error) {
	if c.body != nil || c.r.Body == nil {
		return c.body, nil
	}
	if coding := c.r.Header["Content-Encoding"]; len(coding) > 0 && !strings.EqualFold(coding[0], "identity") {
		return nil, occi.E(occi.Media, "Content-Encoding: %.80s is not read; send the body as it is", coding[0])
	}
	body, err := web.Body(c.rec.ResponseWriter, c.r, maxBody)
	c.body = body
	return body, err
}

// given reads what the request describes; nil if it has neither a body nor
// OCCI's header fields.
func (c *call) given() (*occi.Draft, error) {
	body, err := c.read()
	if err != nil {
		return nil, err
	}
	format, err := render.Request(c.r.Header["Content-Type"], body)
	if len(body) == 0 {
		body = render.Header(c.r.Header)
		if len(body) == 0 {
			return nil, nil
		}
		format, err = render.Named("text/occi"), nil
	} else if err == nil && format.InHeaders {
		body = render.Header(c.r.Header)
	}
	if err != nil {
		return nil, err
	}
	return format.Decode(c.reg.model, body)
}

// draft is given for requests that must describe something.
func (c *call) draft() (*occi.Draft, error) {
	d, err := c.given()
	if err == nil && (d == nil || isEmpty(d)) {
		err = occi.E(occi.Invalid, "the request describes nothing, in its body or in OCCI header fields")
	}
	if err == nil && d.Action != "" {
		err = occi.E(occi.Invalid, "the request invokes the action %s, which its URL must name as ?action=TERM", d.Action)
	}
	if err == nil {
		err = c.s.placed(d.Categories)
	}
	for i := 0; err == nil && i < len(d.Members); i++ {
		err = c.s.placed(d.Members[i].Categories)
	}
	return d, err
}

func isEmpty(d *occi.Draft) bool {
	return d.Kind == "" && d.Action == "" &&
		len(d.Mixins)+len(d.Categories)+len(d.Attributes)+len(d.Links)+len(d.Locations)+len(d.Members) == 0
}

// draftOfOne is draft for requests about a single entity. A collection of one
// describes it too.
func (c *call) draftOfOne() (*occi.Draft, error) {
	d, err := c.draft()
	if err != nil || len(d.Members) == 0 {
		return d, err
	}
	if len(d.Members) > 1 {
		return nil, occi.E(occi.Invalid, "the request describes %d entities; %s is one", len(d.Members), c.to.path)
	}
	return &d.Members[0], nil
}

// invocation reads how an action is invoked that the URL names by its term; its
// parameters may be in the body, in the URL, or in both.
func (c *call) invocation(term string) (*occi.Draft, error) {
	if term == "" {
		return nil, badParam("action", "names no action")
	}
	d, err := c.given()
	if err != nil {
		return nil, err
	}
	if d == nil {
		d = &occi.Draft{}
	}
	if d.Kind != "" {
		return nil, occi.E(occi.Invalid, "the request describes a %s where the attributes of an action are meant", d.Kind)
	}
	if _, named, ok := occi.SplitID(d.Action); ok && named != term || !ok && d.Action != "" && d.Action != term {
		return nil, badParam("action", "the URL asks for %q, the request for %s", term, d.Action)
	}
	if d.Action == "" {
		d.Action = term
	}
	return d, c.moveParameters(term, d)
}

// moveParameters moves an action's parameters from the URL to its draft. What may
// be a parameter or a filter on a collection is a parameter.
func (c *call) moveParameters(term string, d *occi.Draft) error {
	var rest params
	for _, p := range c.params {
		switch {
		case p.name == "action":
		case !c.takes(term, p.name):
			rest = append(rest, p)
		case p.op != occi.Eq:
			return badParam(p.name, "takes no comparison")
		case d.Attr(p.name) != nil:
			return badParam(p.name, "is given more than once")
		default:
			d.Attributes = append(d.Attributes, occi.DraftAttr{Name: p.name, Value: occi.Str(p.value)})
		}
	}
	c.params = rest
	return nil
}

// takes reports whether an action with a term has a parameter of a name.
func (c *call) takes(term, name string) bool {
	return slices.ContainsFunc(c.reg.model.Actions, func(a *occi.Action) bool {
		return a.Term == term && a.Attribute(name) != nil
	})
}

// listed reads which entities a request lists; given is false if it has neither a
// body nor OCCI's header fields.
func (c *call) listed() (refs []occi.Ref, given bool, err error) {
	d, err := c.given()
	if err != nil || d == nil {
		return nil, false, err
	}
	whole := d.Kind != "" && d.Attr(occi.AttrID) != nil
	switch {
	case whole:
		d = &occi.Draft{Members: []occi.Draft{*d}}
	case d.Kind != "" || d.Action != "":
		err = occi.E(occi.Invalid, "the request describes %s; %s takes locations of entities", d.Kind+d.Action, c.to.path)
	case len(d.Attributes) > 0:
		err = occi.E(occi.Invalid, "the request gives %s; %s takes locations of entities", d.Attributes[0].Name, c.to.path)
	case len(d.Links) > 0:
		err = occi.E(occi.Invalid, "the request links to %s; %s takes locations of entities", d.Links[0].Target, c.to.path)
	}
	for _, id := range d.Mixins {
		if err == nil && (c.to.mixin == nil || c.to.mixin.ID() != id) {
			err = occi.E(occi.Invalid, "the request names the mixin %s; %s takes locations of entities", id, c.to.path)
		}
	}
	if err == nil {
		refs, err = c.located(d)
	}
	return refs, true, err
}

// located lists the entities that a draft refers to: by locations, or as the
// members of a collection.
func (c *call) located(d *occi.Draft) ([]occi.Ref, error) {
	var refs []occi.Ref
	seen := map[occi.Ref]bool{}
	add := func(text string, line int) error {
		r := c.reg.model.ParseRef(text)
		if r.ID == uuid.Nil {
			return occi.Problems(occi.Invalid, "the list is not understood",
				[]occi.Problem{{What: text, Line: line, Text: "is not the location of an entity"}})
		}
		if r.URI = ""; !seen[r] {
			seen[r] = true
			refs = append(refs, r)
		}
		return nil
	}
	for _, l := range d.Locations {
		if err := add(l, 0); err != nil {
			return nil, err
		}
	}
	for i := range d.Members {
		id := d.Members[i].Attr(occi.AttrID)
		if id == nil {
			return nil, occi.E(occi.Invalid, "a member of the list has neither an id nor a location")
		}
		if err := add(id.Value.String(), id.Line); err != nil {
			return nil, err
		}
	}
	if len(refs) > maxPageSize {
		return nil, occi.E(occi.TooLarge, "%d locations are more than %d", len(refs), maxPageSize)
	}
	return refs, nil
}

// options reads what adjusts a write on an entity or, if its Match is cleared,
// on a collection.
func (c *call) options() (engine.Options, error) {
	var o engine.Options
	var err error
	if o.Match, err = web.Guard(c.r); err != nil {
		return o, err
	}
	if o.Key, err = c.idempotencyKey(); err != nil || o.Key == "" {
		return o, err
	}
	body, err := c.read()
	if err != nil {
		return o, err
	}
	h := sha256.New()
	for _, part := range []string{c.r.Method, c.to.path, c.r.URL.RawQuery, strings.Join(c.r.Header["Content-Type"], ","),
		string(render.Header(c.r.Header)), string(body)} {
		io.WriteString(h, strconv.Itoa(len(part))+":"+part)
	}
	o.Hash = hex.EncodeToString(h.Sum(nil))
	return o, nil
}

// idempotencyKey reads the field of that name, quoted or not.
func (c *call) idempotencyKey() (string, error) {
	fields := c.r.Header["Idempotency-Key"]
	if len(fields) == 0 {
		return "", nil
	}
	key := strings.TrimSpace(fields[0])
	if n := len(key); n > 1 && key[0] == '"' && key[n-1] == '"' {
		key = key[1 : n-1]
	}
	printable := strings.IndexFunc(key, func(r rune) bool { return r < ' ' || r > '~' }) < 0
	if len(fields) > 1 || key == "" || len(key) > maxKey || !printable {
		return "", occi.E(occi.Invalid, "Idempotency-Key: one key of 1 to %d printable ASCII characters is meant", maxKey)
	}
	return key, nil
}
