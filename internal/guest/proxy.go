package guest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Proxy is an Answerer that has a Gate elsewhere answer.
type Proxy struct {
	base   url.URL
	key    Key
	client *http.Client
	log    *slog.Logger
}

// proxyTime bounds how long a guest waits for a server that does not answer.
const proxyTime = 15 * time.Second

// NewProxy makes a Proxy for the server at a URL: http://HOST:PORT, https://..., or
// unix:PATH for a socket.
func NewProxy(server string, key Key, log *slog.Logger) (*Proxy, error) {
	if err := key.Check(); err != nil {
		return nil, err
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost = 64
	t.Proxy = nil
	p := &Proxy{key: key, log: log, client: &http.Client{Transport: t, Timeout: proxyTime,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	if path, ok := strings.CutPrefix(server, "unix:"); ok {
		t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		}
		server = "http://localhost"
	}
	u, err := url.Parse(server)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
		return nil, fmt.Errorf("%q is neither a URL such as http://198.51.100.1:8786 nor unix:PATH", server)
	}
	p.base = url.URL{Scheme: u.Scheme, Host: u.Host}
	return p, nil
}

// hopFields are those of a connection, not of a request (RFC 9110 section 7.6.1).
var hopFields = []string{"Connection", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade"}

// Answer implements Answerer.
func (p *Proxy) Answer(w http.ResponseWriter, r *http.Request, from Peer) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		status := http.StatusBadRequest
		if big := new(http.MaxBytesError); errors.As(err, &big) {
			status = http.StatusRequestEntityTooLarge
		}
		http.Error(w, err.Error(), status)
		return
	}
	resp, err := p.forward(r, body, from)
	if err != nil {
		p.log.Warn("server does not answer", "peer", from.String(), "path", r.URL.Path, "error", err)
		w.Header().Set("Retry-After", "1")
		http.Error(w, "the metadata service does not answer now", http.StatusServiceUnavailable)
		return
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusUnauthorized && resp.Header.Get("Server") == "" {
		p.log.Error("the server does not take requests of this proxy; are the keys the same?")
	}
	h := w.Header()
	for name, values := range resp.Header {
		h[name] = values
	}
	for _, name := range hopFields {
		delete(h, name)
	}
	w.WriteHeader(resp.StatusCode)
	if _, err := io.Copy(w, resp.Body); err != nil {
		p.log.Debug("answer cut short", "peer", from.String(), "error", err)
	}
}

// forward sends a request on, for a peer. What the guest says of who it is goes no
// further.
func (p *Proxy) forward(r *http.Request, body []byte, from Peer) (*http.Response, error) {
	out := r.Clone(r.Context())
	out.RequestURI = ""
	out.URL.Scheme, out.URL.Host = p.base.Scheme, p.base.Host
	out.Body, out.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	if len(body) == 0 {
		out.Body = http.NoBody
	}
	out.TransferEncoding = nil
	for _, name := range hopFields {
		delete(out.Header, name)
	}
	if out.Header["User-Agent"] == nil {
		out.Header["User-Agent"] = []string{""} // net/http would name itself
	}
	p.key.Sign(out, body, from, time.Now())
	return p.client.Do(out)
}
