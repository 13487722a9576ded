package spec

import (
	"strings"

	"github.com/occid/occid/occi"
)

// reservedPaths are the first segments of URLs that are the server's own.
var reservedPaths = map[string]bool{"-": true, "mixin": true, "events": true, "healthz": true, "readyz": true,
	"metrics": true, "schema": true, ".well-known": true}

// check checks what files say of each other.
func (b *builder) check() {
	words := map[string]place{}
	locations := map[string]place{}
	for _, l := range b.files {
		for _, d := range l.doc.Kinds {
			at := func(key string) place { return place{l.src, line(d.node, key), d.ID} }
			if !b.first(l.src, d.node, d.ID) || b.kindOf[d.ID] == nil {
				continue
			}
			b.checkKind(d, at)
			_, term, _ := occi.SplitID(d.ID)
			b.claim(words, term, "name", at("id"))
			for i, w := range d.Aliases {
				b.claim(words, w, "name", place{l.src, itemLine(d.node, "aliases", i), d.ID})
			}
			loc := d.Location
			if loc == "" {
				loc = "/" + term + "/"
			}
			seg := strings.Split(strings.Trim(loc, "/"), "/")
			if !l.src.builtin && (len(seg) != 1 || seg[0] == "" || reservedPaths[seg[0]]) {
				b.bad(at("location"), "location %s must be one free segment such as /backup/", loc)
			}
			b.claim(locations, loc, "location", at("location"))
		}
		for _, d := range l.doc.Mixins {
			if !b.first(l.src, d.node, d.ID) {
				continue
			}
			b.checkMixin(l.src, d)
			_, term, _ := occi.SplitID(d.ID)
			loc := d.Location
			if loc == "" {
				loc = "/mixin/" + term + "/"
			}
			at := place{l.src, line(d.node, "location"), d.ID}
			if !strings.HasPrefix(loc, "/mixin/") || loc == "/mixin/" {
				b.bad(at, "location %s must be below /mixin/", loc)
			}
			b.claim(locations, loc, "location", at)
		}
		for _, d := range l.doc.Extensions {
			for i, w := range d.Aliases {
				b.claim(words, w, "name", place{l.src, itemLine(d.node, "aliases", i), d.Extend})
			}
		}
	}
	for _, a := range b.actions {
		if a.Makes != "" && b.mixinOf[a.Makes] == nil {
			b.bad(b.byID[a.ID()], "makes what has the unknown mixin %s", a.Makes)
		}
		if a.Template != "" && b.mixinOf[a.Template] == nil {
			b.bad(b.byID[a.ID()], "makes templates that depend on the unknown mixin %s", a.Template)
		}
	}
	for _, k := range b.kinds {
		b.checkStates(k)
		b.checkTerms(k)
		b.checkShorts(k)
	}
}

// claim takes a name that only one may have.
func (b *builder) claim(taken map[string]place, name, what string, at place) {
	if old, ok := taken[name]; ok {
		b.bad(at, "%s %s is taken by %s (%s line %d)", what, name, old.what, old.src.name, old.line)
		return
	}
	taken[name] = at
}

func (b *builder) checkKind(d *kindDef, at func(string) place) {
	k := b.kindOf[d.ID]
	switch {
	case d.Parent == "" && d.ID != occi.EntityKind:
		b.bad(at("id"), "lacks parent")
	case d.Parent != "" && b.kindOf[d.Parent] == nil:
		b.bad(at("parent"), "parent %s is unknown", d.Parent)
	case len(b.chain(k)) > len(b.kinds):
		b.bad(at("parent"), "is its own ancestor")
	case d.Link && !b.isA(k, occi.LinkKind):
		b.bad(at("link"), "is a link without %s for an ancestor", occi.LinkKind)
	case !k.Link && d.ID != occi.EntityKind && !b.isA(k, occi.ResourceKind):
		b.bad(at("parent"), "descends from neither %s nor %s", occi.ResourceKind, occi.LinkKind)
	}
	if d.Target != "" {
		if b.kindOf[d.Target] == nil {
			b.bad(at("target"), "target kind %s is unknown", d.Target)
		}
		if !k.Link {
			b.bad(at("target"), "only links have a target")
		}
	}
}

func (b *builder) checkMixin(src *source, d *mixinDef) {
	for i, id := range d.Depends {
		at := place{src, itemLine(d.node, "depends", i), d.ID}
		if b.mixinOf[id] == nil {
			b.bad(at, "depends on unknown mixin %s", id)
		} else if b.depends(id, d.ID) {
			b.bad(at, "depends on itself by way of %s", id)
		}
	}
	for i, id := range d.Applies {
		if b.kindOf[id] == nil {
			b.bad(place{src, itemLine(d.node, "applies", i), d.ID}, "applies to unknown kind %s", id)
		}
	}
}

// depends reports whether a mixin is, or depends on, another.
func (b *builder) depends(id, on string) bool {
	seen := map[string]bool{}
	var walk func(id string) bool
	walk = func(id string) bool {
		if id == on {
			return true
		}
		x := b.mixinOf[id]
		if seen[id] || x == nil {
			return false
		}
		seen[id] = true
		for _, d := range x.Depends {
			if walk(d) {
				return true
			}
		}
		return false
	}
	return walk(id)
}

// checkTerms refuses actions of a kind, its ancestors and mixins made for it
// that have the same term: only one of them could be invoked.
func (b *builder) checkTerms(k *occi.Kind) {
	seen := map[string]string{}
	chain := b.chain(k)
	for i := len(chain) - 1; i >= 0; i-- {
		for _, a := range chain[i].Actions {
			if old, ok := seen[a.Term]; ok && i == 0 {
				b.bad(b.byID[a.ID()], "the kind has another action %s (%s)", a.Term, old)
			}
			seen[a.Term] = a.ID()
		}
	}
	for _, x := range b.mixins {
		if has(x.Applies, k.ID()) {
			for _, a := range x.Actions {
				if old, ok := seen[a.Term]; ok {
					b.bad(b.byID[a.ID()], "%s has another action %s (%s)", k.ID(), a.Term, old)
				}
			}
		}
	}
}

// checkShorts refuses a short name that stands for two attributes of a kind, its
// ancestors and mixins.
func (b *builder) checkShorts(k *occi.Kind) {
	seen := map[string]string{}
	add := func(as []*occi.Attribute) {
		for _, a := range as {
			for _, short := range append([]string{a.Short}, a.Aliases...) {
				if short == "" {
					continue
				}
				if old, ok := seen[short]; ok && old != a.Name {
					b.bad(b.attrAt[a.Name], "short name %q of %s stands for %s", short, k.Term, old)
					continue
				}
				seen[short] = a.Name
			}
		}
	}
	chain := b.chain(k)
	for i := len(chain) - 1; i >= 0; i-- {
		add(chain[i].Attributes)
	}
	if k.Abstract {
		return
	}
	for _, x := range b.mixins {
		if len(x.Applies) == 0 || has(x.Applies, k.ID()) {
			add(x.Attributes)
		}
	}
}
