package server_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/occid/occid/occi"
	"github.com/occid/occid/spec"
)

// TestActionsStayInTheStateMachine invokes actions at random, those of other kinds
// among them. An entity goes where its registry leads from where it was, or stays,
// and shows the actions that lead on.
func TestActionsStayInTheStateMachine(t *testing.T) {
	t.Parallel()
	m, err := spec.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	var terms []string
	for _, a := range m.Actions {
		// What has become an image is not resized any more, and there is no other host.
		if !slices.Contains(terms, a.Term) && a.Do != "volume.template" && a.Do != "domain.migrate" {
			terms = append(terms, a.Term)
		}
	}
	drafts := map[string]string{"compute": `{"ephemeral":1,"mixin":"http://schemas.ogf.org/occi/infrastructure/compute/template/1.1#small"}`, "network": `{"type":"network"}`, "storage": `{"size":"1 GiB"}`}
	c := newCloud(t)
	rapid.Check(t, func(rt *rapid.T) {
		kind := m.KindNamed(rapid.SampledFrom([]string{"compute", "network", "storage"}).Draw(rt, "kind"))
		path := c.create(kind.Location, drafts[kind.Term])
		defer c.do("DELETE", path, "", "Prefer: wait=20")
		state, shown := c.stateOf(path, kind)
		first := kind.States.Initial
		if next, ok := kind.States.Next(first, kind.States.Auto); ok {
			first = next.To
		}
		if state != first {
			rt.Fatalf("a new %s is %s", kind.Term, state)
		}
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			if want := possible(kind, state); !slices.Equal(shown, want) {
				rt.Fatalf("a %s that is %s shows %q, want %q", kind.Term, state, shown, want)
			}
			term := rapid.SampledFrom(terms).Draw(rt, "action")
			r := c.do("POST", path+"?action="+term+parameters(m.ActionOf(kind, nil, term)), "", "Prefer: wait=20")
			was := state
			state, shown = c.stateOf(path, kind)
			if problem := leads(m, kind, was, term, state, r.StatusCode); problem != "" {
				rt.Fatalf("%s of a %s that was %s: %d, and it is %s: %s\n%s", term, kind.Term, was, r.StatusCode, state, problem, r.text)
			}
		}
	})
}

// leads tells what is wrong with an action's outcome.
func leads(m *occi.Model, kind *occi.Kind, was, term, state string, status int) string {
	next, ok := kind.States.Next(was, term)
	switch {
	case m.ActionOf(kind, nil, term) == nil:
		if status != 400 || state != was {
			return "it has no such action"
		}
	case ok:
		if status != 200 || state != next.To {
			return "it leads to " + next.To
		}
	case slices.Contains(kind.States.Targets(term), was):
		if status != 200 || state != was {
			return "it was there"
		}
	case status != 409 || state != was:
		return "it is not possible"
	}
	return ""
}

// possible lists the terms of the actions that lead on from a state.
func possible(kind *occi.Kind, state string) []string {
	var out []string
	for _, t := range kind.States.Transitions {
		if t.From == state && t.Action != "" {
			out = append(out, t.Action)
		}
	}
	slices.Sort(out)
	return out
}

// parameters gives what an action must be given, for a URL.
func parameters(a *occi.Action) string {
	text := ""
	if a != nil {
		for _, p := range a.Attributes {
			if p.Required {
				text += "&" + p.Name + "=2"
			}
		}
	}
	return text
}

// stateOf reads the state of an entity and the terms of the actions it shows.
func (c *cloud) stateOf(path string, kind *occi.Kind) (string, []string) {
	c.t.Helper()
	var shown struct {
		Attributes map[string]any `json:"attributes"`
		Actions    []string       `json:"actions"`
	}
	r := c.do("GET", path, "", "Accept: application/occi+json").want(c.t, 200)
	if err := json.Unmarshal([]byte(r.text), &shown); err != nil {
		c.t.Fatal(err)
	}
	for i, a := range shown.Actions {
		_, shown.Actions[i], _ = strings.Cut(a, "#")
	}
	slices.Sort(shown.Actions)
	state, _ := shown.Attributes[kind.States.Attribute].(string)
	return state, shown.Actions
}
