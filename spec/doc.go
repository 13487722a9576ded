// Package spec holds the registry as data: the kinds, mixins, actions,
// attributes, states and transitions that the server knows, in embedded YAML
// files, and loads it together with an operator's own files.
//
// Load answers with a checked occi.Model or an error that names each file and
// line at fault; a registry is taken whole or not at all. README.md tells
// operators how a file is written, schema.json is its schema.
package spec
