package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	shell   = regexp.MustCompile("(?s)```sh\n(.*?)```")
	created = regexp.MustCompile(`^curl -X POST .*http://[^/]+/(compute|network|storage)/$`)
	member  = regexp.MustCompile(`/(?:compute|network|storage)/([0-9a-f-]{36})`)
)

// placeholders are what the README writes for the identifiers of the first
// compute, network and storage that it creates.
var placeholders = map[string]string{"compute": "UUID", "network": "NETWORK", "storage": "STORAGE"}

// TestReadme runs the walk-through of the README as it stands there: each line
// must succeed.
func TestReadme(t *testing.T) {
	t.Parallel()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, block := range shell.FindAllStringSubmatch(string(text), -1) {
		lines = append(lines, strings.Split(strings.TrimSpace(block[1]), "\n")...)
	}
	if len(lines) < 10 || lines[0] != "make run" {
		t.Fatalf("the walk-through begins with %q", lines)
	}
	home := t.TempDir()
	if err := os.WriteFile(filepath.Join(home, ".curlrc"), []byte("silent\nshow-error\nfail-with-body\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(data string) string {
		return launch(t, exec.Command("make", "-C", root, "run", "LISTEN=127.0.0.1:0", "DATA="+filepath.Join(home, data))).url
	}
	known := map[string]string{"http://127.0.0.1:8787": run("data"), "http://other.example.com": run("other")}
	for _, line := range append(lines[1:], alsoShown...) {
		out := shellLine(t, home, filled(line, known))
		if m := created.FindStringSubmatch(line); m != nil {
			id := member.FindStringSubmatch(out)
			if id == nil {
				t.Fatalf("%s\nanswers %q, which names nothing", line, out)
			}
			if name := placeholders[m[1]]; known[name] == "" {
				known[name] = id[1]
			}
		}
		if strings.Contains(line, "?action=start") {
			if out := shellLine(t, home, filled("curl http://127.0.0.1:8787/compute/UUID.txt", known)); !strings.Contains(out, "state active") {
				t.Errorf("after %s it is\n%s", line, out)
			}
		}
	}
}

// alsoShown are what the comment beside a line of the README speaks of; they are
// about the collection, for the compute is deleted by then.
var alsoShown = []string{
	"curl http://127.0.0.1:8787/compute/.json", "curl http://127.0.0.1:8787/compute/.xml",
	"curl http://127.0.0.1:8787/compute/.atom", "curl -H 'Accept: text/plain' http://127.0.0.1:8787/compute/",
}

func filled(line string, known map[string]string) string {
	for name, value := range known {
		line = strings.ReplaceAll(line, name, value)
	}
	return line
}

// shellLine runs one line of a shell and gives what it prints.
func shellLine(t *testing.T, home, line string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", "-c", line)
	cmd.Env = append(os.Environ(), "CURL_HOME="+home, "HOME="+home)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s\n%v: %s", line, err, out)
	}
	return string(out)
}
