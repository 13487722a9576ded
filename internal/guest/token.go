package guest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"net/http"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/occid/occid/occi"
)

// Header fields of EC2's metadata tokens (IMDSv2).
const (
	tokenField = "X-Aws-Ec2-Metadata-Token"
	ttlField   = "X-Aws-Ec2-Metadata-Token-Ttl-Seconds"
)

// maxTTL is how long a token may be good for, in seconds.
const maxTTL = 21600

// tokens makes and checks tokens, which hold all there is to know of them: when
// they end, and that this server made them for a machine.
type tokens struct{ key []byte }

func (t tokens) make(id uuid.UUID, end time.Time) string {
	b := binary.BigEndian.AppendUint64(nil, uint64(end.Unix()))
	return base64.RawURLEncoding.EncodeToString(append(b, t.sum(id, b)...))
}

func (t tokens) sum(id uuid.UUID, end []byte) []byte {
	h := hmac.New(sha256.New, t.key)
	h.Write([]byte("metadata token\n"))
	h.Write(id[:])
	h.Write(end)
	return h.Sum(nil)
}

// good reports whether a token is a machine's, and not over.
func (t tokens) good(token string, id uuid.UUID, now time.Time) bool {
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(b) != 8+sha256.Size {
		return false
	}
	return hmac.Equal(b[8:], t.sum(id, b[:8])) && now.Unix() < int64(binary.BigEndian.Uint64(b[:8]))
}

// give answers a request for a token.
func (t tokens) give(h http.Header, id uuid.UUID, now time.Time) (token string, ttl int, err error) {
	given := h[ttlField]
	if len(given) != 1 {
		return "", 0, occi.E(occi.Invalid, "%s: the seconds that the token is to be good for are missing", ttlField)
	}
	ttl, err = strconv.Atoi(given[0])
	if err != nil || ttl < 1 || ttl > maxTTL {
		return "", 0, occi.E(occi.Invalid, "%s: %.40q is not from 1 to %d", ttlField, given[0], maxTTL)
	}
	return t.make(id, now.Add(time.Duration(ttl)*time.Second)), ttl, nil
}

// check refuses requests to EC2's tree with a token that is not good, and those
// without one where one is needed.
func (t tokens) check(h http.Header, m *Machine, now time.Time) error {
	given := h[tokenField]
	switch {
	case len(given) == 0 && !m.NeedsToken:
		return nil
	case len(given) == 0:
		return occi.E(occi.Unauthorized, "%s is missing; PUT /latest/api/token gives one", tokenField)
	case len(given) > 1 || !t.good(given[0], m.ID, now):
		return occi.E(occi.Unauthorized, "%s: the token is not good, or not any more", tokenField)
	}
	return nil
}
