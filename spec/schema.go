package spec

import (
	"bytes"
	_ "embed" // the schema
	"fmt"
	"sort"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"go.yaml.in/yaml/v3"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

//go:embed schema.json
var schemaText []byte

var schema = sync.OnceValues(func() (*jsonschema.Schema, error) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(schemaText))
	if err != nil {
		return nil, err
	}
	const url = "schema.json"
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	if err := c.AddResource(url, doc); err != nil {
		return nil, err
	}
	return c.Compile(url)
})

// conform judges a file's tree by the schema.
func conform(root *yaml.Node, value any) ([]fault, error) {
	s, err := schema()
	if err != nil {
		return nil, fmt.Errorf("schema.json: %w", err)
	}
	err = s.Validate(value)
	if err == nil {
		return nil, nil
	}
	top, ok := err.(*jsonschema.ValidationError)
	if !ok {
		return nil, err
	}
	var out []fault
	seen := map[fault]bool{}
	var leaves func(e *jsonschema.ValidationError)
	leaves = func(e *jsonschema.ValidationError) {
		if len(e.Causes) == 0 {
			for _, f := range describe(root, e) {
				if !seen[f] {
					seen[f] = true
					out = append(out, f)
				}
			}
		}
		for _, c := range e.Causes {
			leaves(c)
		}
	}
	leaves(top)
	sort.SliceStable(out, func(i, j int) bool { return out[i].line < out[j].line })
	return out, nil
}

// describe says what one failed rule of the schema means at its line.
func describe(root *yaml.Node, e *jsonschema.ValidationError) []fault {
	n, what := at(root, e.InstanceLocation)
	line := n.Line
	field := ""
	if p := e.InstanceLocation; len(p) > 0 {
		field = p[len(p)-1] + " "
		if n.Kind == yaml.ScalarNode && n.Value == what {
			what = ""
		}
		if strings.Trim(p[len(p)-1], "0123456789") == "" {
			field = ""
		}
	}
	say := func(format string, args ...any) []fault {
		return []fault{{line, what, field + fmt.Sprintf(format, args...)}}
	}
	switch k := e.ErrorKind.(type) {
	case *kind.AdditionalProperties:
		var out []fault
		for _, p := range k.Properties {
			at := line
			if key, _ := entry(n, p); key != nil {
				at = key.Line
			}
			out = append(out, fault{at, what, fmt.Sprintf("unknown key %q", p)})
		}
		return out
	case *kind.Required:
		return []fault{{line, what, "lacks " + strings.Join(k.Missing, " and ")}}
	case *kind.Type:
		return say("is %s where %s is meant", article(k.Got), article(strings.Join(k.Want, " or ")))
	case *kind.Enum:
		want := make([]string, len(k.Want))
		for i, w := range k.Want {
			want[i] = fmt.Sprint(w)
		}
		return say("%q is not one of %s", fmt.Sprint(k.Got), strings.Join(want, ", "))
	case *kind.Pattern:
		return say("%q is not written as it must be (%s)", k.Got, k.Want)
	case *kind.UniqueItems:
		return say("repeats an item")
	}
	return say("%s", e.ErrorKind.LocalizedString(message.NewPrinter(language.English)))
}

func article(s string) string {
	switch s {
	case "null":
		return "nothing"
	case "object":
		return "a mapping"
	case "array":
		return "a list"
	case "integer":
		return "an integer"
	}
	return "a " + s
}
