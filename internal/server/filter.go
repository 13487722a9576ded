package server

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/occid/occid/occi"
	"github.com/occid/occid/render"
)

// What kinds of hosts, of pools of them, of pools of storages and of disks are on hosts, as
// the registry says.
const (
	hostHost  = "node"
	poolHost  = "pool"
	storeHost = "storepool"
	strayHost = "stray"
	diskHost  = "disk"
)

// Limits of queries.
const (
	pageSize    = 50     // entities on a page whose size is not asked for
	maxPageSize = 10_000 // that may be asked for
	maxWords    = 32     // that q may look for
)

// selection is what a request on a collection selects.
type selection struct {
	query occi.Query
	// page and number are 0 when the collection is not paged.
	page, number int
	// archive is the part of the collection that is selected, nil for no such.
	archive *render.Archive
	// rest is the query without page, number and archive, raw.
	rest string
	// described is the text of what the request describes of its members.
	described string
}

// selects reads the filters, order and paging of a request on the target's
// collection.
func (c *call) selects() (*selection, error) {
	s := &selection{}
	if err := c.embedded(); err != nil {
		return nil, err
	}
	s.query.Kinds = c.memberKinds()
	if c.to.mixin != nil {
		s.query.Mixins = []string{c.to.mixin.ID()}
	}
	s.query.AnyMixins, s.query.Categories = c.to.under, c.to.search
	s.query.LinkedTo = c.linkedTo()
	if s.query.LinkedTo != uuid.Nil {
		s.query.LinkedKind = c.to.of.ID()
		c.hosted(&s.query)
	}
	f := filters{m: c.reg.model, s: s}
	if err := f.categories(c.params); err != nil {
		return nil, err
	}
	if c.r.Method == http.MethodGet || c.r.Method == http.MethodHead {
		c.filtered = true
		given, text, err := c.filter()
		if err != nil {
			return nil, err
		}
		if err := f.described(given); err != nil {
			return nil, err
		}
		s.described = text
	}
	if err := f.shownOnly(c); err != nil {
		return nil, err
	}
	if err := s.paging(c.params); err != nil {
		return nil, err
	}
	if err := s.archived(c.params, c.s.now()); err != nil {
		return nil, err
	}
	for _, p := range c.params {
		if err := f.param(p); err != nil {
			return nil, err
		}
	}
	if len(c.params) > 0 {
		s.rest = withoutPaging(c.r.URL.RawQuery)
	}
	return s, nil
}

// linkedTo is what a reverse look-up begins at.
func (c *call) linkedTo() uuid.UUID {
	if c.to.of != nil {
		return c.to.id
	}
	return uuid.Nil
}

// hosted has a reverse look-up between what is on hosts and these, or pools of these, or
// pools of storages, go by where things are.
func (c *call) hosted(q *occi.Query) {
	of, kind := c.to.of, c.to.kind
	switch {
	case of.Own && kind.Own && of.Host != strayHost && kind.Host != strayHost:
	case of.Host == storeHost || kind.Host == storeHost:
		for _, k := range c.reg.model.Kinds {
			if k.Host == diskHost {
				q.Stored = k.ID()
			}
		}
	case of.Host == hostHost || kind.Host == hostHost:
		q.Placed = true
	case of.Host == poolHost || kind.Host == poolHost:
		for _, k := range c.reg.model.Kinds {
			if k.TargetKind == of.ID() && of.Host == poolHost || k.TargetKind == kind.ID() && kind.Host == poolHost {
				q.Pooled = k.ID()
			}
		}
	}
}

// memberKinds lists the kinds of the target's members, nil for any.
func (c *call) memberKinds() []string {
	k := c.to.kind
	if k == nil {
		return nil
	}
	var ids []string
	id := k.ID()
	for _, o := range c.reg.model.Kinds {
		if !o.Abstract && c.reg.model.IsA(o, id) && (!o.Own || o == k) {
			ids = append(ids, o.ID())
		}
	}
	return ids
}

func (s *selection) paging(ps params) error {
	page, paged, err := ps.number("page", 1<<31)
	if err != nil {
		return err
	}
	number, sized, err := ps.number("number", maxPageSize)
	if err != nil {
		return err
	}
	if !paged && !sized {
		return nil
	}
	s.page, s.number = 1, pageSize
	if paged {
		s.page = page
	}
	if sized {
		s.number = number
	}
	s.query.Offset, s.query.Limit = (s.page-1)*s.number, s.number
	return nil
}

// number gives the value of a parameter that counts from 1.
func (ps params) number(name string, most int) (n int, given bool, err error) {
	text, given, err := ps.single(name)
	if err != nil || !given {
		return 0, false, err
	}
	n, err = strconv.Atoi(text)
	switch {
	case err != nil || n < 1:
		return 0, false, badParam(name, "%q is not a whole number from 1", text)
	case n > most:
		return 0, false, &occi.Error{Class: occi.TooLarge, Message: "the query asks for too much",
			Problems: []occi.Problem{{What: name, Text: text + " is more than " + strconv.Itoa(most)}}}
	}
	return n, true, nil
}

