package clientcert_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/occid/occid/internal/auth"
	"github.com/occid/occid/internal/clientcert"
	"github.com/occid/occid/occi"
)

// at is when tests look at certificates.
var at = time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)

// entity is a certificate with its key, and those that lead to an authority.
type entity struct {
	*x509.Certificate
	key  crypto.Signer
	more [][]byte
}

var serials atomic.Int64

// issue has an authority sign a certificate, or that sign itself.
func issue(t *testing.T, by *entity, name pkix.Name, adjust ...func(*x509.Certificate)) *entity {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(serials.Add(1)), Subject: name, NotBefore: at.Add(-time.Hour), NotAfter: at.Add(24 * time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, BasicConstraintsValid: true}
	for _, f := range adjust {
		f(c)
	}
	parent, signer := c, crypto.Signer(key)
	if by != nil {
		parent, signer = by.Certificate, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &entity{Certificate: made, key: key}
}

func isAuthority(c *x509.Certificate) {
	c.IsCA, c.KeyUsage, c.ExtKeyUsage = true, x509.KeyUsageCertSign|x509.KeyUsageCRLSign, nil
}

func named(cn string) pkix.Name {
	return pkix.Name{Country: []string{"DE"}, Organization: []string{"Example, Inc."}, CommonName: cn}
}

func (e *entity) tls() *tls.Certificate {
	return &tls.Certificate{Certificate: append([][]byte{e.Raw}, e.more...), PrivateKey: e.key}
}

func write(t *testing.T, path, kind string, ders ...[]byte) {
	t.Helper()
	var b bytes.Buffer
	for _, der := range ders {
		if err := pem.Encode(&b, &pem.Block{Type: kind, Bytes: der}); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

// revoking is a list of an authority.
func revoking(t *testing.T, by *entity, until time.Time, revoked ...*entity) []byte {
	t.Helper()
	list := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: at.Add(-2 * time.Hour), NextUpdate: until}
	for _, r := range revoked {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: r.SerialNumber, RevocationTime: at.Add(-time.Hour)})
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, by.Certificate, by.key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// door is a listener of TLS that tells who comes.
type door struct {
	t      *testing.T
	a      *clientcert.Authorities
	server *httptest.Server
	proof  *auth.Proof
	err    error
}

func openDoor(t *testing.T, c clientcert.Config) *door {
	t.Helper()
	c.Logger = slog.New(slog.DiscardHandler)
	if c.Now == nil {
		c.Now = func() time.Time { return at }
	}
	d := &door{t: t}
	var err error
	if d.a, err = clientcert.Open(c); err != nil {
		t.Fatal(err)
	}
	d.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d.proof, d.err = nil, nil
		if c, ok := d.a.Read(r, auth.From{}); ok {
			d.proof, d.err = d.a.Prove(r.Context(), c)
		}
	}))
	d.server.TLS = d.a.Ask(&tls.Config{})
	d.server.StartTLS()
	// What httptest has made of the configuration is for those that are asked for, too.
	d.server.TLS.GetConfigForClient = nil
	t.Cleanup(d.server.Close)
	return d
}

// comes has a client connect anew, with a certificate or nil for none.
func (d *door) comes(with *tls.Certificate) (*auth.Proof, occi.Class) {
	d.t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true,
		// A client may show one that it was not asked for.
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			if with == nil {
				return &tls.Certificate{}, nil
			}
			return with, nil
		}}}}
	r, err := client.Get(d.server.URL)
	if err != nil {
		d.t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, r.Body)
	r.Body.Close()
	if d.err != nil {
		return nil, occi.ClassOf(d.err)
	}
	return d.proof, ""
}

