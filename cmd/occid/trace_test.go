package main

import (
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// spans is a collector of OTLP over HTTP.
type spans struct {
	t   *testing.T
	url string

	mu   sync.Mutex
	all  []*otlp.Span
	bad  []string
	from map[string]bool // attributes of who sent them
}

func collect(t *testing.T) *spans {
	s := &spans{t: t, from: map[string]bool{}}
	l := httptest.NewServer(s)
	t.Cleanup(l.Close)
	s.url = l.URL
	return s
}

// ServeHTTP takes in spans.
func (s *spans) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var sent collector.ExportTraceServiceRequest
	if err == nil {
		err = proto.Unmarshal(body, &sent)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil || r.URL.Path != "/v1/traces" {
		s.bad = append(s.bad, fmt.Sprintf("%s: %v", r.URL.Path, err))
	}
	for _, rs := range sent.ResourceSpans {
		for _, a := range rs.Resource.Attributes {
			s.from[a.Key+"="+a.Value.GetStringValue()] = true
		}
		for _, ss := range rs.ScopeSpans {
			s.all = append(s.all, ss.Spans...)
		}
	}
}

// program starts a server that traces to the collector.
func (s *spans) program(args ...string) *program {
	s.t.Helper()
	cmd := occid(os.Args[0], args...)
	cmd.Env = append(cmd.Env, "OTEL_EXPORTER_OTLP_ENDPOINT="+s.url, "OTEL_BSP_SCHEDULE_DELAY=20", "OTEL_RESOURCE_ATTRIBUTES=deployment.environment=test")
	return launch(s.t, cmd)
}

// want waits for spans of a trace, each below the one before, the first below a parent.
func (s *spans) want(p *program, trace, parent string, names ...string) {
	s.t.Helper()
	for !s.have(trace, parent, names...) {
		select {
		case <-time.After(5 * time.Millisecond):
		case <-p.ctx.Done():
			s.t.Fatalf("there are no spans %q below %s", names, parent)
		}
	}
}

func (s *spans) have(trace, parent string, names ...string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.below(trace, parent, names)
}

func (s *spans) below(trace, parent string, names []string) bool {
	return len(names) == 0 || slices.ContainsFunc(s.all, func(x *otlp.Span) bool {
		return hex.EncodeToString(x.TraceId) == trace && x.Name == names[0] && hex.EncodeToString(x.ParentSpanId) == parent &&
			s.below(trace, hex.EncodeToString(x.SpanId), names[1:])
	})
}

// The trace and the span of a client that asks.
const (
	clientTrace = "4bf92f3577b34da6a3ce929d0e0e4736"
	clientSpan  = "00f067aa0ba902b7"
	fromClient  = "traceparent: 00-" + clientTrace + "-" + clientSpan + "-01"
)

// steps are the spans of a create, each below the one before.
var steps = []string{"POST /compute/", "task create", "define domain", "domain.define"}

// TestTraces follows a create from the client to libvirt.
func TestTraces(t *testing.T) {
	t.Parallel()
	s, dir := collect(t), t.TempDir()
	p := s.program("--db", "sqlite:"+filepath.Join(dir, "x.db"), "--data", dir, "--libvirt", "test:///default")
	p.curl(201, "POST", "/compute/", `{"type":"compute"}`, asJSON, waiting, fromClient)
	p.curl(200, "GET", "/healthz", "")
	s.want(p, clientTrace, clientSpan, steps...)
	p.stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range s.all {
		if strings.Contains(x.Name, "healthz") || len(x.ParentSpanId) == 0 && x.Kind == otlp.Span_SPAN_KIND_CLIENT {
			t.Errorf("%s is traced", x.Name)
		}
		if x.Status.GetCode() == otlp.Status_STATUS_CODE_ERROR {
			t.Errorf("%s failed: %s", x.Name, x.Status.Message)
		}
	}
	for _, a := range []string{"service.name=occid", "service.version=" + version, "deployment.environment=test"} {
		if !s.from[a] {
			t.Errorf("spans are not from %s, but from %v", a, s.from)
		}
	}
	if len(s.bad) > 0 {
		t.Error(s.bad)
	}
}

// TestTracesSurvive has one server accept what only another one can do, once the host
// is there again.
func TestTracesSurvive(t *testing.T) {
	t.Parallel()
	const machine = "/compute/2f5c0f7e-5a6b-4f3d-9f0e-0d6a7c9f3f11"
	steps := []string{"POST /compute/{id}", "task start", "start domain"}
	s, dir := collect(t), t.TempDir()
	node := filepath.Join(dir, "node.xml")
	args := []string{"--db", "sqlite:" + filepath.Join(dir, "x.db"), "--libvirt", "test://" + node, "--data"}
	come := func() {
		if err := os.WriteFile(node, []byte("<node/>"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	come()
	p := s.program(append(args, filepath.Join(dir, "one"))...)
	p.curl(201, "PUT", machine, `{"title":"a"}`, asJSON, waiting)
	p.stop()
	if err := os.Remove(node); err != nil {
		t.Fatal(err)
	}
	p = s.program(append(args, filepath.Join(dir, "one"))...)
	p.curl(200, "POST", machine+"?action=start", "", fromClient)
	p.stop()
	if !s.have(clientTrace, clientSpan, steps[:1]...) || s.have(clientTrace, clientSpan, steps...) {
		t.Fatal("the request was not traced, or done without a host")
	}
	come()
	p = s.program(append(args, filepath.Join(dir, "two"))...)
	s.want(p, clientTrace, clientSpan, steps...)
	p.stop()
}
