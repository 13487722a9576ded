package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/occid/occid/hypervisor/libvirt"
	"github.com/occid/occid/internal/engine"
	"github.com/occid/occid/internal/guest"
	"github.com/occid/occid/occi"
	"github.com/occid/occid/spec"
	"github.com/occid/occid/store"
)

// What guests ask of the server, each second, and over how many connections. These are
// as many as the rate needs: more only wait for the two cores that the client has a part
// of.
const (
	guestRate    = 5000
	guestClients = 8
	guestCount   = 100 // guests
)

// guestMost is how late the slowest but one in a hundred may be, in milliseconds.
const guestMost = 5

// guestPaths are what a guest asks, as one that boots does.
var guestPaths = []string{"/latest/meta-data/instance-id", "/openstack/latest/meta_data.json", "/nocloud/user-data", "/.json"}

// guests measures how long guests wait for answers that they ask for as a proxy
// does, at a steady rate, whether or not earlier ones are there yet.
func (b *bench) guests() error {
	dsn := "sqlite:" + filepath.Join(b.dir, "guests.db")
	if _, err := fill(b.ctx, dsn, 10000); err != nil {
		return err
	}
	peers, err := fillGuests(b.ctx, dsn)
	if err != nil {
		return err
	}
	key := guest.Key("a key for the figures, of no use elsewhere")
	file := filepath.Join(b.dir, "guest.key")
	if err := os.WriteFile(file, key, 0o600); err != nil {
		return err
	}
	at, err := freeAddress()
	if err != nil {
		return err
	}
	p, err := b.launch("/readyz", exec.Command(b.binary, "--dev", "--listen", "127.0.0.1:0", "--db", dsn, "--libvirt", "test:///default",
		"--data", b.dir, "--guest-bridges", "none", "--guest-listen", at, "--guest-key-file", file))
	if err != nil {
		return err
	}
	defer p.stop()
	bare, err := b.bareGuests("http://"+at, key, peers[0])
	if err != nil {
		return err
	}
	defer bare.stop()
	ours, best := guestLoad{url: "http://" + at}, guestLoad{url: bare.url}
	for range b.rounds {
		for _, l := range []*guestLoad{&ours, &best} {
			if err := b.askAsGuests(l, key, peers); err != nil {
				return err
			}
		}
	}
	if rate := ours.rate(); rate < guestRate*0.99 {
		return fmt.Errorf("%.0f guests' requests a second are answered, of %d", rate, guestRate)
	}
	mine, least := middle(ours.p99s), middle(best.p99s)
	ok := mine <= guestMost*time.Millisecond
	b.add(row{what: fmt.Sprintf("%d guests' requests a second, p99", guestRate), value: describeLate(mine), beside: describeLate(least),
		ratio: fmt.Sprintf("%.2f", float64(mine)/float64(least)), goal: fmt.Sprintf("<= %d ms", guestMost), ok: &ok})
	return nil
}

func describeLate(d time.Duration) string {
	return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000)
}

// guestLoad is what the measurements of one server gave.
type guestLoad struct {
	url   string
	rates []float64
	p99s  []time.Duration
}

// rate is the median of the answers in a second.
func (l *guestLoad) rate() float64 {
	slices.Sort(l.rates)
	return l.rates[len(l.rates)/2]
}

// bareGuests starts the bare handler with what a guest is answered. It learns that from
// a listener here, since it cannot sign what it asks.
func (b *bench) bareGuests(url string, key guest.Key, p guest.Peer) (*process, error) {
	teacher := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		resp, err := signed(b.ctx, http.DefaultClient, url+r.URL.Path, key, p)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer resp.Body.Close()
		w.Header()["Content-Type"] = resp.Header["Content-Type"]
		w.WriteHeader(resp.StatusCode)
		_, _ = io.Copy(w, resp.Body)
	}))
	defer teacher.Close()
	var targets []target
	for _, path := range guestPaths {
		targets = append(targets, target{path: path})
	}
	return b.bare(teacher.URL, targets)
}

// freeAddress gives an address of the loopback interface that nobody listens at.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// asked is a request that is due at a time.
type asked struct {
	n  int
	at time.Time
}

