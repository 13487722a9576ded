// Package sign signs XML documents as XML Signature has it
// (https://www.w3.org/TR/xmldsig-core1/): enveloped, with exclusive canonicalisation, SHA-256
// and an RSA or ECDSA key, whose certificate is in the signature.
package sign
