package sign_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"flag"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/occid/occid/internal/sign"
)

// certified makes a certificate of a key.
func certified(t *testing.T, key crypto.Signer) *tls.Certificate {
	t.Helper()
	c := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "occid"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// verified reports whether xmlsec1 takes a document as signed with a certificate.
func verified(t *testing.T, s *sign.Signer, document []byte) (bool, string) {
	t.Helper()
	dir := t.TempDir()
	file, cert := filepath.Join(dir, "doc.xml"), filepath.Join(dir, "cert.pem")
	for name, text := range map[string][]byte{file: document, cert: s.PEM()} {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.CommandContext(t.Context(), "xmlsec1", "--verify", "--enabled-key-data", "x509", "--trusted-pem", cert, file).CombinedOutput()
	return err == nil, string(out)
}

func keys(t *testing.T) map[string]crypto.Signer {
	t.Helper()
	rsaKey, err1 := rsa.GenerateKey(rand.Reader, 2048)
	p256, err2 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	p384, err3 := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err1 != nil || err2 != nil || err3 != nil {
		t.Fatal(err1, err2, err3)
	}
	return map[string]crypto.Signer{"RSA": rsaKey, "P-256": p256, "P-384": p384}
}

// TestSigned has xmlsec1 verify what is signed of every rendering in XML that there is a
// golden file of, with each sort of key.
func TestSigned(t *testing.T) {
	t.Parallel()
	var documents []string
	for _, format := range []string{"xml", "atom"} {
		found, err := filepath.Glob("../../testdata/encodings/*/" + format)
		if err != nil {
			t.Fatal(err)
		}
		documents = append(documents, found...)
	}
	if len(documents) < 20 {
		t.Fatalf("there are %d documents", len(documents))
	}
	for name, key := range keys(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := certified(t, key)
			s, err := sign.New(func() *tls.Certificate { return c })
			if err != nil {
				t.Fatal(err)
			}
			for _, file := range documents {
				text, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Contains(text, []byte("</")) {
					continue // the golden file of an error
				}
				signed, err := s.Sign(text)
				if err != nil {
					t.Errorf("%s: %v", file, err)
					continue
				}
				if ok, out := verified(t, s, signed); !ok {
					t.Errorf("%s is not verified: %s", file, out)
				}
			}
		})
	}
}

func TestChangedIsNotVerified(t *testing.T) {
	t.Parallel()
	for name, key := range keys(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := certified(t, key)
			s, err := sign.New(func() *tls.Certificate { return c })
			if err != nil {
				t.Fatal(err)
			}
			const document = `<?xml version="1.0" encoding="UTF-8"?>` + "\n" + `<a xmlns="urn:a" y="2" x="1"><b:b xmlns:b="urn:b">text &#13;&#10; &lt;</b:b> <c></c></a>` + "\n"
			signed, err := s.Sign([]byte(document))
			if err != nil {
				t.Fatal(err)
			}
			if ok, out := verified(t, s, signed); !ok {
				t.Fatalf("not verified: %s\n%s", out, signed)
			}
			for what, change := range map[string][2]string{"text": {"text", "tekst"}, "an attribute": {`x="1"`, `x="2"`}, "a blank": {"</b:b> <c>", "</b:b><c>"},
				"a name space": {"urn:b", "urn:d"}} {
				if ok, _ := verified(t, s, bytes.Replace(signed, []byte(change[0]), []byte(change[1]), 1)); ok {
					t.Errorf("%s was changed, and it is verified", what)
				}
			}
			other := certified(t, keys(t)[name])
			s2, err := sign.New(func() *tls.Certificate { return other })
			if err != nil {
				t.Fatal(err)
			}
			if ok, _ := verified(t, s2, signed); ok {
				t.Error("it is verified with the certificate of another")
			}
			if s.ID() == s2.ID() {
				t.Error("two certificates have one ID")
			}
		})
	}
}

func TestWhatDoesNotSign(t *testing.T) {
	t.Parallel()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := certified(t, key)
	if _, err := sign.New(func() *tls.Certificate { return c }); err == nil {
		t.Error("an Ed25519 key signs XML")
	}
	ok := certified(t, keys(t)["P-256"])
	s, err := sign.New(func() *tls.Certificate { return ok })
	if err != nil {
		t.Fatal(err)
	}
	for _, document := range []string{"", "text", "<a/>", "<a></b>"} {
		if out, err := s.Sign([]byte(document)); err == nil {
			t.Errorf("%q is signed: %s", document, out)
		}
	}
}

var update = flag.Bool("update", false, "rewrite golden files")

// TestGolden compares what is signed with an RSA key, which signs alike each time, with golden
// files.
func TestGolden(t *testing.T) {
	t.Parallel()
	c, err := tls.LoadX509KeyPair("testdata/rsa.pem", "testdata/rsa.pem")
	if err != nil {
		t.Fatal(err)
	}
	s, err := sign.New(func() *tls.Certificate { return &c })
	if err != nil {
		t.Fatal(err)
	}
	for name, from := range map[string]string{"entity": "storage/xml", "entry": "storage/atom", "feed": "empty/atom", "list": "computes/xml", "fault": "fault/xml"} {
		text, err := os.ReadFile(filepath.Join("../../testdata/encodings", from))
		if err != nil {
			t.Fatal(err)
		}
		got, err := s.Sign(text)
		if err != nil {
			t.Fatal(err)
		}
		if ok, out := verified(t, s, got); !ok {
			t.Errorf("%s: %s", name, out)
		}
		golden := filepath.Join("testdata", name+".xml")
		if *update {
			if err := os.WriteFile(golden, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, want)
		}
	}
}
