package server

import (
	"strings"

	"github.com/occid/occid/occi"
	"github.com/occid/occid/render"
)

// Signer signs documents in XML; the sign package has the contracts.
type Signer interface {
	Sign(document []byte) ([]byte, error)
	ID() string
	PEM() []byte
}

const (
	// signParam is the parameter that asks for a signature.
	signParam = "sign"
	// certificatePath is where the certificate is by which signatures are verified.
	certificatePath = "/-/certificate"
	chainMedia      = "application/pem-certificate-chain" // RFC 8555, section 9.1
)

var certificateVerbs = &verbs{name: "certificate", get: (*call).getCertificate, plain: true}

// signed are the formats whose renderings can be signed.
var signed = map[string]bool{"application/xml": true, "application/occi+xml": true, "application/atom+xml": true}

// asksToSign takes the parameter that asks for a signature out of the others.
func (c *call) asksToSign() error {
	text, given, err := c.params.single(signParam)
	if err != nil || !given || c.to.verbs.plain {
		return err
	}
	if text != "0" && text != "1" {
		return badParam(signParam, "is %.40q, neither 1 nor 0", text)
	}
	var rest params
	for _, p := range c.params {
		if p.name != signParam {
			rest = append(rest, p)
		}
	}
	if c.params = rest; text == "0" {
		return nil
	}
	if c.s.signer == nil {
		return occi.E(occi.Unsupported, "this server signs nothing")
	}
	c.signed = true
	return nil
}

// signable refuses a signature where the format has none.
func (c *call) signable() error {
	if !c.signed || signed[c.format.Media] {
		return nil
	}
	var names []string
	for _, f := range render.Formats() {
		if signed[f.Media] {
			names = append(names, f.Media)
		}
	}
	return occi.E(occi.Unacceptable, "%s has no signature; %s have", c.format.Media, strings.Join(names, ", "))
}

// sign gives a rendering with a signature, if one was asked for.
func (c *call) sign(f *render.Format, text []byte) ([]byte, error) {
	if !c.signed || !signed[f.Media] {
		return text, nil
	}
	return c.s.signer.Sign(text)
}

// signature is the part of a tag that tells signed renderings from others, and those by one
// certificate from those by another.
func (c *call) signature() string {
	if !c.signed {
		return ""
	}
	return "\nsigned " + c.s.signer.ID()
}

func (c *call) getCertificate() error {
	if err := c.params.only(); err != nil {
		return err
	}
	if c.to.suffix != nil {
		return nothingAt(c.r.URL.Path)
	}
	return c.document(chainMedia, c.s.signer.PEM())
}