func TestCertificates(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ca, crl := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "crl.pem")
	root := issue(t, nil, named("Root"), isAuthority)
	between := issue(t, root, named("Between"), isAuthority)
	other := issue(t, nil, named("Root"), isAuthority)
	write(t, ca, "CERTIFICATE", root.Raw)
	good := issue(t, root, named("Ann"), func(c *x509.Certificate) {
		c.EmailAddresses, c.DNSNames, c.URIs = []string{"ann@example.org"}, []string{"ann.example.org"}, []*url.URL{{Scheme: "spiffe", Host: "example.org", Path: "/ann"}}
	})
	below := issue(t, between, named("Bob"))
	below.more = [][]byte{between.Raw}
	revoked := issue(t, root, named("Gone"))
	write(t, crl, "X509 CRL", revoking(t, root, at.Add(time.Hour), revoked))
	d := openDoor(t, clientcert.Config{CA: ca, CRL: crl})
	if proof, class := d.comes(nil); proof != nil || class != "" {
		t.Errorf("without a certificate: %v, %q", proof, class)
	}
	proof, class := d.comes(good.tls())
	want := &auth.Proof{Subjects: []string{`CN=Ann,O=Example\, Inc.,C=DE`, "/C=DE/O=Example, Inc./CN=Ann"}, Login: "Ann", Title: "Ann", Until: at.Add(time.Minute), Attributes: map[string][]string{
		"subject": {`CN=Ann,O=Example\, Inc.,C=DE`}, "dn": {"/C=DE/O=Example, Inc./CN=Ann"}, "issuer": {`CN=Root,O=Example\, Inc.,C=DE`}, "issuer_dn": {"/C=DE/O=Example, Inc./CN=Root"},
		"cn": {"Ann"}, "email": {"ann@example.org"}, "dns": {"ann.example.org"}, "uri": {"spiffe://example.org/ann"}}}
	if d := cmp.Diff(want, proof); d != "" || class != "" {
		t.Errorf("%q %s", class, d)
	}
	expired := func(c *x509.Certificate) { c.NotAfter = at.Add(-time.Minute) }
	early := func(c *x509.Certificate) { c.NotBefore = at.Add(time.Minute) }
	for name, x := range map[string]struct {
		with *entity
		want occi.Class
	}{
		"below another authority":     {below, ""},
		"without the one between":     {&entity{Certificate: below.Certificate, key: below.key}, occi.Unauthorized},
		"of another of the same name": {issue(t, other, named("Ann")), occi.Unauthorized},
		"of itself":                   {issue(t, nil, named("Ann")), occi.Unauthorized},
		"expired":                     {issue(t, root, named("Ann"), expired), occi.Unauthorized},
		"not yet":                     {issue(t, root, named("Ann"), early), occi.Unauthorized},
		"revoked":                     {revoked, occi.Unauthorized},
		"of a server":                 {issue(t, root, named("Ann"), func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }), occi.Unauthorized},
		"of one that signs none":      {issue(t, good, named("Eve")), occi.Unauthorized},
		"without a subject":           {issue(t, root, pkix.Name{}), occi.Unauthorized},
		"critical for what it says": {issue(t, root, named("Ann"), func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3}, Critical: true, Value: []byte{5, 0}}}
		}), occi.Unauthorized},
		"a proxy, where none are taken": {proxyOf(t, good, nil), occi.Unauthorized},
	} {
		if _, class := d.comes(x.with.tls()); class != x.want {
			t.Errorf("%s: %q, want %q", name, class, x.want)
		}
	}
	// A name with a slash is not written as if it were another's.
	tricky := issue(t, root, named("Eve/CN=Ann"))
	if proof, class := d.comes(tricky.tls()); class != "" || len(proof.Subjects) != 1 || proof.Attributes["dn"] != nil {
		t.Errorf("%q, %+v", class, proof)
	}
	for _, x := range []struct{ cn, want string }{{" a", `\ a`}, {"#a", `\#a`}, {"a ", `a\ `}, {`a"+,;<>\b`, `a\"\+\,\;\<\>\\b`}, {"é", "é"}, {"a\nb", `a\0ab`}} {
		c := issue(t, root, pkix.Name{CommonName: x.cn})
		if proof, class := d.comes(c.tls()); class != "" || proof.Subjects[0] != "CN="+x.want {
			t.Errorf("%q is %+v, %q", x.cn, proof, class)
		}
	}
}

