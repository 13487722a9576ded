package auth

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"time"
)

// cookieName is that of sessions. Over TLS the prefix has browsers take it from this host
// alone, for all its paths, and never without TLS (RFC 6265bis, section 4.1.3.2).
const (
	cookieName   = "occid"
	securePrefix = "__Host-"
)

// CSRFField is the header field by which a page shows that it may read what the server
// answers, before the server believes the cookie that its browser sends.
const CSRFField = "X-Csrf-Token"

func nameOfCookie(from From) string {
	if from.Secure {
		return securePrefix + cookieName
	}
	return cookieName
}

// cookie gives the cookie of a session that a request carries, "" for none. One of two has
// been put there by somebody else.
func cookie(r *http.Request, from From) string {
	if len(r.Header["Cookie"]) == 0 {
		return ""
	}
	if all := r.CookiesNamed(nameOfCookie(from)); len(all) == 1 {
		return all[0].Value
	}
	return ""
}

func readSession(r *http.Request, from From) (presented, bool) {
	text := cookie(r, from)
	return presented{name: SessionName(text)}, text != ""
}

// Cookie is what has a browser keep a session until its end; the zero time forgets it.
func Cookie(value string, ends time.Time, from From) *http.Cookie {
	c := &http.Cookie{Name: nameOfCookie(from), Value: value, Path: "/", Secure: from.Secure, HttpOnly: true, SameSite: http.SameSiteLaxMode}
	if c.Expires = ends; ends.IsZero() {
		c.MaxAge = -1
	}
	return c
}

// loginTime is how long a browser may take to log in elsewhere, in seconds.
const loginTime = 600

// LoginCookie is what a browser keeps while it logs in elsewhere; one that is empty is
// forgotten.
func LoginCookie(kept string, from From) *http.Cookie {
	c := Cookie(kept, time.Time{}, from)
	if c.Name += "-login"; kept != "" {
		c.MaxAge = loginTime
	}
	return c
}

// LoginCookieOf is what a browser has kept of that, "" for nothing.
func LoginCookieOf(r *http.Request, from From) string {
	if all := r.CookiesNamed(nameOfCookie(from) + "-login"); len(all) == 1 {
		return all[0].Value
	}
	return ""
}

// CSRFToken is what a page shows with a session whose cookie has a value.
func CSRFToken(value string) string {
	sum := sha256.Sum256([]byte("csrf " + value))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// CSRFTokenOf is the token of the session whose cookie a request carries.
func CSRFTokenOf(r *http.Request, from From) string { return CSRFToken(cookie(r, from)) }

// Intended reports whether a request with the cookie of a session shows its token, which
// only pages of the server's own site can know.
func Intended(r *http.Request, from From) bool {
	shown := r.Header[CSRFField]
	return len(shown) == 1 && subtle.ConstantTimeCompare([]byte(shown[0]), []byte(CSRFTokenOf(r, from))) == 1
}
