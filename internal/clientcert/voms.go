package clientcert

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/occid/occid/internal/auth"
)

// Identifiers of VOMS: the extension of a proxy with attribute certificates, their
// attribute with FQANs, and their extension with the certificate of who has signed them.
var (
	oidSequence = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 8005, 100, 100, 5}
	oidFQANs    = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 8005, 100, 100, 4}
	oidSigners  = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 8005, 100, 100, 10}
	// Critical extensions that would restrict an attribute certificate to hosts.
	oidKeyID     = asn1.ObjectIdentifier{2, 5, 29, 35}
	oidNoRevoked = asn1.ObjectIdentifier{2, 5, 29, 56}
)

// attributeCertificate is one of RFC 5755, section 4.1.
type attributeCertificate struct {
	Info      info
	Algorithm pkix.AlgorithmIdentifier
	Signature asn1.BitString
}

type info struct {
	Raw        asn1.RawContent
	Version    int
	Holder     holder
	Issuer     asn1.RawValue
	Algorithm  pkix.AlgorithmIdentifier
	Serial     *big.Int
	Validity   validity
	Attributes []attribute
	UniqueID   asn1.BitString   `asn1:"optional"`
	Extensions []pkix.Extension `asn1:"optional"`
}

type holder struct {
	Base struct {
		Issuer []asn1.RawValue
		Serial *big.Int
	} `asn1:"tag:0"`
}

type validity struct {
	NotBefore time.Time `asn1:"generalized"`
	NotAfter  time.Time `asn1:"generalized"`
}

type attribute struct {
	Type   asn1.ObjectIdentifier
	Values asn1.RawValue
}

// fqans are the value of the attribute: who grants them, and what.
type fqans struct {
	Authority []asn1.RawValue `asn1:"tag:0"`
	Values    [][]byte
}

// attributes adds to a proof what VOMS servers say of an owner in its proxies, and gives
// when that ends. It is an error if one says what it may not.
func (a *Authorities) attributes(p *auth.Proof, proxies []*x509.Certificate, owner *x509.Certificate, in authorities, now time.Time) (ends time.Time, err error) {
	ends = now.Add(judged)
	for _, proxy := range proxies {
		at := slices.IndexFunc(proxy.Extensions, extension(oidSequence))
		if at < 0 {
			continue
		}
		var lists [][]asn1.RawValue
		if rest, err := asn1.Unmarshal(proxy.Extensions[at].Value, &lists); err != nil || len(rest) > 0 {
			return ends, errors.New("it cannot be read")
		}
		for _, list := range lists {
			for _, raw := range list {
				if err := a.attribute(p, raw.FullBytes, owner, in, now, &ends); err != nil {
					return ends, err
				}
			}
		}
		// That of the proxy made last counts, as its owner chose it.
		return ends, nil
	}
	return ends, nil
}

// attribute checks one attribute certificate, and adds what it says.
func (a *Authorities) attribute(p *auth.Proof, raw []byte, owner *x509.Certificate, in authorities, now time.Time, ends *time.Time) error {
	var c attributeCertificate
	if rest, err := asn1.Unmarshal(raw, &c); err != nil || len(rest) > 0 {
		return fmt.Errorf("it cannot be read: %v", err)
	}
	switch i := &c.Info; {
	case i.Version != 1:
		return fmt.Errorf("its version is %d", i.Version)
	case len(i.Holder.Base.Issuer) != 1 || !isDirectory(i.Holder.Base.Issuer[0], owner.RawIssuer) || i.Holder.Base.Serial.Cmp(owner.SerialNumber) != 0:
		return errors.New("it is about another certificate")
	case now.Before(i.Validity.NotBefore) || now.After(i.Validity.NotAfter):
		return errors.New("it has ended, or does not count yet")
	}
	for _, e := range c.Info.Extensions {
		if e.Critical && !e.Id.Equal(oidSigners) && !e.Id.Equal(oidKeyID) && !e.Id.Equal(oidNoRevoked) {
			return fmt.Errorf("it says something critical that is not known here: %s", e.Id)
		}
	}
	signer, err := in.signer(&c, now)
	if err != nil {
		return err
	}
	for _, x := range c.Info.Attributes {
		if !x.Type.Equal(oidFQANs) {
			continue
		}
		var all []fqans
		if rest, err := asn1.UnmarshalWithParams(x.Values.FullBytes, &all, "set"); err != nil || len(rest) > 0 {
			return errors.New("its FQANs cannot be read")
		}
		for _, f := range all {
			vo, err := a.believed(f, signer)
			if err != nil {
				return err
			}
			p.Attributes["vo"] = append(p.Attributes["vo"], vo)
			for _, text := range f.Values {
				p.Attributes["fqan"] = append(p.Attributes["fqan"], strings.TrimSuffix(strings.TrimSuffix(string(text), "/Capability=NULL"), "/Role=NULL"))
			}
		}
	}
	*ends = earliest(*ends, earliest(c.Info.Validity.NotAfter, signer.NotAfter))
	return nil
}

