package sign

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"
)

// Signer signs documents. The certificate may be another each time. It is safe for concurrent use.
type Signer struct{ certificate func() *tls.Certificate }

// New makes a Signer with a certificate and its private key. It fails if these cannot sign.
func New(certificate func() *tls.Certificate) (*Signer, error) {
	s := &Signer{certificate}
	_, err := s.Sign([]byte("<x></x>"))
	return s, err
}

// ID tells the certificate in force from any other.
func (s *Signer) ID() string {
	sum := sha256.Sum256(s.certificate().Certificate[0])
	return hex.EncodeToString(sum[:8])
}

// PEM is the certificate in force, and those that lead to its authority.
func (s *Signer) PEM() []byte {
	var out bytes.Buffer
	for _, der := range s.certificate().Certificate {
		_ = pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: der}) // to memory
	}
	return out.Bytes()
}

// Sign gives a document whose root has a signature as an element, and is the same beside
// that. The root must not be an empty-element tag.
func (s *Signer) Sign(document []byte) ([]byte, error) {
	c := s.certificate()
	key, err := signerOf(c.PrivateKey)
	if err != nil {
		return nil, err
	}
	parsed := etree.NewDocument()
	if err := parsed.ReadFromBytes(document); err != nil {
		return nil, fmt.Errorf("read what is to be signed: %w", err)
	}
	at := place(parsed.Root(), document)
	if at < 0 {
		return nil, errors.New("what is to be signed has no end tag")
	}
	context, err := dsig.NewSigningContext(key, c.Certificate)
	if err != nil {
		return nil, err
	}
	context.Canonicalizer = dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("")
	context.IdAttribute = "" // the whole document is signed
	signature, err := context.ConstructSignature(parsed.Root(), true)
	if err != nil {
		return nil, err
	}
	written := etree.NewDocument()
	written.SetRoot(signature)
	text, err := written.WriteToBytes()
	if err != nil {
		return nil, err
	}
	// What is signed is what was rendered, not what a parser made of it.
	out := make([]byte, 0, len(document)+len(text))
	out = append(append(out, document[:at]...), text...)
	return append(out, document[at:]...), nil
}

// place is where the signature of a document goes: before its last end tag, in a feed before
// its first entry, where Atom has what is not its own (RFC 4287, appendix B). It is
// less than 0 if there is no end tag.
func place(root *etree.Element, document []byte) int {
	if root != nil && root.Tag == "feed" {
		if first := bytes.Index(document, []byte("<entry>")); first > 0 {
			return first
		}
	}
	return bytes.LastIndex(document, []byte("</"))
}

// signerOf gives a key as it signs XML, or tells that it does not.
func signerOf(key crypto.PrivateKey) (crypto.Signer, error) {
	switch k := key.(type) {
	case *rsa.PrivateKey:
		return k, nil
	case *ecdsa.PrivateKey:
		return pairSigner{k}, nil
	}
	return nil, fmt.Errorf("XML is signed with an RSA or ECDSA key, not with a %T", key)
}

// pairSigner gives ECDSA signatures as XML has them: both numbers one after the other, each as long
// as the order of the curve (RFC 4050, section 3.3), and not as ASN.1.
type pairSigner struct{ *ecdsa.PrivateKey }

// Sign implements crypto.Signer.
func (s pairSigner) Sign(rand io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	der, err := s.PrivateKey.Sign(rand, digest, o)
	if err != nil {
		return nil, err
	}
	var pair struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &pair); err != nil {
		return nil, err
	}
	size := (s.Curve.Params().N.BitLen() + 7) / 8
	out := make([]byte, 2*size)
	pair.R.FillBytes(out[:size])
	pair.S.FillBytes(out[size:])
	return out, nil
}
