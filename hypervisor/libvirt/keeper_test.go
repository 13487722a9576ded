package libvirt

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/occid/occid/hypervisor"
)

// fakeConn is a connection to no host.
type fakeConn struct {
	gone   chan struct{}
	lose   func()
	closed chan struct{}
}

func newFakeConn() *fakeConn {
	gone, lose := closeOnce()
	return &fakeConn{gone: gone, lose: lose, closed: make(chan struct{})}
}

func (c *fakeConn) lost() <-chan struct{} { return c.gone }
func (c *fakeConn) close()                { close(c.closed) }

// newKeeper starts a keeper that dials with dial and counts its re-openings in
// reopened.
func newKeeper(t *testing.T, dial func() (*fakeConn, error)) (k *keeper[*fakeConn], reopened chan struct{}) {
	reopened = make(chan struct{}, 100)
	k = &keeper[*fakeConn]{dial: dial, reopen: func() { reopened <- struct{}{} }, log: slog.New(slog.DiscardHandler)}
	k.start()
	t.Cleanup(k.close)
	return k, reopened
}

func TestKeeperReopens(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dialled := make(chan *fakeConn, 100)
		k, reopened := newKeeper(t, func() (*fakeConn, error) {
			c := newFakeConn()
			dialled <- c
			return c, nil
		})
		for range 3 {
			c, err := k.get(t.Context())
			if err != nil || c != <-dialled {
				t.Fatalf("get = %v, %v, want the newest connection", c, err)
			}
			synctest.Wait()
			c.lose()
			<-c.closed
			<-reopened
		}
	})
}

// TestKeeperWaitsBetweenAttempts checks that the pauses grow, to a limit, and
// that callers are told at once meanwhile.
func TestKeeperWaitsBetweenAttempts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		refused := errors.New("refused")
		attempts := make(chan time.Time, 100)
		k, _ := newKeeper(t, func() (*fakeConn, error) {
			attempts <- time.Now()
			return nil, refused
		})
		last := <-attempts
		for i, limit := 0, firstBackoff; i < 12; i, limit = i+1, min(2*limit, maxBackoff) {
			synctest.Wait()
			start := time.Now()
			if _, err := k.get(t.Context()); !errors.Is(err, hypervisor.ErrUnavailable) || time.Since(start) > 0 {
				t.Errorf("get after a failure gave %v after %s, want ErrUnavailable at once", err, time.Since(start))
			}
			at := <-attempts
			if pause := at.Sub(last); pause < limit/2 || pause > limit {
				t.Errorf("pause %d is %s, want between %s and %s", i, pause, limit/2, limit)
			}
			last = at
		}
	})
}

// TestKeeperHang checks that an attempt that hangs is told of, is the only one,
// and is of use when it succeeds after all.
func TestKeeperHang(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		answer := make(chan struct{})
		var dialling sync.Mutex
		k, _ := newKeeper(t, func() (*fakeConn, error) {
			if !dialling.TryLock() {
				t.Error("dialled again while an attempt hangs")
			}
			defer dialling.Unlock()
			<-answer
			return newFakeConn(), nil
		})
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), dialTime/2)
		defer cancel()
		if _, err := k.get(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("get under a short deadline gave %v", err)
		}
		if _, err := k.get(t.Context()); !errors.Is(err, hypervisor.ErrUnavailable) || time.Since(start) != dialTime {
			t.Errorf("get gave %v after %s, want ErrUnavailable after %s", err, time.Since(start), dialTime)
		}
		time.Sleep(time.Hour)
		close(answer)
		synctest.Wait()
		if _, err := k.get(t.Context()); err != nil {
			t.Errorf("get after the host answered: %v", err)
		}
	})
}

func TestKeeperClose(t *testing.T) {
	t.Parallel()
	tests := map[string]func() (*fakeConn, error){
		"open":    func() (*fakeConn, error) { return newFakeConn(), nil },
		"refused": func() (*fakeConn, error) { return nil, errors.New("refused") },
	}
	for name, dial := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var conn *fakeConn
				k, _ := newKeeper(t, func() (*fakeConn, error) {
					c, err := dial()
					conn = c
					return c, err
				})
				synctest.Wait()
				k.close()
				if conn != nil {
					<-conn.closed
				}
				if _, err := k.get(t.Context()); !errors.Is(err, hypervisor.ErrUnavailable) {
					t.Errorf("get of a closed keeper gave %v, want ErrUnavailable", err)
				}
			})
		})
	}
}

// TestKeeperCloseWhileDialling checks that a connection that comes too late is
// not kept.
func TestKeeperCloseWhileDialling(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		answer, conn := make(chan struct{}), newFakeConn()
		k, _ := newKeeper(t, func() (*fakeConn, error) {
			<-answer
			return conn, nil
		})
		synctest.Wait()
		k.close()
		close(answer)
		<-conn.closed
	})
}
