package main

import (
	"fmt"
	"path/filepath"

	"github.com/occid/occid/internal/cert"
	"github.com/occid/occid/internal/sign"
)

// signer makes what signs XML: with a key of its own, that of TLS, or one that is made and
// kept.
func (s *service) signer() (*sign.Signer, error) {
	if file := s.options.SignKey; file != "" {
		k, err := cert.Open(cert.Config{Cert: file, Key: file, Logger: s.log})
		if err != nil {
			return nil, fmt.Errorf("--sign-key: %w", err)
		}
		made, err := sign.New(k.Certificate)
		if err != nil {
			return nil, fmt.Errorf("--sign-key: %w", err)
		}
		return made, nil
	}
	// One of an ACME authority is of a name that is asked for, and TLS may have a key that XML
	// knows nothing of.
	if k, ok := s.cert.(*cert.Keeper); ok {
		if made, err := sign.New(k.Certificate); err == nil {
			return made, nil
		}
	}
	k, err := cert.Open(cert.Config{Cert: filepath.Join(s.options.Data, "sign.crt"), Key: filepath.Join(s.options.Data, "sign.key"),
		Names: []string{"occid"}, Logger: s.log})
	if err != nil {
		return nil, fmt.Errorf("the key that XML is signed with: %w", err)
	}
	return sign.New(k.Certificate)
}