// askAsGuests sends requests at the rate and notes how many were answered each
// second, and how late the slowest but one in a hundred was.
func (b *bench) askAsGuests(l *guestLoad, key guest.Key, peers []guest.Peer) error {
	n := guestRate * b.seconds
	due := make(chan asked, n)
	late := make([]time.Duration, n)
	errs := make([]error, guestClients)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: guestClients}}
	defer client.CloseIdleConnections()
	var work sync.WaitGroup
	for c := range guestClients {
		work.Go(func() {
			for a := range due {
				if err := askOnce(b.ctx, client, l.url+guestPaths[a.n%len(guestPaths)], key, peers[a.n%len(peers)]); err != nil {
					errs[c] = err
					continue
				}
				late[a.n] = time.Since(a.at)
			}
		})
	}
	began := time.Now()
	for i := range n {
		at := began.Add(time.Duration(i) * time.Second / guestRate)
		time.Sleep(time.Until(at))
		due <- asked{i, at}
	}
	close(due)
	work.Wait()
	took := time.Since(began)
	for _, e := range errs {
		if e != nil {
			return e
		}
	}
	l.rates = append(l.rates, float64(n)/took.Seconds())
	l.p99s = append(l.p99s, at(late, 0.99))
	return nil
}

// signed asks as a proxy does for a guest.
func signed(ctx context.Context, client *http.Client, url string, key guest.Key, p guest.Peer) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	key.Sign(r, nil, p, time.Now())
	return client.Do(r)
}

func askOnce(ctx context.Context, client *http.Client, url string, key guest.Key, p guest.Peer) error {
	resp, err := signed(ctx, client, url, key, p)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s as %s: %s", url, p, resp.Status)
	}
	return nil
}

// fillGuests puts machines with an interface each into a database, all in one
// network, as if they ran.
func fillGuests(ctx context.Context, dsn string) (peers []guest.Peer, err error) {
	m, err := spec.Builtin()
	if err != nil {
		return nil, err
	}
	st, err := store.Open(ctx, dsn, store.WithModel(func() *occi.Model { return m }), store.WithUses(engine.Uses(func() *occi.Model { return m })))
	if err != nil {
		return nil, err
	}
	defer func() {
		if cerr := st.Close(); err == nil {
			err = cerr
		}
	}()
	c := &occi.Change{At: time.Now().UTC().Truncate(time.Microsecond)}
	put := func(kind string, mixins []string, attributes ...string) *occi.Entity {
		d := &occi.Draft{Kind: kind, Mixins: mixins}
		for i := 0; i < len(attributes); i += 2 {
			d.Attributes = append(d.Attributes, occi.DraftAttr{Name: attributes[i], Value: occi.Str(attributes[i+1])})
		}
		x, berr := m.Build(d, uuid.New())
		if berr != nil {
			err = berr
			return &occi.Entity{}
		}
		c.Puts = append(c.Puts, x)
		return x
	}
	const infra = "http://schemas.ogf.org/occi/infrastructure"
	lan := put(infra+"#network", []string{infra + "/network#ipnetwork"}, "occi.network.address", "198.18.0.0/16", "occi.network.allocation", "dynamic")
	for i := range guestCount {
		vm := put(compute, []string{infra + "/compute#user_data", infra + "/credentials#ssh_key"}, occi.AttrTitle, fmt.Sprintf("guest %d", i),
			"occi.compute.userdata", "#cloud-config\npackages: [nginx]\n", "occi.credentials.ssh.publickey", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ ann")
		p := guest.Peer{Bridge: libvirt.BridgeOf(lan.ID), MAC: fmt.Sprintf("02:00:00:00:00:%02x", i), Addr: netip.AddrFrom4([4]byte{198, 18, 1, byte(i)})}
		nic := put(infra+"#networkinterface", []string{infra + "/networkinterface#ipnetworkinterface"}, occi.AttrSource, "/compute/"+vm.ID.String(),
			occi.AttrTarget, "/network/"+lan.ID.String(), "occi.networkinterface.mac", p.MAC, "occi.networkinterface.address", p.Addr.String())
		nic.Source, nic.Target = occi.Ref{ID: vm.ID, Kind: compute}, occi.Ref{ID: lan.ID, Kind: lan.Kind}
		nic.Attributes.Set("occi.networkinterface.state", occi.Str("active"))
		peers = append(peers, p)
	}
	if err != nil {
		return nil, err
	}
	return peers, st.Commit(ctx, c)
}