// isDirectory reports whether a general name is a directory name.
func isDirectory(n asn1.RawValue, name []byte) bool {
	return n.Class == asn1.ClassContextSpecific && n.Tag == 4 && bytes.Equal(n.Bytes, name)
}

// signer gives the certificate of who has signed an attribute certificate, which comes with
// it and is of an authority in force.
func (in authorities) signer(c *attributeCertificate, now time.Time) (*x509.Certificate, error) {
	at := slices.IndexFunc(c.Info.Extensions, extension(oidSigners))
	if at < 0 {
		return nil, errors.New("it comes without the certificate of who has signed it")
	}
	var lists [][]asn1.RawValue
	if rest, err := asn1.Unmarshal(c.Info.Extensions[at].Value, &lists); err != nil || len(rest) > 0 || len(lists) != 1 || len(lists[0]) == 0 || len(lists[0]) > maxChain {
		return nil, errors.New("the certificate of who has signed it cannot be read")
	}
	var chain []*x509.Certificate
	for _, raw := range lists[0] {
		x, err := x509.ParseCertificate(raw.FullBytes)
		if err != nil {
			return nil, err
		}
		chain = append(chain, x)
	}
	signer := chain[0]
	if err := in.verify(signer, chain[1:], now, x509.ExtKeyUsageAny); err != nil {
		return nil, err
	}
	algorithm, err := signatureOf(c)
	if err != nil {
		return nil, err
	}
	if err := signer.CheckSignature(algorithm, c.Info.Raw, c.Signature.RightAlign()); err != nil {
		return nil, err
	}
	return signer, nil
}

// algorithms are those by which attribute certificates may be signed.
var algorithms = map[string]x509.SignatureAlgorithm{
	"1.2.840.113549.1.1.11": x509.SHA256WithRSA, "1.2.840.113549.1.1.12": x509.SHA384WithRSA, "1.2.840.113549.1.1.13": x509.SHA512WithRSA,
	"1.2.840.10045.4.3.2": x509.ECDSAWithSHA256, "1.2.840.10045.4.3.3": x509.ECDSAWithSHA384, "1.2.840.10045.4.3.4": x509.ECDSAWithSHA512,
}

func signatureOf(c *attributeCertificate) (x509.SignatureAlgorithm, error) {
	a := algorithms[c.Algorithm.Algorithm.String()]
	if a == 0 || !c.Algorithm.Algorithm.Equal(c.Info.Algorithm.Algorithm) {
		return 0, fmt.Errorf("it is signed by %s", c.Algorithm.Algorithm)
	}
	return a, nil
}

// authority is who grants FQANs, as in atlas://voms.example.org:15001.
var authority = regexp.MustCompile(`^([A-Za-z0-9][A-Za-z0-9._-]*)://([A-Za-z0-9][A-Za-z0-9.-]*):[0-9]+$`)

// believed gives the organisation whose FQANs these are, if the operator believes who has
// signed them about it.
func (a *Authorities) believed(f fqans, signer *x509.Certificate) (string, error) {
	var m []string
	if len(f.Authority) == 1 && f.Authority[0].Class == asn1.ClassContextSpecific && f.Authority[0].Tag == 6 {
		m = authority.FindStringSubmatch(string(f.Authority[0].Bytes))
	}
	if m == nil {
		return "", errors.New("it does not tell whose it is")
	}
	vo, host := m[1], m[2]
	for _, text := range f.Values {
		if s := string(text); s != "/"+vo && !strings.HasPrefix(s, "/"+vo+"/") {
			return "", fmt.Errorf("%.80q is not of %s", s, vo)
		}
	}
	_, subject, _, err := names(signer.RawSubject)
	if err != nil {
		return "", err
	}
	_, issuer, _, err := names(signer.RawIssuer)
	if err != nil {
		return "", err
	}
	text, err := os.ReadFile(filepath.Join(a.config.VOMS, vo, host+".lsc"))
	if err != nil {
		return "", fmt.Errorf("%s is not believed about %s: %w", host, vo, err)
	}
	var lines []string
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	// More lines are the authority's authorities, which the files of authorities decide on.
	if subject == "" || len(lines) < 2 || lines[0] != subject || lines[1] != issuer {
		return "", fmt.Errorf("%s is not who is believed about %s", subject, vo)
	}
	return vo, nil
}
