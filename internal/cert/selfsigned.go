package cert

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"time"
)

// A certificate that the server signs is good for as long as clients take one, and
// replaced a month before its end.
const (
	validity = 397 * 24 * time.Hour
	renewal  = 30 * 24 * time.Hour
)

// make makes a certificate if there is none, or none that will do: for all names, of the
// key, and not about to end. It reports whether it did. The key stays.
func (k *Keeper) make() (bool, error) {
	if len(k.config.Names) == 0 {
		return false, nil
	}
	if c := k.current.Load(); c != nil && k.stamp() == k.tried && k.suffices(c.Leaf) {
		return false, nil
	}
	key, err := k.key()
	if err != nil {
		return false, err
	}
	if c, err := tls.LoadX509KeyPair(k.config.Cert, k.config.Key); err == nil && k.suffices(c.Leaf) {
		return false, nil
	}
	return true, k.sign(key)
}

// suffices reports whether a certificate can still be shown.
func (k *Keeper) suffices(c *x509.Certificate) bool {
	now := k.config.Now()
	if now.Before(c.NotBefore) || now.Add(renewal).After(c.NotAfter) {
		return false
	}
	for _, name := range k.config.Names {
		if c.VerifyHostname(name) != nil {
			return false
		}
	}
	return true
}

// key reads the private key, and makes it first if it is missing.
func (k *Keeper) key() (crypto.Signer, error) {
	text, err := os.ReadFile(k.config.Key)
	if errors.Is(err, fs.ErrNotExist) {
		made, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, err
		}
		der, err := x509.MarshalPKCS8PrivateKey(made)
		if err != nil {
			return nil, err
		}
		return made, replace(k.config.Key, &pem.Block{Type: "PRIVATE KEY", Bytes: der})
	}
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s holds no key; remove it to have another made", k.config.Key)
	}
	read, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", k.config.Key, err)
	}
	signer, ok := read.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%s: a %T does not sign", k.config.Key, read)
	}
	return signer, nil
}

// sign makes a certificate of a key.
func (k *Keeper) sign(key crypto.Signer) error {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return err
	}
	now := k.config.Now()
	c := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: "occid"},
		// Clocks of clients may be behind.
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(validity),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true}
	for _, name := range k.config.Names {
		if ip := net.ParseIP(name); ip != nil {
			c.IPAddresses = append(c.IPAddresses, ip)
		} else {
			c.DNSNames = append(c.DNSNames, name)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		return err
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		return err
	}
	if !k.suffices(made) {
		return fmt.Errorf("no certificate can be for all of %q", k.config.Names)
	}
	return replace(k.config.Cert, &pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// replace writes a file that nobody else can read, whole or not at all.
func replace(path string, b *pem.Block) error {
	next := path + ".new"
	f, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(pem.Encode(f, b), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(next, path)
}
