package clientcert

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/occid/occid/internal/auth"
)

func extension(id asn1.ObjectIdentifier) func(pkix.Extension) bool {
	return func(e pkix.Extension) bool { return e.Id.Equal(id) }
}

// typeNames are those of RFC 4514, section 3, and the one that certificates of people have
// besides.
var typeNames = map[string]string{
	"2.5.4.3": "CN", "2.5.4.7": "L", "2.5.4.8": "ST", "2.5.4.10": "O", "2.5.4.11": "OU", "2.5.4.6": "C", "2.5.4.9": "STREET",
	"0.9.2342.19200300.100.1.25": "DC", "0.9.2342.19200300.100.1.1": "UID", "1.2.840.113549.1.9.1": "emailAddress",
}

// names gives a name as RFC 4514 writes it, and as OpenSSL does with slashes. The latter
// is empty if a value has a slash, with which it could be that of another name.
func names(raw []byte) (standard, slashed string, common []string, err error) {
	var all []pkix.RelativeDistinguishedNameSET
	if rest, err := asn1.Unmarshal(raw, &all); err != nil || len(rest) > 0 {
		return "", "", nil, fmt.Errorf("a name that cannot be read: %v", err)
	}
	var parts []string
	ambiguous := false
	for _, set := range all {
		var values []string
		for _, x := range set {
			value, text := x.Value.(string)
			name := typeNames[x.Type.String()]
			if name == "" || !text {
				der, err := asn1.Marshal(x.Value)
				if err != nil {
					return "", "", nil, fmt.Errorf("a name that cannot be written: %w", err)
				}
				values, ambiguous = append(values, x.Type.String()+"=#"+hex.EncodeToString(der)), true
				continue
			}
			if name == "CN" {
				common = append(common, value)
			}
			values = append(values, name+"="+escaped(value))
			slashed += "/" + name + "=" + value
			ambiguous = ambiguous || strings.Contains(value, "/")
		}
		parts = append(parts, strings.Join(values, "+"))
	}
	slices.Reverse(parts)
	if ambiguous {
		slashed = ""
	}
	return strings.Join(parts, ","), slashed, common, nil
}

// escaped writes a value (RFC 4514, section 2.4).
func escaped(value string) string {
	var b strings.Builder
	for i := range len(value) {
		switch c := value[i]; {
		case c < ' ' || c == 0x7f:
			fmt.Fprintf(&b, `\%02x`, c)
		case strings.IndexByte(`"+,;<>\`, c) >= 0, c == ' ' && (i == 0 || i == len(value)-1), c == '#' && i == 0:
			b.WriteByte('\\')
			b.WriteByte(c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// describe tells what a certificate says of its owner.
func describe(c *x509.Certificate) (*auth.Proof, error) {
	subject, slashed, common, err := names(c.RawSubject)
	if err != nil {
		return nil, err
	}
	issuer, issuerSlashed, _, err := names(c.RawIssuer)
	if err != nil {
		return nil, err
	}
	if subject == "" {
		return nil, fmt.Errorf("a certificate without a subject")
	}
	p := &auth.Proof{Subjects: []string{subject}, Attributes: map[string][]string{"subject": {subject}, "issuer": {issuer}, "cn": common,
		"email": c.EmailAddresses, "dns": c.DNSNames}}
	if slashed != "" {
		p.Subjects = append(p.Subjects, slashed)
		p.Attributes["dn"] = []string{slashed}
	}
	if issuerSlashed != "" {
		p.Attributes["issuer_dn"] = []string{issuerSlashed}
	}
	for _, u := range c.URIs {
		p.Attributes["uri"] = append(p.Attributes["uri"], u.String())
	}
	if len(common) > 0 {
		p.Title = common[len(common)-1]
		p.Login = p.Title
	}
	return p, nil
}
