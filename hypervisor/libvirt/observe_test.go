package libvirt_test

import (
	"context"
	"slices"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/occid/occid/hypervisor/libvirt"
)

// observed notes how calls ended.
type observed struct {
	mu    sync.Mutex
	calls []string
}

func (o *observed) Call(ctx context.Context, operation string) (context.Context, func(error)) {
	return ctx, func(err error) {
		o.mu.Lock()
		defer o.mu.Unlock()
		if err == nil {
			operation += " ok"
		}
		o.calls = append(o.calls, operation)
	}
}

func (o *observed) Change(ctx context.Context, op string) (context.Context, func(error)) {
	return o.Call(ctx, op)
}

func (o *observed) want(t *testing.T, calls ...string) {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, c := range calls {
		if !slices.Contains(o.calls, c) {
			t.Errorf("%q was not observed, only %q", c, o.calls)
		}
	}
}

// TestFailuresAreObserved has a call fail; it is observed under a name that does not
// tell what it was about.
func TestFailuresAreObserved(t *testing.T) {
	t.Parallel()
	calls := &observed{}
	d := open(t, libvirt.Config{URI: private(t), Observer: calls})
	if _, err := d.Domain(t.Context(), uuid.New()); err == nil {
		t.Error("a domain that does not exist was found")
	}
	if err := d.StartDomain(t.Context(), uuid.New()); err == nil {
		t.Error("a domain that does not exist was started")
	}
	calls.want(t, "describe domain", "start domain")
}
