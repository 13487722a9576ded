package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"runtime"
	"strings"

	"golang.org/x/crypto/argon2"
)

// Cost of a hash of a secret that people choose (RFC 9106, section 4, with the memory
// that OWASP advises).
const (
	hashMemoryKiB = 19 << 10
	hashPasses    = 2
	hashLanes     = 1
	hashBytes     = 32
	saltBytes     = 16
)

// hashing bounds how many hashes are made at once: each takes memory and a processor.
var hashing = make(chan struct{}, max(1, runtime.NumCPU()-1))

// Hash gives what is kept of a secret that people choose, in the PHC string format.
func Hash(ctx context.Context, secret string) (string, error) {
	salt := make([]byte, saltBytes)
	rand.Read(salt)
	sum, err := derive(ctx, secret, salt, hashMemoryKiB, hashPasses, hashLanes)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, hashMemoryKiB, hashPasses, hashLanes, coded(salt), coded(sum)), nil
}

func coded(b []byte) string { return base64.RawStdEncoding.EncodeToString(b) }

func derive(ctx context.Context, secret string, salt []byte, memory, passes uint32, lanes uint8) ([]byte, error) {
	select {
	case hashing <- struct{}{}:
		defer func() { <-hashing }()
		return argon2.IDKey([]byte(secret), salt, passes, memory, lanes, hashBytes), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// matches reports whether a hash is that of a secret. It takes as long if it is not, and
// if there is no hash.
func matches(ctx context.Context, secret, hash string) (bool, error) {
	memory, passes, lanes := uint32(hashMemoryKiB), uint32(hashPasses), uint8(hashLanes)
	salt, want := make([]byte, saltBytes), []byte(nil)
	if parts := strings.Split(hash, "$"); len(parts) == 6 && parts[1] == "argon2id" {
		var m, t uint32
		var p uint8
		_, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &m, &t, &p)
		kept, err1 := base64.RawStdEncoding.DecodeString(parts[4])
		sum, err2 := base64.RawStdEncoding.DecodeString(parts[5])
		if err == nil && err1 == nil && err2 == nil && len(sum) == hashBytes {
			memory, passes, lanes, salt, want = m, t, p, kept, sum
		}
	}
	sum, err := derive(ctx, secret, salt, memory, passes, lanes)
	return err == nil && want != nil && subtle.ConstantTimeCompare(sum, want) == 1, err
}

// tokenPrefix begins tokens, so that people and scanners know what they are.
const tokenPrefix = "occid_"

// NewToken makes a token that nobody can guess.
func NewToken() string {
	b := make([]byte, 32)
	rand.Read(b)
	return tokenPrefix + base64.RawURLEncoding.EncodeToString(b)
}

// NewSecret makes a secret for a person to type.
func NewSecret() string { return rand.Text() }

// TokenName is the name of a token among accounts. It is a hash, which needs no salt:
// what is hashed cannot be guessed.
func TokenName(token string) string {
	sum := sha256.Sum256([]byte(token))
	return "token " + hex.EncodeToString(sum[:])
}

// Era tells the times apart in which a user has one secret, by the hash that is kept of
// it. What was made in one is good in that one alone.
func Era(hash string) string {
	if hash == "" {
		return ""
	}
	sum := sha256.Sum256([]byte("era " + hash))
	return hex.EncodeToString(sum[:])
}

// SessionName is the name of a session among accounts, by the value of its cookie.
func SessionName(cookie string) string {
	sum := sha256.Sum256([]byte("session " + cookie))
	return "session " + hex.EncodeToString(sum[:])
}

// UserName is the name of a user among accounts.
func UserName(login string) string { return "user " + login }
