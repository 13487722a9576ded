package main

import (
	"crypto/tls"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestSigns verifies what the program signs, with each key that it may have.
func TestSigns(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{"its own": nil, "that of TLS": {"--tls-self-signed"}, "one that is given": {"--sign-key", "../../internal/sign/testdata/rsa.pem"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			p := start(t, append([]string{"--db", "sqlite:" + filepath.Join(dir, "x.db"), "--data", dir}, args...)...)
			p.client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
			p.curl(201, "POST", "/compute/", `{"title":"a"}`, asJSON, waiting)
			_, pem := p.curl(200, "GET", "/-/certificate", "")
			_, feed := p.curl(200, "GET", "/compute/.atom?sign=1", "")
			cert, file := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "compute.xml")
			for name, text := range map[string]string{cert: pem, file: feed} {
				if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			out, err := exec.CommandContext(t.Context(), "xmlsec1", "--verify", "--enabled-key-data", "x509", "--trusted-pem", cert, file).CombinedOutput()
			if err != nil {
				t.Errorf("%v: %s", err, out)
			}
			if _, err := os.Stat(filepath.Join(dir, "sign.key")); (err == nil) != (args == nil) {
				t.Errorf("a key was made: %v", err)
			}
		})
	}
}