func TestReload(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ca, crl := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "crl.pem")
	first, second := issue(t, nil, named("First"), isAuthority), issue(t, nil, named("Second"), isAuthority)
	write(t, ca, "CERTIFICATE", first.Raw)
	write(t, crl, "X509 CRL", revoking(t, first, at.Add(time.Hour)))
	now := at
	d := openDoor(t, clientcert.Config{CA: ca, CRL: crl, Now: func() time.Time { return now }})
	ann, bob := issue(t, first, named("Ann")), issue(t, second, named("Bob"))
	comes := func(what string, of *entity, want occi.Class) {
		t.Helper()
		now = now.Add(2 * time.Second)
		if _, class := d.comes(of.tls()); class != want {
			t.Errorf("%s: %q, want %q", what, class, want)
		}
	}
	comes("of the first", ann, "")
	comes("of the second", bob, occi.Unauthorized)
	write(t, ca, "CERTIFICATE", first.Raw, second.Raw)
	comes("once the second is there", bob, "")
	write(t, crl, "X509 CRL", revoking(t, first, at.Add(time.Hour), ann))
	comes("once it is revoked", ann, occi.Unauthorized)
	comes("another's list", bob, "")
	if err := os.WriteFile(ca, []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	comes("with a broken file", bob, "")
	write(t, ca, "CERTIFICATE", second.Raw)
	d.a.Reload()
	comes("once the first is gone", ann, occi.Unauthorized)
	write(t, ca, "CERTIFICATE", first.Raw, second.Raw)
	cara := issue(t, first, named("Cara"))
	comes("with a list that is good", cara, "")
	now = at.Add(2 * time.Hour)
	comes("with one that is out of date", cara, occi.Unavailable)
	comes("of who has no list", bob, "")
}

var (
	proxyInfo  = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 14}
	inheritAll = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 21, 1}
)

// proxyOf makes a proxy of a certificate, or of a proxy.
func proxyOf(t *testing.T, owner *entity, adjust func(*x509.Certificate), info ...any) *entity {
	t.Helper()
	value, err := asn1.Marshal(struct {
		Policy struct{ Language asn1.ObjectIdentifier }
	}{struct{ Language asn1.ObjectIdentifier }{inheritAll}})
	if len(info) > 0 {
		value, err = asn1.Marshal(info[0])
	}
	if err != nil {
		t.Fatal(err)
	}
	var name []asn1.RawValue
	if _, err := asn1.Unmarshal(owner.RawSubject, &name); err != nil {
		t.Fatal(err)
	}
	last, err := asn1.MarshalWithParams([]pkix.AttributeTypeAndValue{{Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: "123"}}, "set")
	if err != nil {
		t.Fatal(err)
	}
	raw, err := asn1.Marshal(append(name, asn1.RawValue{FullBytes: last}))
	if err != nil {
		t.Fatal(err)
	}
	p := issue(t, owner, pkix.Name{}, func(c *x509.Certificate) {
		c.RawSubject = raw
		c.ExtraExtensions = []pkix.Extension{{Id: proxyInfo, Critical: true, Value: value}}
		c.BasicConstraintsValid = false
		if adjust != nil {
			adjust(c)
		}
	})
	p.more = append([][]byte{owner.Raw}, owner.more...)
	return p
}

