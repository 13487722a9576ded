package web

import "net/http"

// Values of the fields that Protect sets.
var (
	noSniff    = []string{"nosniff"}
	noReferrer = []string{"no-referrer"}
	noFrames   = []string{"DENY"}
	noContent  = []string{"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"}
	onlyTLS    = []string{"max-age=31536000"}
)

// Protect sets what keeps a browser from making more of an answer than it is: it is what
// its Content-Type says, loads and runs nothing, is in no frame, and where it leads to
// does not learn its address. If secure, the browser is to use TLS for a year (RFC 6797).
func Protect(h http.Header, secure bool) {
	h["X-Content-Type-Options"] = noSniff
	h["Referrer-Policy"] = noReferrer
	h["X-Frame-Options"] = noFrames
	h["Content-Security-Policy"] = noContent
	if secure {
		h["Strict-Transport-Security"] = onlyTLS
	}
}

// Unchanged takes away what the answer has that a 304 tells of: the client goes on with
// that one's fields (RFC 9110 section 15.4.5).
func Unchanged(h http.Header) {
	delete(h, "X-Content-Type-Options")
	delete(h, "Referrer-Policy")
	delete(h, "X-Frame-Options")
	delete(h, "Content-Security-Policy")
}

// Protected has every answer of a handler protected.
func Protected(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		Protect(w.Header(), r.TLS != nil)
		next.ServeHTTP(w, r)
	})
}
