package occi

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// Limits of what users define.
const (
	maxUserMixins = 10_000
	maxIdentifier = 1024 // bytes of an identifier or a location
)

var (
	// userTerm is the wide form of a term (GFD.229 section 5).
	userTerm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)
	// uriText is what can stand in any rendering as it is.
	uriText = regexp.MustCompile(`^[!#-;=?-\[\]_a-z~]+$`)
	// userLocation is what a path is made of that needs no escapes.
	userLocation = regexp.MustCompile(`^/(?:[A-Za-z0-9._~@:+=-]+/)+$`)
	notInPaths   = regexp.MustCompile(`[^A-Za-z0-9._~-]+`)
)

// ogfHost is where the schemes of OCCI's own categories are, which nobody else may
// use (GFD.221 section 5.3.1).
const ogfHost = "schemas.ogf.org"

// UserMixin makes a mixin of its definition by a user (GFD.223 section 9). One
// without a location gets one made of its identifier. What a user defines before
// another mixin may name that one all the same.
//
// It may give attributes that it has of what it depends on other defaults.
//
// The error is Invalid for a definition that is malformed or has attributes of its
// own or actions, Forbidden for a scheme that is OGF's or of the provider's categories,
// and Conflict for an identifier or location that is taken. A definition that
// says the same as an earlier one gives that one; if it differs in defaults only, it
// gives one with these, of the same owner.
func (m *Model) UserMixin(d *DraftCategory) (*Mixin, error) {
	scheme, term, ok := SplitID(d.ID)
	var ps []Problem
	bad := func(what, text string) { ps = append(ps, Problem{What: what, Text: text, Line: d.Line}) }
	if !ok || !userTerm.MatchString(term) {
		bad(d.ID, "its term is not made of letters, digits, '-', '_' and '.' behind a scheme that ends in '#'")
	}
	if u, err := url.Parse(scheme); ok && (err != nil || !u.IsAbs() || u.Opaque == "" && u.Host == "" || !uriText.MatchString(scheme)) {
		bad(d.ID, "its scheme is not an absolute URI")
	}
	if len(d.ID) > maxIdentifier {
		bad(d.ID[:80], "is longer than an identifier may be")
	}
	if d.Class != "" && d.Class != ClassMixin {
		bad(d.ID, "is of class "+d.Class+"; users define mixins")
	}
	attributes := m.redefaulted(d, bad)
	if len(d.Actions) > 0 {
		bad(d.Actions[0], "is an action; users' mixins have none")
	}
	if err := checkText(d.Title); err != nil || strings.ContainsAny(d.Title, "\r\n") {
		bad("title", "is not a line of text")
	}
	for _, id := range d.Depends {
		if _, _, ok := SplitID(id); !ok || !uriText.MatchString(id) || len(id) > maxIdentifier || id == d.ID {
			bad("rel", "it depends on "+id+", which is not the identifier of another category")
		}
	}
	for _, id := range d.Applies {
		if m.kinds[id] == nil {
			bad("applies", "there is no kind "+id)
		}
	}
	location, fault := userPlace(d.Location, scheme, term)
	if fault != "" {
		bad("location", fault)
	}
	if err := Problems(Invalid, "the mixin cannot be defined like this", ps); err != nil {
		return nil, err
	}
	x := &Mixin{Category: Category{Scheme: scheme, Term: term, Title: d.Title, Attributes: attributes}, Depends: d.Depends, Applies: d.Applies,
		Location: location, User: true}
	return m.admit(x, d)
}

// redefaulted gives the attributes that a user's mixin gives defaults, defined as
// what it depends on defines them.
func (m *Model) redefaulted(d *DraftCategory, bad func(what, text string)) []*Attribute {
	var out []*Attribute
	for _, given := range d.Attributes {
		var base *Attribute
		for _, x := range m.Closure(d.Depends) {
			if base = x.Attribute(given.Name); base != nil {
				break
			}
		}
		switch {
		case base == nil:
			bad(given.Name, "is no attribute of what the mixin depends on; users' mixins have none of their own")
			continue
		case base.Internal:
			bad(given.Name, "only the server sets it")
			continue
		case given.Value.IsZero():
			continue
		}
		v, err := base.Check(given.Value)
		if err != nil {
			bad(given.Name, err.Error())
			continue
		}
		a := *base
		a.Default = v
		out = append(out, &a)
	}
	return out
}

