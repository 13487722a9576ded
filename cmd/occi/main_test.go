package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/occid/occid/hypervisor/libvirt"
	"github.com/occid/occid/internal/dbtest"
	"github.com/occid/occid/internal/engine"
	"github.com/occid/occid/internal/server"
	"github.com/occid/occid/occi"
	"github.com/occid/occid/spec"
	"github.com/occid/occid/store"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// newServer starts a server over libvirt's test host that ends with the test, and
// gives its URL.
func newServer(t *testing.T) string {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	m, err := spec.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	st, err := store.Open(t.Context(), dbtest.SQLite(t), store.WithModel(func() *occi.Model { return m }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closes(t, st) })
	driver, err := libvirt.Open(libvirt.Config{URI: "test:///default", Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closes(t, driver) })
	e := engine.New(engine.Config{Store: st, Model: func() *occi.Model { return m }, Worker: "test",
		Hosts: []engine.Host{{Name: "one", Driver: driver}}, Logger: quiet})
	if err := e.Start(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Stop)
	web := httptest.NewServer(server.New(server.Config{Engine: e, Version: "test", Logger: quiet}))
	t.Cleanup(web.Close)
	return web.URL
}

func closes(t *testing.T, c io.Closer) {
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

// step is one run of the program in a transcript.
type step struct {
	line string // arguments; {NAME} stands for what has that name
	in   string // standard input
	// as names the entity whose URI is printed.
	as       string
	terminal bool
}

// transcript is what a person sees who runs the program several times. What
// differs from run to run is replaced by names.
type transcript struct {
	t     *testing.T
	url   string
	text  strings.Builder
	names []string // old and new, for strings.NewReplacer
	count int      // of UUIDs without a name of their own
}

func newTranscript(t *testing.T, url string) *transcript {
	return &transcript{t: t, url: url, names: []string{url, "http://SERVER"}}
}

func (x *transcript) name(old, name string) { x.names = append(x.names, old, "{"+name+"}") }

var (
	uuids = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	macs  = regexp.MustCompile(`02(:[0-9a-f]{2}){5}`)
	// Only some UUIDs need quotes in YAML.
	quoted = regexp.MustCompile(`(?m)(\b(?:id|serial): )"([^"]*)"$`)
	// Serial numbers of disks are the beginnings of UUIDs.
	serials = regexp.MustCompile(`\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]\b`)
	times   = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`)
)

// do runs the program and writes down what it shows.
func (x *transcript) do(s step) {
	x.t.Helper()
	args := strings.Fields(s.line)
	for i := range args {
		for n := 0; n < len(x.names); n += 2 {
			args[i] = strings.ReplaceAll(args[i], x.names[n+1], x.names[n])
		}
	}
	var out, errs strings.Builder
	status := run(x.t.Context(), append([]string{"--server", x.url}, args...),
		streams{in: strings.NewReader(s.in), out: &out, err: &errs, terminal: s.terminal})
	if s.as != "" {
		id := uuids.FindString(out.String())
		if id == "" {
			x.t.Fatalf("occi %s: prints no URI\n%s%s", s.line, &out, &errs)
		}
		x.name(id, s.as)
	}
	fmt.Fprintf(&x.text, "$ occi %s\n%s%s", s.line, x.stable(out.String()), x.stable(errs.String()))
	if status != 0 {
		fmt.Fprintf(&x.text, "[%d]\n", status)
	}
}

// stable replaces what differs from run to run.
func (x *transcript) stable(text string) string {
	text = quoted.ReplaceAllString(text, "$1$2")
	text = strings.NewReplacer(x.names...).Replace(text)
	text = macs.ReplaceAllString(times.ReplaceAllString(text, "{time}"), "{mac}")
	text = uuids.ReplaceAllStringFunc(text, func(id string) string {
		x.count++
		x.name(id, fmt.Sprintf("uuid-%d", x.count))
		return strings.NewReplacer(x.names...).Replace(id)
	})
	return serials.ReplaceAllString(text, "{serial}")
}

// compare holds the transcript to a golden file.
func (x *transcript) compare(name string) {
	x.t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(x.text.String()), 0o644); err != nil {
			x.t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		x.t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), x.text.String()); diff != "" {
		x.t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}
