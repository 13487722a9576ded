package server_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/occid/occid/internal/server"
	"github.com/occid/occid/internal/sign"
)

// ownSigner is a signer with a certificate of all tests here.
var ownSigner = sync.OnceValues(func() (*sign.Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "occid"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		return nil, err
	}
	made := &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	return sign.New(func() *tls.Certificate { return made })
})

func signer(t testing.TB) server.Signer {
	t.Helper()
	s, err := ownSigner()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// verifier verifies with the certificate that a server shows.
func (c *cloud) verifier(t *testing.T) func(document string) bool {
	t.Helper()
	r := c.do("GET", "/-/certificate", "").want(t, 200, "BEGIN CERTIFICATE")
	if got := r.Header.Get("Content-Type"); got != "application/pem-certificate-chain" {
		t.Errorf("the certificate is %s", got)
	}
	dir := t.TempDir()
	cert, file := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "doc.xml")
	if err := os.WriteFile(cert, []byte(r.text), 0o600); err != nil {
		t.Fatal(err)
	}
	return func(document string) bool {
		if err := os.WriteFile(file, []byte(document), 0o600); err != nil {
			t.Fatal(err)
		}
		return exec.CommandContext(t.Context(), "xmlsec1", "--verify", "--enabled-key-data", "x509", "--trusted-pem", cert, file).Run() == nil
	}
}

var signatureElement = regexp.MustCompile(`(?s)<ds:Signature .*</ds:Signature>`)

// TestSignedRenderings has xmlsec1 verify what the server answers.
func TestSignedRenderings(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	verify := c.verifier(t)
	vm := c.create("/compute/", `{"title":"a & <b> \"c\" Größe","cores":2,"userdata":"#!/bin/sh\n\techo\r\n"}`)
	task := strings.TrimPrefix(strings.Fields(c.do("GET", vm+"/tasks/.uri", "").text)[0], c.url)
	for _, q := range []struct {
		what, path string
		status     int
	}{
		{"an entity", vm + ".xml", 200}, {"an entry", vm + ".atom", 200}, {"a list", "/compute/.xml", 200}, {"a feed", "/compute/.atom", 200},
		{"all", "/.atom", 200}, {"a task", task + ".xml", 200}, {"an entry of a task", task + ".atom", 200}, {"tasks", vm + "/tasks/.xml", 200},
		{"the registry", "/-/.xml", 200}, {"the registry in Atom", "/-/.atom", 200}, {"states", "/-/states.xml", 200},
		{"nothing", "/compute/7b0c2f5e-3d0e-4f5a-9a43-6f0f6a2d9c11.xml", 404}, {"nothing in Atom", "/compute/7b0c2f5e-3d0e-4f5a-9a43-6f0f6a2d9c11.atom", 404},
		{"a wrong filter", "/compute/.xml", 400}, {"an empty list", "/network/.xml", 200},
	} {
		query := "?sign=1"
		if q.what == "a wrong filter" {
			query += "&nothing=1"
		}
		plain := c.do("GET", q.path+strings.Replace(query, "?sign=1&", "?", 1), "")
		if q.what != "a wrong filter" {
			plain = c.do("GET", q.path, "")
		}
		plain.want(t, q.status)
		r := c.do("GET", q.path+query, "").want(t, q.status)
		if !verify(r.text) {
			t.Errorf("%s is not verified:\n%s", q.what, r.text)
		}
		if strings.Contains(plain.text, "Signature") {
			t.Errorf("%s is signed without being asked for", q.what)
		}
		// What is signed is what is shown otherwise, but for links to itself.
		if got := signatureElement.ReplaceAllString(r.text, ""); !strings.Contains(got, "sign=1") && got != plain.text {
			t.Errorf("%s differs from what is not signed:\n%s\n%s", q.what, got, plain.text)
		}
		if q.status != 200 {
			continue
		}
		if h := c.do("HEAD", q.path+query, "").want(t, 200); h.Header.Get("Etag") != r.Header.Get("Etag") || h.ContentLength != int64(len(r.text)) {
			t.Errorf("HEAD of %s: %v, GET %v", q.what, h.Header, r.Header)
		}
	}
	r := c.do("GET", vm+".xml?sign=1", "")
	for what, changed := range map[string]string{"text": strings.Replace(r.text, "<cores>2", "<cores>3", 1), "a blank": strings.Replace(r.text, "\n  <cores>", "\n <cores>", 1)} {
		if verify(changed) {
			t.Errorf("%s was changed, and it is verified", what)
		}
	}
}

