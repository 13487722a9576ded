package delegate_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/occid/occid/internal/auth"
	"github.com/occid/occid/internal/delegate"
	"github.com/occid/occid/occi"
)

const secret = "c2VjcmV0IHBsYW50ZWQ"

// script writes a program for the shell.
func script(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

type log struct {
	mu sync.Mutex
	bytes.Buffer
}

func (l *log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Buffer.Write(b)
}

func open(t *testing.T, text string, adjust ...func(*delegate.Config)) (*delegate.Program, *log) {
	t.Helper()
	l := &log{}
	c := delegate.Config{Path: script(t, text), Schemes: []string{"Ticket", "Basic"}, Time: 10 * time.Second, Most: 4,
		Logger: slog.New(slog.NewTextHandler(l, nil)), Now: func() time.Time { return time.Unix(1000, 0) }}
	for _, f := range adjust {
		f(&c)
	}
	p, err := delegate.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return p, l
}

func request(t *testing.T, authorization string) *http.Request {
	t.Helper()
	r, err := http.NewRequest("PUT", "http://cloud.example.org/compute/x?y=1", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", authorization)
	return r
}

func prove(t *testing.T, p *delegate.Program, authorization string) (*auth.Proof, error) {
	t.Helper()
	c, ok := p.Read(request(t, authorization), auth.From{Address: "[::ffff:198.51.100.7]:4711"})
	if !ok {
		t.Fatalf("%q is not read", authorization)
	}
	return p.Prove(t.Context(), c)
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		name, program string
		want          occi.Class
		proof         *auth.Proof
	}{
		{"a user alone", `echo '{"user":"ann"}'`, "", &auth.Proof{Subjects: []string{"ann"}, Login: "ann", Attributes: map[string][]string{"user": {"ann"}}, Until: time.Unix(1000, 0)}},
		{"everything", `cat >/dev/null; echo '{"user":"ann","title":"Ann","projects":["lab",{"project":"x","role":"reader"}],"roles":["member","administrator"],"cache":30,"attributes":{"group":["a","b"]}}'`, "",
			&auth.Proof{Subjects: []string{"ann"}, Login: "ann", Title: "Ann", Attributes: map[string][]string{"user": {"ann"}, "group": {"a", "b"}}, Administrator: true,
				Grants: []auth.Grant{{Project: "lab", Role: "member"}, {Project: "lab", Role: "administrator"}, {Project: "x", Role: "reader"}}, Until: time.Unix(1030, 0)}},
		{"a long time", `echo '{"user":"ann","cache":1000000000}'`, "", &auth.Proof{Subjects: []string{"ann"}, Login: "ann", Attributes: map[string][]string{"user": {"ann"}}, Until: time.Unix(4600, 0)}},
		{"a refusal", `exit 1`, occi.Unauthorized, nil},
		{"a refusal that says something", `echo '{"user":"ann"}'; exit 1`, occi.Unauthorized, nil},
		{"a failure", `exit 2`, occi.Unavailable, nil},
		{"a signal", `kill -9 $$`, occi.Unavailable, nil},
		{"nothing", ``, occi.Unavailable, nil},
		{"no JSON", `echo ` + secret, occi.Unavailable, nil},
		{"what is not known", `echo '{"user":"ann","sudo":true}'`, occi.Unavailable, nil},
		{"no user", `echo '{"title":"ann"}'`, occi.Unavailable, nil},
		{"two answers", `echo '{"user":"ann"} {"user":"bob"}'`, occi.Unavailable, nil},
		{"an unknown role", `echo '{"user":"ann","roles":["root"]}'`, occi.Unavailable, nil},
		{"an unknown role in a project", `echo '{"user":"ann","projects":[{"project":"x","role":"administrator"}]}'`, occi.Unavailable, nil},
		{"too much", `while echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; do :; done`, occi.Unavailable, nil},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			p, l := open(t, x.program)
			proof, err := prove(t, p, "Ticket "+secret)
			if err == nil && x.want != "" || err != nil && occi.ClassOf(err) != x.want {
				t.Errorf("%v, want %q", err, x.want)
			}
			if d := cmp.Diff(x.proof, proof); d != "" {
				t.Error(d)
			}
			if strings.Contains(l.String(), secret) {
				t.Errorf("the log tells the secret: %s", l)
			}
		})
	}
}

