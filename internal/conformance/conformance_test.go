package conformance

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/occid/occid/internal/lab"
)

// startTime bounds how long it takes to build a server, and to start one.
const startTime = 3 * time.Minute

// binary is the path of the occid all tests here run.
var binary string

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "occid-conformance-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "occid")
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", binary, "github.com/occid/occid/cmd/occid").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build occid: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// start runs an occid over libvirt's test host that ends with the test.
func start(t *testing.T) *speaker {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startTime)
	defer cancel()
	s, err := lab.StartServer(ctx, lab.ServerOptions{Binary: binary, Dir: t.TempDir(), Hosts: []*lab.Host{{URI: "test:///default"}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	address := strings.TrimPrefix(s.URL, "http://")
	return &speaker{address: address, kept: map[string]string{"http": s.URL, "host": address}}
}

func TestConformance(t *testing.T) {
	files, err := filepath.Glob("../../testdata/conformance/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Fatal("there are no transcripts")
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			start(t).play(t, file)
		})
	}
}