// TestSignedIsConditional looks at entity tags, and sends back what is signed.
func TestSignedIsConditional(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	verify := c.verifier(t)
	vm := c.create("/compute/", `{"title":"a","cores":2}`)
	for _, path := range []string{vm + ".xml", vm + ".atom", "/compute/.atom", "/-/.xml"} {
		plain, signed := c.do("GET", path, "").want(t, 200), c.do("GET", path+"?sign=1", "").want(t, 200)
		a, b := plain.Header.Get("Etag"), signed.Header.Get("Etag")
		if a == b || a == "" || b == "" {
			t.Errorf("%s has the tags %s and, signed, %s", path, a, b)
		}
		c.do("GET", path+"?sign=1", "", "If-None-Match: "+a).want(t, 200)
		c.do("GET", path+"?sign=1", "", "If-None-Match: "+b).want(t, 304)
		c.do("GET", path, "", "If-None-Match: "+b).want(t, 200)
		if again := c.do("GET", path+"?sign=1", "").want(t, 200); again.text != signed.text {
			t.Errorf("%s is signed differently under one tag", path)
		}
		c.do("GET", path+"?sign=0", "", "If-None-Match: "+a)
	}
	for suffix, media := range map[string]string{".xml": "application/occi+xml", ".atom": "application/atom+xml"} {
		signed := c.do("GET", vm+suffix+"?sign=1", "").want(t, 200)
		edited := strings.Replace(signed.text, "cores>2", "cores>3", 1)
		r := c.do("PUT", vm+"?sign=1", edited, "Content-Type: "+media, "Accept: "+media, "If-Match: "+signed.Header.Get("Etag"), "Prefer: wait=20").want(t, 200, "cores>3")
		if !verify(r.text) {
			t.Errorf("the answer to a PUT is not verified: %s", r.text)
		}
		c.do("PUT", vm, edited, "Content-Type: "+media, "If-Match: "+signed.Header.Get("Etag")).want(t, 412)
		c.do("POST", vm, `{"cores":2}`, "Content-Type: application/json", "Prefer: wait=20").want(t, 200)
	}
	r := c.do("POST", "/compute/?sign=1", `{"title":"b"}`, "Content-Type: application/json", "Accept: application/xml").want(t, 201)
	if !verify(r.text) {
		t.Errorf("the answer to a POST is not verified: %s", r.text)
	}
}

func TestWhatIsNotSigned(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	vm := c.create("/compute/", `{"title":"a"}`)
	for _, media := range []string{"text/plain", "text/occi", "text/uri-list", "application/json", "application/occi+json", "application/yaml"} {
		r := c.do("GET", vm+"?sign=1", "", "Accept: "+media).want(t, 406)
		if media != "text/occi" && !strings.Contains(r.text, "application/atom+xml") {
			t.Errorf("%s: %s", media, r.text)
		}
	}
	c.do("GET", vm+".json?sign=1", "").want(t, 406, "application/xml")
	c.do("GET", vm+"?sign=1", "").want(t, 406)
	c.do("GET", vm+".xml?sign=2", "").want(t, 400, "neither 1 nor 0")
	c.do("GET", vm+".xml?sign=1&sign=1", "").want(t, 400, "more than once")
	c.do("POST", "/compute/?sign=1", `{"title":"b"}`, "Content-Type: application/json").want(t, 406)
	c.do("GET", "/-/certificate.json", "").want(t, 404)
	if n := strings.Count(c.do("GET", "/compute/.uri", "").text, "/compute/"); n != 1 {
		t.Errorf("what was refused made a compute: there are %d", n)
	}
	first := c.do("GET", vm+".xml?sign=1", "").want(t, 200).text
	if !bytes.Contains([]byte(first), []byte("X509Certificate")) {
		t.Errorf("the signature has no certificate: %s", first)
	}
}
