package server

import (
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/occid/occid/occi"
	"github.com/occid/occid/render"
)

// A target is what a path means.
type target struct {
	verbs *verbs
	// path is canonical and without suffix: collections end in a slash.
	path string
	// fixed is the pattern of a path that is the server's own.
	fixed string
	// suffix is the format that the path's extension selects, nil for none.
	suffix *render.Format
	kind   *occi.Kind    // of an entity or of a collection; nil for mixed ones
	mixin  *occi.Mixin   // of a mixin's collection
	under  []string      // mixins below a path that is none's own
	action string        // term of the action that an actuator invokes
	search []occi.Either // what a search by categories asks for
	id     uuid.UUID     // of an entity, or of what a reverse look-up begins at
	// of is the kind of what a reverse look-up begins at.
	of *occi.Kind
}

// idLen is the length of a UUID's text.
const idLen = 36

// resolve finds what a path means; NotFound if nothing.
func resolve(m *occi.Model, path string) (target, error) {
	if categories, ok := strings.CutPrefix(path, searchPath); ok && categories != "" {
		return searchAt(m, categories)
	}
	i := strings.LastIndexByte(path, '/')
	if i < 0 {
		return target{}, nothingAt(path)
	}
	tail, suffix := cutSuffix(path[i+1:])
	if t, ok := entityAt(m, path[:i+1], tail); ok {
		t.path, t.suffix = path[:i+1+len(tail)], suffix
		return t, nil
	}
	location := path[:i+1] + tail
	if tail != "" {
		location += "/"
	}
	t, ok := collectionAt(m, location)
	if !ok {
		return target{}, nothingAt(path)
	}
	t.path, t.suffix = location, suffix
	return t, nil
}

func nothingAt(path string) error { return occi.E(occi.NotFound, "there is nothing at %s", path) }

// cutSuffix parts a last segment from the suffix that names a format.
func cutSuffix(segment string) (string, *render.Format) {
	i := strings.LastIndexByte(segment, '.')
	if i < 0 {
		return segment, nil
	}
	if f := render.Suffixed(segment[i:]); f != nil {
		return segment[:i], f
	}
	return segment, nil
}

// entityAt reads a kind's location and a UUID.
func entityAt(m *occi.Model, location, tail string) (target, bool) {
	if len(tail) != idLen {
		return target{}, false
	}
	k, ok := m.At(location).(*occi.Kind)
	if !ok || k.Abstract {
		return target{}, false
	}
	id, ok := occi.ParseID(tail)
	if !ok {
		return target{}, false
	}
	t := target{verbs: entityVerbs, kind: k, id: id}
	switch k {
	case m.Kind(occi.TaskKind):
		t.verbs = taskVerbs
	case m.Kind(occi.AuditKind):
		t.verbs = recordVerbs
	case m.Kind(occi.TaskLinkKind):
		t.verbs = taskLinkVerbs
	}
	return t, true
}

// collectionAt reads a location that ends in a slash.
func collectionAt(m *occi.Model, location string) (target, bool) {
	switch c := m.At(location).(type) {
	case *occi.Kind:
		return kindCollection(c), true
	case *occi.Mixin:
		return target{verbs: mixinVerbs, mixin: c}, true
	}
	if t, ok := below(m, location); ok {
		return t, true
	}
	if t, ok := actuatorAt(m, location); ok {
		return t, true
	}
	var under []string
	for _, x := range m.Mixins {
		if strings.HasPrefix(x.Location, location) {
			under = append(under, x.ID())
		}
	}
	return target{verbs: prefixVerbs, under: under}, len(under) > 0
}

func kindCollection(k *occi.Kind) target {
	switch {
	case k.ID() == occi.EntityKind:
		return target{verbs: rootVerbs}
	case k.Abstract:
		return target{verbs: unionVerbs, kind: k}
	case k.ID() == occi.AuditKind:
		return target{verbs: auditVerbs, kind: k}
	case k.ID() == occi.TaskKind, k.ID() == occi.TaskLinkKind:
		return target{verbs: allTasksVerbs, kind: k}
	}
	return target{verbs: collectionVerbs, kind: k}
}

// actuatorAt reads where OCCI's original draft has the actions of an entity:
// /compute/UUID/state/start, in an earlier text /compute/UUID/sc/start.
func actuatorAt(m *occi.Model, location string) (target, bool) {
	segments := strings.Split(strings.Trim(location, "/"), "/")
	n := len(segments)
	if n < 4 || segments[n-2] != "state" && segments[n-2] != "sc" {
		return target{}, false
	}
	known := slices.ContainsFunc(m.Actions, func(a *occi.Action) bool { return a.Term == segments[n-1] })
	t, ok := entityAt(m, "/"+strings.Join(segments[:n-3], "/")+"/", segments[n-3])
	if !known || !ok || t.verbs != entityVerbs {
		return target{}, false
	}
	t.verbs, t.action = actuatorVerbs, segments[n-1]
	return t, true
}

// below reads what lies below an entity: /storage/UUID/compute/ is every compute
// linked to that storage, /compute/UUID/tasks/ what was asked of it.
func below(m *occi.Model, location string) (target, bool) {
	rest := strings.TrimSuffix(location, "/")
	i := strings.LastIndexByte(rest, '/')
	if i < 0 {
		return target{}, false
	}
	rest, word := rest[:i], rest[i+1:]
	i = strings.LastIndexByte(rest, '/')
	if i < 0 {
		return target{}, false
	}
	of, ok := entityAt(m, rest[:i+1], rest[i+1:])
	if !ok || of.verbs != entityVerbs {
		return target{}, false
	}
	if word == "tasks" {
		return target{verbs: tasksVerbs, kind: m.Kind(occi.TaskKind), of: of.kind, id: of.id}, true
	}
	if word == contentWord && of.kind.Host == "volume" {
		return target{verbs: contentVerbs, kind: of.kind, id: of.id}, true
	}
	k, ok := m.At("/" + word + "/").(*occi.Kind)
	if !ok || k.Abstract {
		return target{}, false
	}
	return target{verbs: reverseVerbs, kind: k, of: of.kind, id: of.id}, true
}
