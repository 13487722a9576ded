package main

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

var (
	consoles = regexp.MustCompile("(?s)```console\n(.*?)```")
	creation = regexp.MustCompile(`^occi create (\w+)`)
	located  = regexp.MustCompile(`(?m)^id (\S+)$`)
)

// placeholders are what the README writes for the UUIDs of what it creates.
var placeholders = map[string]string{"compute": "UUID", "network": "NETWORK"}

// TestReadme runs the README's examples of the client in their order: each must
// succeed.
func TestReadme(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, block := range consoles.FindAllStringSubmatch(string(text), -1) {
		lines = append(lines, strings.Split(strings.TrimSpace(block[1]), "\n")...)
	}
	if len(lines) < 5 {
		t.Fatalf("the README has the examples %q", lines)
	}
	url := newServer(t)
	var known []string
	for _, line := range lines {
		command, _, _ := strings.Cut(line, " #")
		args := strings.Fields(strings.NewReplacer(known...).Replace(command))
		var out, errs strings.Builder
		if status := run(t.Context(), append(args[1:], "--server", url), streams{out: &out, err: &errs}); status != 0 {
			t.Fatalf("%s\nends with status %d: %s", line, status, &errs)
		}
		if m := creation.FindStringSubmatch(line); m != nil {
			id := located.FindStringSubmatch(out.String())
			if id == nil {
				t.Fatalf("%s\nshows nothing with an id: %s", line, &out)
			}
			known = append(known, placeholders[m[1]], id[1])
		}
	}
}