// TestQuestion: the program learns all by its standard input, and nothing otherwise.
func TestQuestion(t *testing.T) {
	t.Setenv("OCCID_DB", "postgres://secret")
	seen := t.TempDir()
	p, _ := open(t, `cat >`+seen+`/asked; /usr/bin/tr '\0' '\n' </proc/self/environ >`+seen+`/env; echo "$@" >`+seen+`/args; pwd >`+seen+`/dir; echo '{"user":"ann"}'`)
	if _, err := prove(t, p, "tICKET  "+secret); err != nil {
		t.Fatal(err)
	}
	read := func(name string) string {
		b, err := os.ReadFile(filepath.Join(seen, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	var got, want map[string]string
	want = map[string]string{"scheme": "Ticket", "credentials": secret, "method": "PUT", "uri": "/compute/x?y=1", "address": "198.51.100.7"}
	if err := json.Unmarshal([]byte(read("asked")), &got); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if env := read("env"); strings.Contains(env, "OCCID") || strings.Contains(env, "HOME") {
		t.Errorf("the environment is %q", env)
	}
	if read("args") != "\n" || read("dir") != "/\n" {
		t.Errorf("arguments %q in %q", read("args"), read("dir"))
	}
}

// TestBounds: a program that hangs is ended with all that it has started, and no more run
// than may.
func TestBounds(t *testing.T) {
	t.Parallel()
	seen := t.TempDir()
	p, _ := open(t, `echo $$ >`+seen+`/$$; sleep 1000 & echo $! >>`+seen+`/$$; wait`, func(c *delegate.Config) { c.Time, c.Most = 700*time.Millisecond, 2 })
	begun := time.Now()
	var all sync.WaitGroup
	for range 6 {
		all.Go(func() {
			if _, err := prove(t, p, "Ticket x"); occi.ClassOf(err) != occi.Unavailable {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if took := time.Since(begun); took > 8*time.Second {
		t.Errorf("it took %s", took)
	}
	files, err := os.ReadDir(seen)
	if err != nil || len(files) == 0 || len(files) > 4 {
		t.Errorf("%d programs ran, %v", len(files), err)
	}
	for _, f := range files {
		text, err := os.ReadFile(filepath.Join(seen, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		for _, pid := range strings.Fields(string(text)) {
			alive := true
			for end := time.Now().Add(10 * time.Second); alive && time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
				stat, err := os.ReadFile("/proc/" + pid + "/stat")
				alive = err == nil && !strings.Contains(string(stat), ") Z ")
			}
			if alive {
				t.Errorf("%s is left", pid)
			}
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c, _ := p.Read(request(t, "Ticket x"), auth.From{})
	if _, err := p.Prove(ctx, c); occi.ClassOf(err) != occi.Unavailable {
		t.Error(err)
	}
}

func TestReads(t *testing.T) {
	t.Parallel()
	p, _ := open(t, "")
	for authorization, want := range map[string]string{"Bearer x": "-", "Ticketx y": "-", "": "-", "ticket": "", "Ticket x": "", "Basic YW5uOng=": "external ann", "Basic !": ""} {
		c, ok := p.Read(request(t, authorization), auth.From{Address: "192.0.2.1:1"})
		if got := map[bool]string{true: c.Account, false: "-"}[ok]; got != want || ok && !c.Guessed {
			t.Errorf("%q is of %q, want %q", authorization, got, want)
		}
	}
	if d := cmp.Diff([]string{`Ticket realm="occid"`, `Basic realm="occid"`}, p.Challenges()); d != "" {
		t.Error(d)
	}
}

func TestRefusedPrograms(t *testing.T) {
	t.Parallel()
	good := script(t, "")
	writable, data := script(t, ""), script(t, "")
	if err := os.Chmod(writable, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(data, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []delegate.Config{{Path: good}, {Path: good + "x", Schemes: []string{"A"}}, {Path: filepath.Dir(good), Schemes: []string{"A"}}, {Path: writable, Schemes: []string{"A"}},
		{Path: data, Schemes: []string{"A"}}, {Path: "delegate.go", Schemes: []string{"A"}}, {Path: good, Schemes: []string{"A B"}}, {Path: good, Schemes: []string{"A", "a"}}, {Path: good, Schemes: []string{""}}} {
		if _, err := delegate.New(c); err == nil {
			t.Errorf("%+v is taken", c)
		}
	}
}
