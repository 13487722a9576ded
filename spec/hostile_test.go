package spec

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestHostileFiles loads files that are made to be slow or deep.
func TestHostileFiles(t *testing.T) {
	base, err := builtins()
	if err != nil {
		t.Fatal(err)
	}
	const n = maxSize / 2
	for name, text := range map[string]string{
		"brackets":   strings.Repeat("[", n),
		"braces":     strings.Repeat("{a: ", n/4),
		"dashes":     strings.Repeat("- ", n/2),
		"questions":  strings.Repeat("? ", n/2),
		"list":       "mixins: [" + strings.Repeat("a,", n/2) + "]",
		"mixins":     "mixins:\n" + strings.Repeat("- {}\n", n/5),
		"keys":       strings.Repeat("a: 1\n", n/5),
		"open":       "mixins: \"" + strings.Repeat("a\n", n/2),
		"spaces":     strings.Repeat(" ", n) + "a",
		"comments":   strings.Repeat("#\n", n/2),
		"small":      "kinds: [" + strings.Repeat("{id: 1e-308},", 20000) + "]",
		"titles":     "mixins:\n" + strings.Repeat("- {id: a, title: \";\"}\n", 4000),
		"chain":      chain(2000),
		"indents":    indents(700),
		"expression": "mixins:\n- id: http://schemas.example.com/occi#x\n  attributes:\n  - {name: com.example.x, type: string, pattern: \"((a{1000}){1000}){1000}\"}\n",
	} {
		begin := time.Now()
		_, err := load(append(base[:len(base):len(base)], source{name: "own.yaml", data: []byte(text)}))
		took := time.Since(begin)
		if name != "comments" && err == nil {
			t.Errorf("%s: taken", name)
		}
		if err != nil && len(err.Error()) > 64<<10 {
			t.Errorf("%s: an error of %d bytes", name, len(err.Error()))
		}
		t.Logf("%s: %v", name, took)
		if took > 20*time.Second {
			t.Errorf("%s: took %v", name, took)
		}
	}
}

func indents(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	return b.String()
}

// chain is a circle of mixins that depend on each other.
func chain(n int) string {
	var b strings.Builder
	b.WriteString("mixins:\n")
	for i := range n {
		fmt.Fprintf(&b, "- {id: 'urn:x#m%d', depends: ['urn:x#m%d']}\n", i, (i+1)%n)
	}
	return b.String()
}
