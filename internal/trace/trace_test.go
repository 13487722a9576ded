package trace_test

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/occid/occid/internal/trace"
)

// TestOpen checks when there is a Tracer at all.
func TestOpen(t *testing.T) {
	const endpoint, traces, protocol = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_PROTOCOL"
	for name, x := range map[string]struct {
		env  map[string]string
		on   bool
		word string // of the error
	}{
		"nothing":           {},
		"an endpoint":       {map[string]string{endpoint: "http://127.0.0.1:1"}, true, ""},
		"one for traces":    {map[string]string{traces: "http://127.0.0.1:1/x"}, true, ""},
		"the protocol":      {map[string]string{endpoint: "http://127.0.0.1:1", protocol: "http/protobuf"}, true, ""},
		"another protocol":  {map[string]string{endpoint: "http://127.0.0.1:1", protocol: "grpc"}, false, protocol},
		"disabled":          {map[string]string{endpoint: "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"}, false, ""},
		"another exporter":  {map[string]string{endpoint: "http://127.0.0.1:1", "OTEL_TRACES_EXPORTER": "none"}, false, ""},
		"only the protocol": {map[string]string{protocol: "grpc"}, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			for _, k := range []string{endpoint, traces, protocol} {
				t.Setenv(k, "")
			}
			for k, v := range x.env {
				t.Setenv(k, v)
			}
			got, err := trace.Open(t.Context(), "1.2", slog.New(slog.DiscardHandler))
			if (got != nil) != x.on || (err != nil) != (x.word != "") || err != nil && !strings.Contains(err.Error(), x.word) {
				t.Fatalf("%v, %v", got, err)
			}
			if got != nil {
				if err := got.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
}