// userPlace gives the path of a mixin's collection, or what is wrong with the one
// given.
func userPlace(given, scheme, term string) (path, fault string) {
	if given == "" {
		_, rest, _ := strings.Cut(strings.TrimSuffix(scheme, "#"), "://")
		var segments []string
		for _, s := range strings.Split(rest, "/") {
			if s = strings.Trim(notInPaths.ReplaceAllString(s, "-"), "."); s != "" {
				segments = append(segments, s)
			}
		}
		return "/mixin/" + strings.Join(append(segments, term), "/") + "/", ""
	}
	path = LocationPath(given)
	if !userLocation.MatchString(path) || strings.Contains(path, "/./") || strings.Contains(path, "/../") || len(path) > maxIdentifier {
		return "", `"` + given + `" is not a path of letters, digits and "-._~@:+=" that begins and ends with a slash`
	}
	return path, ""
}

// LocationPath gives the path of a location, which may be a URI.
func LocationPath(location string) string {
	if u, err := url.Parse(location); err == nil && u.IsAbs() && u.Host != "" && u.RawQuery == "" && u.Fragment == "" {
		return u.EscapedPath()
	}
	return location
}

// admit gives the mixin that is to be there under an identifier, unless another
// category is in its way.
func (m *Model) admit(x *Mixin, d *DraftCategory) (*Mixin, error) {
	id := x.ID()
	if m.isReserved(x.Scheme) {
		return nil, E(Forbidden, "%s: the scheme %s is not for users; use one of your own", id, x.Scheme)
	}
	if old := m.mixins[id]; old != nil {
		if d.Location == "" {
			x.Location = old.Location
		}
		if !x.sameAs(old) {
			return nil, E(Conflict, "%s is defined already, with the title %q at the location %s, and not like this", id, old.Title, old.Location)
		}
		return old.withDefaults(x.Attributes), nil
	}
	if users := len(m.Mixins) - m.provided; users >= maxUserMixins {
		return nil, E(Conflict, "users have defined %d mixins; there can be no more", users)
	}
	if other := m.inTheWay(x.Location); other != "" {
		return nil, E(Conflict, "%s: the location %s is taken by %s", id, x.Location, other)
	}
	return x, nil
}

// isReserved reports whether a scheme is OGF's or one of the provider's.
func (m *Model) isReserved(scheme string) bool {
	if u, err := url.Parse(scheme); err == nil && strings.EqualFold(u.Hostname(), ogfHost) {
		return true
	}
	has := func(c *Category) bool { return c.Scheme == scheme }
	return slices.ContainsFunc(m.Kinds, func(k *Kind) bool { return has(&k.Category) }) ||
		slices.ContainsFunc(m.Actions, func(a *Action) bool { return has(&a.Category) }) ||
		slices.ContainsFunc(m.Mixins[:m.provided], func(x *Mixin) bool { return has(&x.Category) })
}

// sameAs reports whether two mixins are defined alike.
func (x *Mixin) sameAs(o *Mixin) bool {
	return x.ID() == o.ID() && x.Title == o.Title && x.Location == o.Location &&
		slices.Equal(x.Depends, o.Depends) && slices.Equal(x.Applies, o.Applies)
}

// withDefaults gives the mixin with the defaults of some attributes over its own; the
// mixin itself if that makes no difference.
func (x *Mixin) withDefaults(given []*Attribute) *Mixin {
	out := *x
	out.Attributes = slices.Clone(x.Attributes)
	changed := false
	for _, a := range given {
		i := slices.IndexFunc(out.Attributes, func(o *Attribute) bool { return o.Name == a.Name })
		switch {
		case i < 0:
			out.Attributes = append(out.Attributes, a)
		case out.Attributes[i].Default == a.Default:
			continue
		default:
			out.Attributes[i] = a
		}
		changed = true
	}
	if !changed {
		return x
	}
	return &out
}

// inTheWay gives the category that keeps users' mixins from a location: the one
// there, a kind whose entities are below which it would be, or one of the
// provider's that would be below it.
func (m *Model) inTheWay(location string) string {
	switch c := m.locations[location].(type) {
	case *Kind:
		return c.ID()
	case *Mixin:
		return c.ID()
	}
	for _, k := range m.Kinds {
		if l := k.Location; len(l) > 1 && (strings.HasPrefix(location, l) || strings.HasPrefix(l, location)) {
			return k.ID()
		}
	}
	for _, x := range m.Mixins[:m.provided] {
		if x.Location != "" && strings.HasPrefix(x.Location, location) {
			return x.ID()
		}
	}
	return ""
}

