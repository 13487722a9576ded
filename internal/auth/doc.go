// Package auth tells who is asking, and what they may do.
//
// A Registry of mechanisms reads what a request presents and verifies it; what it finds
// is a Caller. What callers may do is decided here alone, by one table of roles
// (rules.go) and one of routes (routes.go), of a Thing that is asked about and a Verb.
package auth
