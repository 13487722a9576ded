// Package cert keeps the certificate that the server shows to its clients. It reads the
// files again when they change, and can make a certificate of its own.
package cert

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// glance is how often the files are looked at, at most.
const glance = time.Second

// soon is how long before its end the log warns of a certificate.
const soon = 14 * 24 * time.Hour

// Config says where a certificate is. Cert, Key and Logger are required.
type Config struct {
	// Cert is the file of the certificate and those that lead to its authority, Key
	// that of its private key, both PEM.
	Cert, Key string
	// Names are what a certificate is made for that the server signs itself: host names
	// and addresses. Without any the files are the operator's, and only read.
	Names  []string
	Logger *slog.Logger
	// Now tells the time; nil means time.Now.
	Now func() time.Time
}

// Keeper has the certificate in force. It is safe for concurrent use.
type Keeper struct {
	config  Config
	current atomic.Pointer[tls.Certificate]
	looked  atomic.Int64 // when the files were looked at, in nanoseconds

	mu    sync.Mutex // guards what follows
	tried stamp      // the files that were read last, whatever came of it
}

// stamp tells whether files are those of before.
type stamp struct{ cert, key mark }

type mark struct {
	at   time.Time
	size int64
}

// Open reads a certificate, which is made first if the configuration says so.
func Open(c Config) (*Keeper, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	k := &Keeper{config: c}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.looked.Store(c.Now().UnixNano())
	if _, err := k.make(); err != nil {
		return nil, err
	}
	k.tried = k.stamp()
	return k, k.read()
}

// Server is the configuration of a listener: TLS 1.2 at least, with HTTP/2 and HTTP/1.1.
func (k *Keeper) Server() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return k.Certificate(), nil }}
}

// Certificate gives the certificate in force. Once a second at most it looks whether the
// files are others than before.
func (k *Keeper) Certificate() *tls.Certificate {
	now, looked := k.config.Now().UnixNano(), k.looked.Load()
	if now-looked >= int64(glance) && k.looked.CompareAndSwap(looked, now) {
		k.look(false)
	}
	return k.current.Load()
}

// Reload reads the files again, changed or not.
func (k *Keeper) Reload() { k.look(true) }

// look reads the files if they have changed, or surely. If they are no good, what was in
// force before stays.
func (k *Keeper) look(surely bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	made, err := k.make()
	if is := k.stamp(); err == nil && (surely || made || is != k.tried) {
		k.tried = is
		err = k.read()
	}
	if err != nil {
		k.config.Logger.Error("the certificate stays as it was", "error", err)
	}
}

func (k *Keeper) stamp() stamp { return stamp{markOf(k.config.Cert), markOf(k.config.Key)} }

// markOf gives the zero mark for a file that is not there.
func markOf(path string) mark {
	info, err := os.Stat(path)
	if err != nil {
		return mark{}
	}
	return mark{info.ModTime(), info.Size()}
}

// read puts what the files hold in force.
func (k *Keeper) read() error {
	c, err := tls.LoadX509KeyPair(k.config.Cert, k.config.Key)
	if err != nil {
		return err
	}
	k.current.Store(&c)
	level := slog.LevelInfo
	if c.Leaf.NotAfter.Sub(k.config.Now()) < soon {
		level = slog.LevelWarn
	}
	sum := sha256.Sum256(c.Leaf.Raw)
	names := c.Leaf.DNSNames
	for _, ip := range c.Leaf.IPAddresses {
		names = append(names, ip.String())
	}
	k.config.Logger.Log(context.Background(), level, "the certificate was loaded", "names", names,
		"not_after", c.Leaf.NotAfter, "sha256", hex.EncodeToString(sum[:]))
	return nil
}