func TestProxies(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ca := filepath.Join(dir, "ca.pem")
	root := issue(t, nil, named("Root"), isAuthority)
	write(t, ca, "CERTIFICATE", root.Raw)
	ann, bob := issue(t, root, named("Ann")), issue(t, root, named("Bob"))
	d := openDoor(t, clientcert.Config{CA: ca, VOMS: dir})
	type policy struct{ Language asn1.ObjectIdentifier }
	type bounded struct {
		Length int
		Policy policy
	}
	type free struct{ Policy policy }
	one := proxyOf(t, ann, nil)
	stolen := proxyOf(t, ann, nil)
	stolen.more = [][]byte{bob.Raw}
	renamed := proxyOf(t, bob, func(c *x509.Certificate) { c.RawSubject = one.RawSubject })
	final := proxyOf(t, ann, nil, bounded{0, policy{inheritAll}})
	for name, x := range map[string]struct {
		with *entity
		want occi.Class
	}{
		"of a certificate":            {one, ""},
		"of a proxy":                  {proxyOf(t, one, nil), ""},
		"the last that may be":        {final, ""},
		"one more than may be":        {proxyOf(t, final, nil), occi.Unauthorized},
		"expired":                     {proxyOf(t, ann, func(c *x509.Certificate) { c.NotAfter = at.Add(-time.Second) }), occi.Unauthorized},
		"limited":                     {proxyOf(t, ann, nil, free{policy{asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 3536, 1, 1, 1, 9}}}), occi.Unauthorized},
		"independent":                 {proxyOf(t, ann, nil, free{policy{asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 21, 2}}}), occi.Unauthorized},
		"with another's certificate":  {stolen, occi.Unauthorized},
		"of another, in the name":     {renamed, occi.Unauthorized},
		"not critical":                {proxyOf(t, ann, func(c *x509.Certificate) { c.ExtraExtensions[0].Critical = false }), occi.Unauthorized},
		"of an authority":             {proxyOf(t, root, nil), occi.Unauthorized},
		"that is an authority":        {proxyOf(t, ann, func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = true, true }), occi.Unauthorized},
		"with names of its own":       {proxyOf(t, ann, func(c *x509.Certificate) { c.DNSNames = []string{"x"} }), occi.Unauthorized},
		"with the name of its owner":  {proxyOf(t, ann, func(c *x509.Certificate) { c.RawSubject = ann.RawSubject }), occi.Unauthorized},
		"that cannot be read":         {proxyOf(t, ann, nil, "x"), occi.Unauthorized},
		"alone":                       {&entity{Certificate: one.Certificate, key: one.key}, occi.Unauthorized},
		"of one of an unknown issuer": {proxyOf(t, issue(t, nil, named("Ann")), nil), occi.Unauthorized},
	} {
		proof, class := d.comes(x.with.tls())
		if class != x.want {
			t.Errorf("%s: %q, want %q", name, class, x.want)
		}
		if class == "" && proof.Subjects[0] != `CN=Ann,O=Example\, Inc.,C=DE` {
			t.Errorf("%s is %v", name, proof.Subjects)
		}
	}
}