// unsafeInURL are characters that end a URL where it stands in a Link header field.
var unsafeInURL = strings.NewReplacer("<", "%3C", ">", "%3E", `"`, "%22")

// withoutPaging removes what changes from page to page.
func withoutPaging(raw string) string {
	var kept []string
	for _, piece := range strings.FieldsFunc(unsafeInURL.Replace(raw), func(r rune) bool { return r == '&' || r == ';' }) {
		if name, _, _ := strings.Cut(piece, "="); name != "page" && name != "number" && name != "archive" {
			kept = append(kept, piece)
		}
	}
	return strings.Join(kept, "&")
}

// filters adds conditions to a selection.
type filters struct {
	m *occi.Model
	s *selection
}

// categories reads the parameters that name categories. They come first: the kinds
// tell which attributes the others mean.
func (f *filters) categories(ps params) error {
	for _, p := range ps {
		if p.name != "category" {
			continue
		}
		if p.op != occi.Eq {
			return badParam(p.name, "takes no comparison")
		}
		if err := f.category(p.name, p.value); err != nil {
			return err
		}
	}
	return nil
}

// described applies what the request describes of the members to select.
func (f *filters) described(given *render.Filter) error {
	for _, id := range given.Categories {
		if err := f.category("Category", id); err != nil {
			return err
		}
	}
	for _, a := range given.Attributes {
		if err := f.attribute("X-OCCI-Attribute: "+a.Name, param{name: a.Name, op: occi.Eq, value: a.Value.String()}); err != nil {
			return err
		}
	}
	return nil
}

// filter reads what selects in header fields, which any GET may carry whatever
// it accepts (GFD.223 section 8), or in a body, as some clients send it. The text
// it was read from tells filters apart.
func (c *call) filter() (*render.Filter, string, error) {
	var text []byte
	if h := c.r.Header; len(h["Category"])+len(h["X-Occi-Attribute"])+len(h["X-Occi-Category"]) > 0 {
		text = render.Header(h)
	}
	inHeaders := true
	if c.r.ContentLength != 0 {
		body, err := c.read()
		if err != nil {
			return nil, "", err
		}
		f, err := render.Request(c.r.Header["Content-Type"], body)
		switch {
		case len(body) == 0 || err == nil && f.InHeaders:
		case err != nil || !strings.HasSuffix(f.Media, "plain"):
			return nil, "", occi.E(occi.Media, "the body of a %s is a filter, which is read in text/plain alone", c.r.Method)
		default:
			text, inHeaders = append(text, body...), len(text) > 0
		}
	}
	if len(text) == 0 {
		return &render.Filter{}, "", nil
	}
	given, err := render.ParseFilter(text, inHeaders)
	return given, string(text), err
}

// param reads one query parameter.
func (f *filters) param(p param) error {
	switch p.name {
	case "page", "number", "archive", "attributes", "content", "category":
		return nil
	case "action":
		return badParam(p.name, "only POST invokes actions")
	case "q", "id", "sort":
		if p.op != occi.Eq {
			return badParam(p.name, "takes no comparison")
		}
	}
	switch p.name {
	case "q":
		return f.text(p.value)
	case "id":
		return f.id(p.value)
	case "sort":
		return f.sort(p.value)
	}
	if moment, op := momentOf(p); moment != "" {
		return f.moment(p, moment, op)
	}
	return f.attribute(p.name, p)
}

// text adds words to look for. None select all, as search forms ask for. A word
// such as "cores:2" is a condition on an attribute, if there is one of that name;
// what stands before the name, as in "cpu.cores:2", is not looked at if the whole is
// none.
func (f *filters) text(value string) error {
	for _, word := range strings.Fields(value) {
		name, wanted, ok := strings.Cut(word, ":")
		if short := name[strings.LastIndexByte(name, '.')+1:]; ok && len(f.meant(name)) == 0 {
			name = short
		}
		if !ok || wanted == "" || len(f.meant(name)) == 0 {
			f.s.query.Text = append(f.s.query.Text, word)
		} else if err := f.attribute("q="+word, param{name: name, op: occi.Eq, value: wanted}); err != nil {
			return err
		}
	}
	if len(f.s.query.Text) > maxWords {
		return badParam("q", "names more than %d words", maxWords)
	}
	return nil
}

func (f *filters) id(value string) error {
	for _, s := range strings.Split(value, ",") {
		id, ok := occi.ParseID(strings.TrimSpace(s))
		if !ok {
			return badParam("id", "%q is not a UUID", s)
		}
		f.s.query.IDs = append(f.s.query.IDs, id)
	}
	return nil
}

