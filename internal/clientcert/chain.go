package clientcert

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"time"
)

var (
	oidProxyInfo = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 14}
	// oidInheritAll is the language of proxies that may do all that their owners may
	// (RFC 3820, section 3.8.2). Others are restricted in ways that are not known here.
	oidInheritAll = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 21, 1}
	oidCommonName = asn1.ObjectIdentifier{2, 5, 4, 3}
)

// errStale tells that a list of what is revoked is too old to count on.
var errStale = errors.New("the list of what is revoked is out of date")

// verify checks a certificate up to an authority in force, and that none on the way is
// revoked.
func (in authorities) verify(c *x509.Certificate, others []*x509.Certificate, now time.Time, usage x509.ExtKeyUsage) error {
	between := x509.NewCertPool()
	for _, x := range others {
		between.AddCert(x)
	}
	chains, err := c.Verify(x509.VerifyOptions{Roots: in.pool, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{usage}})
	if err != nil {
		return err
	}
	// One way that stands is enough.
	for _, chain := range chains {
		if err = in.standing(chain, now); err == nil {
			return nil
		}
	}
	return err
}

// standing reports why a chain does not stand. Who has no list has revoked nothing.
func (in authorities) standing(chain []*x509.Certificate, now time.Time) error {
	for i, c := range chain[:len(chain)-1] {
		issuer, listed, fresh := chain[i+1], false, false
		for _, list := range in.revoked {
			if !bytes.Equal(list.RawIssuer, issuer.RawSubject) || list.CheckSignatureFrom(issuer) != nil {
				continue
			}
			if slices.ContainsFunc(list.RevokedCertificateEntries, func(e x509.RevocationListEntry) bool { return e.SerialNumber.Cmp(c.SerialNumber) == 0 }) {
				return fmt.Errorf("%s is revoked", c.Subject)
			}
			listed = true
			fresh = fresh || now.Before(list.NextUpdate)
		}
		if listed && !fresh {
			return fmt.Errorf("%w: %s", errStale, issuer.Subject)
		}
	}
	return nil
}

// split parts the proxies in front from the certificate of their owner and what leads to
// its authority.
func split(chain []*x509.Certificate) (proxies, rest []*x509.Certificate, err error) {
	i := 0
	for i < len(chain) && slices.ContainsFunc(chain[i].Extensions, extension(oidProxyInfo)) {
		i++
	}
	if i == len(chain) {
		return nil, nil, errors.New("a proxy comes without the certificate of its owner")
	}
	return chain[:i], chain[i:], nil
}

// proxyInfo is what a proxy says of itself (RFC 3820, section 3.8).
type proxyInfo struct {
	PathLength int `asn1:"optional,default:-1"`
	Policy     struct {
		Language asn1.ObjectIdentifier
		Text     []byte `asn1:"optional"`
	}
}

// delegated checks that each proxy is of the next one, the last one of the owner
// (RFC 3820, section 4.1).
func delegated(proxies []*x509.Certificate, owner *x509.Certificate, now time.Time) error {
	for i, p := range proxies {
		by := owner
		if i+1 < len(proxies) {
			by = proxies[i+1]
		}
		info := proxyInfo{PathLength: -1}
		at := slices.IndexFunc(p.Extensions, extension(oidProxyInfo))
		rest, err := asn1.Unmarshal(p.Extensions[at].Value, &info)
		switch {
		case err != nil || len(rest) > 0:
			return errors.New("what a proxy says of itself cannot be read")
		case !p.Extensions[at].Critical:
			return errors.New("what a proxy says of itself is not critical")
		case !info.Policy.Language.Equal(oidInheritAll) || len(info.Policy.Text) > 0:
			return fmt.Errorf("a proxy is restricted by %s", info.Policy.Language)
		case info.PathLength >= 0 && i > info.PathLength:
			return errors.New("more proxies follow a proxy than may")
		case now.Before(p.NotBefore) || now.After(p.NotAfter):
			return errors.New("a proxy has expired, or does not count yet")
		case p.IsCA || by.IsCA:
			return errors.New("a proxy is of an authority")
		case by.KeyUsage != 0 && by.KeyUsage&x509.KeyUsageDigitalSignature == 0:
			return errors.New("a proxy is signed by a key that is not for signatures")
		case !bytes.Equal(p.RawIssuer, by.RawSubject) || !extends(p.RawSubject, by.RawSubject):
			return errors.New("the subject of a proxy does not follow from that of who has signed it")
		case len(p.DNSNames)+len(p.EmailAddresses)+len(p.IPAddresses)+len(p.URIs) > 0:
			return errors.New("a proxy has names of its own")
		}
		for _, e := range p.UnhandledCriticalExtensions {
			if !e.Equal(oidProxyInfo) {
				return fmt.Errorf("a proxy says something critical that is not known here: %s", e)
			}
		}
		if err := by.CheckSignature(p.SignatureAlgorithm, p.RawTBSCertificate, p.Signature); err != nil {
			return err
		}
	}
	return nil
}

// extends reports whether a name is another one with a common name more.
func extends(longer, shorter []byte) bool {
	var l, s []asn1.RawValue
	if rest, err := asn1.Unmarshal(longer, &l); err != nil || len(rest) > 0 {
		return false
	}
	if rest, err := asn1.Unmarshal(shorter, &s); err != nil || len(rest) > 0 || len(l) != len(s)+1 {
		return false
	}
	for i := range s {
		if !bytes.Equal(l[i].FullBytes, s[i].FullBytes) {
			return false
		}
	}
	var last []struct {
		Type  asn1.ObjectIdentifier
		Value asn1.RawValue
	}
	rest, err := asn1.UnmarshalWithParams(l[len(s)].FullBytes, &last, "set")
	return err == nil && len(rest) == 0 && len(last) == 1 && last[0].Type.Equal(oidCommonName)
}
