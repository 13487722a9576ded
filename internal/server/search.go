package server

import (
	"net/url"
	"slices"
	"strings"

	"github.com/occid/occid/occi"
)

// searchPath is what a search by categories begins with: /-/compute/-ssh_key.
const searchPath = "/-/"

// maxSearch bounds the categories that one search names.
const maxSearch = 32

// searchAt reads a search by categories. Segments must all hold; in one of them "|"
// parts alternatives, and "-" before a category asks for what is not of it. A
// category is a term, or {SCHEME}TERM where that could mean several.
func searchAt(m *occi.Model, text string) (target, error) {
	segments, err := parts(text, '/')
	if err != nil {
		return target{}, err
	}
	last := len(segments) - 1
	tail, suffix := cutSuffix(segments[last])
	if segments[last] = tail; tail == "" && last > 0 {
		segments = segments[:last]
	}
	t := target{verbs: foundVerbs, suffix: suffix}
	t.path = (&url.URL{Path: searchPath + strings.Join(segments, "/") + "/"}).EscapedPath()
	n := 0
	for _, segment := range segments {
		alternatives, err := parts(segment, '|')
		if err != nil {
			return target{}, err
		}
		if n += len(alternatives); n > maxSearch {
			return target{}, occi.E(occi.Invalid, "the search names more than %d categories", maxSearch)
		}
		var either occi.Either
		for _, word := range alternatives {
			if err := addCategory(m, &either, word); err != nil {
				return target{}, err
			}
		}
		t.search = append(t.search, either)
	}
	return t, nil
}

// parts splits a text at a character that is not within braces.
func parts(text string, at byte) ([]string, error) {
	var out []string
	from, inside := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '{' && !inside, c == '}' && inside:
			inside = !inside
		case c == '{' || c == '}':
			return nil, occi.E(occi.Invalid, "the search %.200q has a brace too many", text)
		case c == at && !inside:
			out, from = append(out, text[from:i]), i+1
		}
	}
	if inside {
		return nil, occi.E(occi.Invalid, "the search %.200q lacks a brace", text)
	}
	return append(out, text[from:]), nil
}

// addCategory adds an alternative: a category, or that it is not of one.
func addCategory(m *occi.Model, to *occi.Either, word string) error {
	name, not := strings.CutPrefix(word, "-")
	if name == "" {
		return occi.E(occi.Invalid, "the search names no category where %q stands", word)
	}
	if scheme, term, ok := strings.Cut(strings.TrimPrefix(name, "{"), "}"); ok {
		if name[0] != '{' {
			return occi.E(occi.Invalid, "the search has %.200q, where {SCHEME}TERM is meant", word)
		}
		name = strings.TrimSuffix(scheme, "#") + "#" + term
	}
	kind, mixin, err := named(m, name)
	switch {
	case err != nil:
		return err
	case kind == nil && mixin == nil:
		return occi.E(occi.NotFound, "there is nothing at a search for %.200q: no kind or mixin is called that", name)
	case mixin != nil && not:
		to.NoMixins = append(to.NoMixins, mixin.ID())
	case mixin != nil:
		to.Mixins = append(to.Mixins, mixin.ID())
	default:
		for _, k := range m.Kinds {
			if !k.Abstract && m.IsA(k, kind.ID()) != not {
				to.Kinds = append(to.Kinds, k.ID())
			}
		}
	}
	return nil
}

// named finds the kind or the mixin that an identifier, a term or another name of a
// kind means, neither if there is none. A word that means several is Invalid.
func named(m *occi.Model, name string) (*occi.Kind, *occi.Mixin, error) {
	var kind *occi.Kind
	var mixin *occi.Mixin
	n := 0
	for _, k := range m.Kinds {
		if k.ID() == name || k.Term == name || slices.Contains(k.Aliases, name) {
			kind, n = k, n+1
		}
	}
	for _, x := range m.Mixins {
		if x.ID() == name || x.Term == name {
			mixin, n = x, n+1
		}
	}
	if n > 1 {
		return nil, nil, occi.E(occi.Invalid, "%q stands for several categories; name one by its identifier", name)
	}
	return kind, mixin, nil
}
