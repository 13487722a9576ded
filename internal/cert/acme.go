package cert

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"
)

// complaint is how often the log tells of a certificate that cannot be had, at most.
const complaint = time.Minute

// ACMEConfig says from whom certificates are had. All but CA is required.
type ACMEConfig struct {
	// Domains are the names that certificates are asked for, each one of its own.
	Domains []string
	// Directory is the URL of the authority's directory.
	Directory string
	// CA is a file of certificates to trust beside the system's where the authority is
	// asked, PEM.
	CA string
	// Dir keeps the account's key, and certificates with theirs.
	Dir    string
	Logger *slog.Logger
}

// ACME has certificates that an authority gives to who serves a name (RFC 8555). The proof
// is made at the listener itself (RFC 8737), which the authority must reach at port 443.
type ACME struct {
	config  ACMEConfig
	manager autocert.Manager

	mu   sync.Mutex // guards what follows
	told time.Time  // when the log told last that there is no certificate
}

// OpenACME prepares to ask for certificates, which happens when a client wants one that is
// not kept, and a month before one ends.
func OpenACME(c ACMEConfig) (*ACME, error) {
	a := &ACME{config: c}
	client := &acme.Client{DirectoryURL: c.Directory, UserAgent: "occid"}
	if c.CA != "" {
		roots, err := x509.SystemCertPool()
		if err != nil {
			return nil, err
		}
		text, err := os.ReadFile(c.CA)
		if err != nil {
			return nil, err
		}
		if !roots.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("%s holds no certificate", c.CA)
		}
		client.HTTPClient = &http.Client{Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{RootCAs: roots}}}
	}
	a.manager = autocert.Manager{Prompt: autocert.AcceptTOS, Cache: autocert.DirCache(c.Dir), HostPolicy: autocert.HostWhitelist(c.Domains...),
		RenewBefore: renewal, Client: client}
	return a, nil
}

// Server is the configuration of a listener, as that of a Keeper.
func (a *ACME) Server() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1", acme.ALPNProto}, GetCertificate: a.certificate}
}

// Reload does nothing: no file is the operator's.
func (*ACME) Reload() {}

func (a *ACME) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	c, err := a.manager.GetCertificate(hello)
	if err == nil || !slices.Contains(a.config.Domains, hello.ServerName) {
		// Who asks for other names, or for none, is no concern of the operator's.
		return c, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if now := time.Now(); now.Sub(a.told) >= complaint {
		a.told = now
		a.config.Logger.Error("there is no certificate", "name", hello.ServerName, "error", err)
	}
	return nil, err
}
