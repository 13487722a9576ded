// Package schematest judges what is sent over the network by the schemas that say
// how it must be: those of package spec for OCCI's JSON, descriptors in JSON and
// descriptors in XML, and RFC 4287 for Atom. It is for tests, and needs xmllint.
package schematest