// category restricts to a kind or mixin, named by identifier or term.
func (f *filters) category(param, name string) error {
	kind, mixin, err := named(f.m, name)
	switch {
	case err != nil:
		return badParam(param, "%v", err)
	case mixin != nil:
		f.s.query.Mixins = append(f.s.query.Mixins, mixin.ID())
	case kind != nil:
		f.restrict(kind)
	default:
		return badParam(param, "there is no kind or mixin %q", name)
	}
	return nil
}

// noKind is no kind's identifier, so it selects nothing.
const noKind = ""

// restrict leaves the members that are of a kind.
func (f *filters) restrict(k *occi.Kind) {
	var kept []string
	for _, o := range f.m.Kinds {
		if !o.Abstract && f.m.IsA(o, k.ID()) && (f.s.query.Kinds == nil || slices.Contains(f.s.query.Kinds, o.ID())) {
			kept = append(kept, o.ID())
		}
	}
	if kept == nil {
		kept = []string{noKind}
	}
	f.s.query.Kinds = kept
}

// attribute adds a condition on an attribute, whose operator may also end the
// name: "memory.ge". A short name means the attribute of any selected kind that
// can have the value.
func (f *filters) attribute(shown string, p param) error {
	as := f.meant(p.name)
	if i := strings.LastIndexByte(p.name, '.'); len(as) == 0 && i >= 0 && p.op == occi.Eq && words[p.name[i+1:]] != "" {
		p.op, p.name = words[p.name[i+1:]], p.name[:i]
		as = f.meant(p.name)
	}
	if len(as) == 0 {
		return badParam(shown, "unknown parameter: it is neither page, number, archive, attributes, sort, q, id, category, created, updated nor an attribute")
	}
	var conds []occi.Cond
	var refused error
	for _, a := range as {
		cond, err := f.cond(a, p)
		if err != nil {
			refused = err
			continue
		}
		conds = append(conds, cond)
	}
	if len(conds) == 0 {
		return badParam(shown, "%v", refused)
	}
	conds[0].Or = conds[1:]
	f.s.query.Conds = append(f.s.query.Conds, conds[0])
	return nil
}

// words are the operators that may end a parameter's name.
var words = map[string]occi.Op{
	"eq": occi.Eq, "ne": occi.Ne, "lt": occi.Lt, "le": occi.Le, "gt": occi.Gt, "ge": occi.Ge,
}

// cond makes a condition on an attribute. A bound may lie outside what an entity
// may have. A state goes by other names too: those of what it is passing through are
// in the message of the state.
func (f *filters) cond(a *occi.Attribute, p param) (occi.Cond, error) {
	c := occi.Cond{Name: a.Name, Op: p.op}
	for _, k := range f.m.Kinds {
		if k.States == nil || k.States.Attribute != a.Name {
			continue
		}
		to, alias := k.States.Aliases[p.value]
		switch {
		case alias && to == "":
			c.Value = occi.Str(p.value)
			return c, nil
		case alias:
			p.value = to
		case p.op == occi.Eq && k.States.Canonical(p.value) == "" && k.States.Passes(p.value):
			c.Name, c.Value = k.States.Message, occi.Str(p.value)
			return c, nil
		}
	}
	wide := *a
	wide.Min, wide.Max = nil, nil
	var err error
	c.Value, err = wide.Check(occi.Str(p.value))
	return c, err
}

// meant lists the attributes, by name or short name, that a name means among the
// selected kinds.
func (f *filters) meant(name string) []*occi.Attribute {
	var as []*occi.Attribute
	add := func(k *occi.Kind) {
		a := f.m.MemberAttribute(k, f.m.Long(k, name))
		// What selects and orders by a value finds it out, by and by.
		if a != nil && !a.Confidential && !slices.ContainsFunc(as, func(b *occi.Attribute) bool { return a.Name == b.Name }) {
			as = append(as, a)
		}
	}
	for _, id := range f.s.query.Kinds {
		if id != noKind {
			add(f.m.Kind(id))
		}
	}
	if len(f.s.query.Kinds) == 0 {
		for _, k := range f.m.Kinds {
			add(k)
		}
	}
	return as
}

// sort adds an order: names with "-" before them for the reverse. A short name
// means the attribute that each member has.
func (f *filters) sort(value string) error {
	for _, s := range strings.Split(value, ",") {
		s = strings.TrimSpace(s)
		name, desc := strings.CutPrefix(s, "-")
		o := occi.Order{Name: name, Desc: desc}
		if name != occi.Created && name != occi.Updated {
			as := f.meant(name)
			if len(as) == 0 {
				return badParam("sort", "%q is not an attribute", name)
			}
			o.Name = as[0].Name
			for _, a := range as[1:] {
				o.Or = append(o.Or, a.Name)
			}
		}
		f.s.query.Sort = append(f.s.query.Sort, o)
	}
	return nil
}

// embedded reads which rendering Atom entries embed.
func (c *call) embedded() error {
	content, given, err := c.params.single("content")
	if err != nil || !given {
		return err
	}
	switch content {
	case "xml", "json", "text":
		c.content = content
		return nil
	}
	return badParam("content", "%q is none of xml, json, text", content)
}
