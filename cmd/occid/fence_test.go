package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/occid/occid/internal/engine"
)

func TestFenceCommands(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o700); err != nil {
			t.Fatal(err)
		}
		return path
	}
	told := filepath.Join(dir, "told")
	h := &engine.Fenced{Name: "qemu+ssh://a/system", Title: "a; touch /tmp/x", ID: uuid.New(), HostID: "h", Hostname: "$(id)"}
	for _, tt := range []struct{ name, command, want string }{
		{"told", write("good", `echo "$1 $OCCID_HOST_URI $OCCID_HOST_TITLE $OCCID_HOST_ID $OCCID_HOST_UUID $OCCID_HOST_NAME" >"`+told+`"`) + " off", ""},
		{"fails", write("bad", "echo the switch is away >&2; exit 3\n"), "exit status 3: the switch is away"},
		{"hangs", write("slow", "sleep 60 & wait\n"), "took too long"},
		{"missing", filepath.Join(dir, "none"), "no such file"},
	} {
		o := &options{FenceCommand: tt.command}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		if tt.name == "hangs" {
			cancel()
			ctx, cancel = context.WithTimeout(t.Context(), 200*time.Millisecond)
		}
		err := o.fence()(ctx, h)
		cancel()
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
	text, err := os.ReadFile(told)
	if want := "off " + h.Name + " " + h.Title + " " + h.ID.String() + " h $(id)\n"; err != nil || string(text) != want {
		t.Errorf("it is told %q, %v; want %q", text, err, want)
	}
	if (&options{}).fence() != nil {
		t.Error("without a command there is one")
	}
}
