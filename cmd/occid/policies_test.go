package main

import (
	"bytes"
	"encoding/base64"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/occid/occid/internal/policy"
	"github.com/occid/occid/spec"
)

func TestPolicyCommands(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "a.cedar"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := func(args ...string) (string, error) {
		var out bytes.Buffer
		err := runPolicies(args, &out)
		return out.String(), err
	}
	if text, err := run("schema"); err != nil || !strings.Contains(text, "cores?: Long") {
		t.Errorf("the schema is %.80q, %v", text, err)
	}
	if text, err := run("default"); err != nil || !strings.Contains(text, `@id("administrator")`) {
		t.Errorf("the defaults are %.80q, %v", text, err)
	}
	write(`permit (principal, action == Action::"read", resource is Network);`)
	if text, err := run("check", dir); err != nil || !strings.Contains(text, "1 files are good") {
		t.Errorf("a good directory: %q, %v", text, err)
	}
	write("\n" + `permit (principal, action == Action::"fly", resource);`)
	if _, err := run("check", dir); err == nil || !strings.Contains(err.Error(), "a.cedar:2: policy a.cedar:2: unrecognized action") {
		t.Errorf("a bad directory: %v", err)
	}
	if _, err := run("check", filepath.Join(dir, "none")); err == nil {
		t.Error("a directory that does not exist is good")
	}
}

// TestPoliciesAreLoadedAgain: files of policies count after a SIGHUP, unless one is wrong.
func TestPoliciesAreLoadedAgain(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	dir := filepath.Join(home, "policies")
	write := func(name, text string) {
		t.Helper()
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("limits.cedar", `@id("no-host") forbid (principal, action == Action::"read", resource is Host);`)
	if err := os.WriteFile(filepath.Join(home, "secret"), []byte("open-sesame-8787"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := guarded(t, home, "--admin-secret-file", filepath.Join(home, "secret"), "--policies", dir)
	login := "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("admin:open-sesame-8787"))
	if _, text := p.curl(200, "GET", "/host/.uri", "", login); strings.TrimSpace(text) != "" {
		t.Errorf("hosts are listed: %s", text)
	}
	write("limits.cedar", `@id("no-create") forbid (principal, action == Action::"create", resource is Compute) when { resource has cores && resource.cores > 4 };`)
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	p.logged("the policies were loaded")
	if _, text := p.curl(200, "GET", "/host/.uri", "", login); strings.TrimSpace(text) == "" {
		t.Error("no hosts are listed")
	}
	p.curl(403, "POST", "/compute/", `{"cores":8}`, "Content-Type: application/json", login)
	p.logged(`"policy":"no-create"`)
	write("wrong.cedar", "\n\nforbid (principal, action, resource is Compute) when { resource.cores > 1 };")
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	p.logged("the policies stay as they were")
	p.logged("wrong.cedar:3")
	p.curl(403, "POST", "/compute/", `{"cores":8}`, "Content-Type: application/json", login)
	p.curl(201, "POST", "/compute/", `{"cores":2}`, "Content-Type: application/json", login)
}

// cedarBlock is an example of a document.
var cedarBlock = regexp.MustCompile("(?s)```cedar\n(.*?)```")

// TestPoliciesDocument takes in every example of the document.
func TestPoliciesDocument(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/policies.md")
	if err != nil {
		t.Fatal(err)
	}
	m, err := spec.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	blocks := cedarBlock.FindAllSubmatch(text, -1)
	for _, b := range blocks {
		if _, err := policy.New(m, policy.Source{Name: "docs.cedar", Text: b[1]}); err != nil {
			t.Errorf("%s\n%v", b[1], err)
		}
	}
	if len(blocks) < 4 {
		t.Errorf("%d examples", len(blocks))
	}
}
