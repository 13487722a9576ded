package guest

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"
)

// peerField is the header field by which a Proxy tells a Gate who asks.
const peerField = "X-Occid-Guest"

// window is how far the clocks of a proxy and of the server may be apart, and how
// long a request may take between them.
const window = 30 * time.Second

// minKey is how many bytes a key has at least.
const minKey = 32

// Key is what a Proxy and a Gate share.
type Key []byte

// Check refuses a key that could be guessed.
func (k Key) Check() error {
	if len(k) < minKey {
		return fmt.Errorf("a key of %d bytes is shorter than %d", len(k), minKey)
	}
	return nil
}

// ticket is what the field says: who asks, when it was written, and a number that
// no other has.
type ticket struct {
	peer  Peer
	at    time.Time
	nonce [16]byte
	sum   [sha256.Size]byte
}

// String writes the field.
func (t *ticket) String() string { return string(t.append(make([]byte, 0, maxTicket))) }

// maxTicket is more than a field has bytes.
const maxTicket = 224

func (t *ticket) append(b []byte) []byte {
	b = strconv.AppendInt(append(b, "1 "...), t.at.UnixMilli(), 10)
	b = hex.AppendEncode(append(b, ' '), t.nonce[:])
	b = append(append(append(b, ' '), t.peer.Bridge...), ' ')
	b = append(append(b, t.peer.MAC...), ' ')
	b = append(t.peer.Addr.AppendTo(b), ' ')
	return hex.AppendEncode(b, t.sum[:])
}

var errTicket = errors.New("the field " + peerField + " is not understood")

// parseTicket reads the field as String writes it, and in no other way.
func parseTicket(s string) (*ticket, error) {
	parts := strings.Split(s, " ")
	if len(parts) != 7 || parts[0] != "1" {
		return nil, errTicket
	}
	ms, err := strconv.ParseInt(parts[1], 10, 64)
	if err != nil {
		return nil, errTicket
	}
	t := &ticket{at: time.UnixMilli(ms)}
	if t.peer.Addr, err = netip.ParseAddr(parts[5]); err != nil {
		return nil, errTicket
	}
	t.peer.Bridge, t.peer.MAC = parts[3], parts[4]
	if _, ok := parseMAC(t.peer.MAC); !ok || t.peer.Bridge == "" || len(t.peer.Bridge) > 15 {
		return nil, errTicket
	}
	for i, into := range map[int][]byte{2: t.nonce[:], 6: t.sum[:]} {
		b, err := hex.DecodeString(parts[i])
		if err != nil || len(b) != len(into) {
			return nil, errTicket
		}
		copy(into, b)
	}
	var room [maxTicket]byte
	if string(t.append(room[:0])) != s {
		return nil, errTicket
	}
	return t, nil
}

// sign gives the sum of a ticket for a request with a body.
func (k Key) sign(t *ticket, r *http.Request, body []byte) (sum [sha256.Size]byte) {
	unsigned := *t
	unsigned.sum = sum
	content := sha256.Sum256(body)
	text := append(make([]byte, 0, 2*maxTicket), "occid guest\n"...)
	text = append(append(text, r.Method...), '\n')
	text = append(append(text, r.URL.RequestURI()...), '\n')
	text = append(hex.AppendEncode(text, content[:]), '\n')
	text = append(unsigned.append(text), '\n')
	h := hmac.New(sha256.New, k)
	h.Write(text)
	h.Sum(sum[:0])
	return sum
}

// Sign makes a request one of a peer's, which a Gate with the same key lets pass
// once. The body is that of the request, which is not read.
func (k Key) Sign(r *http.Request, body []byte, p Peer, now time.Time) {
	t := &ticket{peer: p, at: now}
	rand.Read(t.nonce[:])
	t.sum = k.sign(t, r, body)
	r.Header[peerField] = []string{t.String()}
}

// Gate lets pass what a Proxy sends, and tells an Answerer who asks. Answerer, Key
// and Logger are required.
type Gate struct {
	Answerer Answerer
	Key      Key
	Logger   *slog.Logger
	// Now tells the time; nil means time.Now.
	Now func() time.Time

	seen nonces
}

// ServeHTTP implements http.Handler.
func (g *Gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
		return
	}
	p, err := g.admit(r, body)
	if err != nil {
		g.Logger.Warn("guest request not admitted", "remote", r.RemoteAddr, "error", err)
		http.Error(w, "requests come here through occid guest-proxy only: "+err.Error(), http.StatusUnauthorized)
		return
	}
	delete(r.Header, peerField)
	r.Body = io.NopCloser(bytes.NewReader(body))
	g.Answerer.Answer(w, r, p)
}

func (g *Gate) admit(r *http.Request, body []byte) (Peer, error) {
	fields := r.Header[peerField]
	if len(fields) != 1 {
		return Peer{}, errTicket
	}
	t, err := parseTicket(fields[0])
	if err != nil {
		return Peer{}, err
	}
	if want := g.Key.sign(t, r, body); !hmac.Equal(want[:], t.sum[:]) {
		return Peer{}, errors.New("the request is not signed with the key of this server")
	}
	now := time.Now()
	if g.Now != nil {
		now = g.Now()
	}
	if d := now.Sub(t.at); d > window || d < -window {
		return Peer{}, fmt.Errorf("the request was signed at %s; here it is %s", t.at.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	if !g.seen.first(t.nonce, now) {
		return Peer{}, errors.New("the request was made before")
	}
	return t.peer, nil
}

// nonces remembers numbers for as long as a request with one could come again.
type nonces struct {
	mu       sync.Mutex
	now, old map[[16]byte]struct{}
	since    time.Time
}

// first reports whether a number was not seen before.
func (n *nonces) first(nonce [16]byte, now time.Time) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.now == nil || now.Sub(n.since) > 2*window {
		n.old, n.now, n.since = n.now, map[[16]byte]struct{}{}, now
	}
	_, a := n.now[nonce]
	_, b := n.old[nonce]
	n.now[nonce] = struct{}{}
	return !a && !b
}