// TestVOMS comes with proxies that another program has made.
func TestVOMS(t *testing.T) {
	t.Parallel()
	load := func(name string) *tls.Certificate {
		t.Helper()
		c, err := tls.LoadX509KeyPair(filepath.Join("testdata", name), filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		return &c
	}
	c := clientcert.Config{CA: "testdata/ca.pem", VOMS: "testdata/voms"}
	d := openDoor(t, c)
	proof, class := d.comes(load("proxy.pem"))
	if class != "" {
		t.Fatalf("%q", class)
	}
	if d := cmp.Diff([]string{"CN=Ann Example,O=Physics,DC=example,DC=org", "/DC=org/DC=example/O=Physics/CN=Ann Example"}, proof.Subjects); d != "" {
		t.Error(d)
	}
	for name, want := range map[string]string{"fqan": "/atlas/Role=production /atlas", "vo": "atlas", "cn": "Ann Example"} {
		if got := strings.Join(proof.Attributes[name], " "); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	for _, name := range []string{"limited.pem", "othervo.pem"} {
		if _, class := d.comes(load(name)); class != occi.Unauthorized {
			t.Errorf("%s: %q", name, class)
		}
	}
	// Who believes other servers, or none about this organisation, refuses it.
	for name, lsc := range map[string]string{"nobody": "", "another": "/DC=org/DC=example/CN=other.example.org\n/DC=org/DC=example/CN=Test CA\n", "half": "/DC=org/DC=example/CN=voms.example.org\n",
		"another authority": "/DC=org/DC=example/CN=voms.example.org\n/DC=org/DC=example/CN=Other CA\n"} {
		dir := t.TempDir()
		if lsc != "" {
			if err := os.MkdirAll(filepath.Join(dir, "atlas"), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "atlas", "voms.example.org.lsc"), []byte(lsc), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if _, class := openDoor(t, clientcert.Config{CA: c.CA, VOMS: dir}).comes(load("proxy.pem")); class != occi.Unauthorized {
			t.Errorf("%s is believed: %q", name, class)
		}
	}
	c.Now = func() time.Time { return at.AddDate(11, 0, 0) }
	if _, class := openDoor(t, c).comes(load("proxy.pem")); class != occi.Unauthorized {
		t.Errorf("after its end: %q", class)
	}
}

// TestForgedVOMS puts what a VOMS server has signed where it does not belong, and changes
// it, byte by byte.
func TestForgedVOMS(t *testing.T) {
	t.Parallel()
	pair, err := tls.LoadX509KeyPair("testdata/proxy.pem", "testdata/proxy.pem")
	if err != nil {
		t.Fatal(err)
	}
	signed, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	var value []byte
	for _, e := range signed.Extensions {
		if e.Id.String() == "1.3.6.1.4.1.8005.100.100.5" {
			value = e.Value
		}
	}
	dir := t.TempDir()
	mine := issue(t, nil, named("Root"), isAuthority)
	theirs, err := os.ReadFile("testdata/ca.pem")
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(theirs)
	write(t, filepath.Join(dir, "ca.pem"), "CERTIFICATE", mine.Raw, block.Bytes)
	a, err := clientcert.Open(clientcert.Config{CA: filepath.Join(dir, "ca.pem"), VOMS: "testdata/voms", Logger: slog.New(slog.DiscardHandler), Now: func() time.Time { return at }})
	if err != nil {
		t.Fatal(err)
	}
	owner := issue(t, mine, named("Eve"))
	with := func(owner *entity, value []byte) error {
		p := proxyOf(t, owner, func(c *x509.Certificate) {
			c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 8005, 100, 100, 5}, Value: value})
		})
		_, err := a.Prove(t.Context(), auth.Credential{Key: string(append(bytes.Clone(p.Raw), owner.Raw...))})
		return err
	}
	if err := with(owner, value); occi.ClassOf(err) != occi.Unauthorized {
		t.Errorf("another's: %v", err)
	}
	// The holder is somebody with the same number of another authority, too.
	loaded, err := tls.LoadX509KeyPair("testdata/user.pem", "testdata/user.key")
	if err != nil {
		t.Fatal(err)
	}
	ann := &entity{Certificate: loaded.Leaf, key: loaded.PrivateKey.(crypto.Signer)}
	twin := issue(t, mine, named("Eve"), func(c *x509.Certificate) { c.SerialNumber = ann.SerialNumber })
	if err := with(twin, value); occi.ClassOf(err) != occi.Unauthorized {
		t.Errorf("another authority's of the same number: %v", err)
	}
	if err := with(ann, value); err != nil {
		t.Errorf("its owner's: %v", err)
	}
	for i := 0; i < len(value); i += 7 {
		changed := bytes.Clone(value)
		changed[i] ^= 0x04
		if err := with(ann, changed); occi.ClassOf(err) != occi.Unauthorized {
			t.Errorf("changed at %d: %v", i, err)
		}
	}
}