// With gives the registry that also has mixins which users defined. The revision
// is the state of all those. Where an identifier or a location is used by another
// category, as the provider's may have come to, the user's mixin is left out, and
// is among those hidden.
func (m *Model) With(users []*Mixin, revision int64) (with *Model, hidden []*Mixin) {
	c := *m
	c.Revision = revision
	c.Mixins = slices.Clone(m.Mixins)
	c.mixins, c.locations = maps.Clone(m.mixins), maps.Clone(m.locations)
	for _, x := range users {
		if c.mixins[x.ID()] != nil || c.kinds[x.ID()] != nil || c.locations[x.Location] != nil {
			hidden = append(hidden, x)
			continue
		}
		x = c.defined(x)
		c.Mixins = append(c.Mixins, x)
		c.mixins[x.ID()], c.locations[x.Location] = x, x
	}
	return &c, hidden
}

// For gives the registry as a project has it: what users of other projects define is not
// there.
func (m *Model) For(project string) *Model {
	foreign := func(x *Mixin) bool { return x.User && x.Project != "" && x.Project != project }
	c := *m
	c.Mixins = nil
	c.mixins, c.locations = maps.Clone(m.mixins), maps.Clone(m.locations)
	seen := sha256.New()
	for _, x := range m.Mixins {
		if x.User && !foreign(x) {
			fmt.Fprintf(seen, "%q %q %q %q %q\n", x.ID(), x.Title, x.Location, x.Depends, x.Applies)
			for _, a := range x.Attributes {
				fmt.Fprintf(seen, "%q %q\n", a.Name, a.Default.String())
			}
		}
		if foreign(x) {
			delete(c.mixins, x.ID())
			delete(c.locations, x.Location)
			continue
		}
		c.Mixins = append(c.Mixins, x)
	}
	// It changes with what the project knows, and with nothing else.
	c.Revision = int64(binary.BigEndian.Uint64(seen.Sum(nil)) >> 12)
	return &c
}

// defined gives a user's mixin with the definitions that the provider has of its
// attributes; itself if it has them.
func (m *Model) defined(x *Mixin) *Mixin {
	attributes := slices.Clone(x.Attributes)
	same := true
	for i, a := range attributes {
		base := m.attrs[a.Name]
		if base == nil || base.Internal || base.Role == a.Role && base.Short == a.Short && base.Format == a.Format && base.Live == a.Live {
			continue
		}
		whole := *base
		whole.Default = a.Default
		attributes[i], same = &whole, false
	}
	if same {
		return x
	}
	out := *x
	out.Attributes = attributes
	return &out
}

// Redefined gives the registry that has a user's mixin, which it must have, as it is
// defined anew.
func (m *Model) Redefined(x *Mixin) *Model {
	c := *m
	c.Mixins = slices.Clone(m.Mixins)
	c.mixins, c.locations = maps.Clone(m.mixins), maps.Clone(m.locations)
	c.Mixins[slices.Index(c.Mixins, m.mixins[x.ID()])] = x
	c.mixins[x.ID()], c.locations[x.Location] = x, x
	return &c
}

// Dependents lists the identifiers of mixins that are, or depend on, one of those
// given.
func (m *Model) Dependents(ids ...string) []string {
	var out []string
	for _, x := range m.Mixins {
		if slices.ContainsFunc(ids, func(id string) bool { return m.dependsOn(x.ID(), id) }) {
			out = append(out, x.ID())
		}
	}
	return out
}

// But gives the registry that lacks some mixins which users defined.
func (m *Model) But(ids []string) *Model {
	c := *m
	gone := func(x *Mixin) bool { return x.User && slices.Contains(ids, x.ID()) }
	c.Mixins = slices.DeleteFunc(slices.Clone(m.Mixins), gone)
	c.mixins, c.locations = maps.Clone(m.mixins), maps.Clone(m.locations)
	maps.DeleteFunc(c.mixins, func(_ string, x *Mixin) bool { return gone(x) })
	maps.DeleteFunc(c.locations, func(_ string, at any) bool {
		x, ok := at.(*Mixin)
		return ok && gone(x)
	})
	return &c
}

// Strip makes the entity that e becomes in a registry that lacks some of m's
// mixins: it loses those, with the attributes that nothing else of it defines. e
// itself is not changed.
func (m *Model) Strip(e *Entity, next *Model) (*Entity, error) {
	k := m.kinds[e.Kind]
	if k == nil {
		return nil, E(Conflict, "the registry has no kind %s any more", e.Kind)
	}
	out := e.Clone()
	out.Mixins = slices.DeleteFunc(out.Mixins, func(id string) bool { return m.mixins[id] != nil && next.mixins[id] == nil })
	out.Attributes = nil
	for _, a := range e.Attributes {
		if next.AttributeOf(k, out.Mixins, a.Name) != nil || m.AttributeOf(k, e.Mixins, a.Name) == nil {
			out.Attributes = append(out.Attributes, a)
		}
	}
	return out, nil
}
