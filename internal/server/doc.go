// Package server is the HTTP face: it finds what a URL means, negotiates the
// rendering, checks conditional requests, calls the engine once and answers.
//
// Status codes are chosen in errors.go only. No rule of the domain is here; a
// reader who wants to know what a request does reads the engine.
package server
