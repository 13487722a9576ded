package render

import (
	"cmp"
	"encoding/hex"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/occid/occid/occi"
)

// appendID adds a UUID in its 36-character form.
func appendID(dst []byte, id uuid.UUID) []byte {
	var b [36]byte
	hex.Encode(b[:8], id[:4])
	hex.Encode(b[9:13], id[4:6])
	hex.Encode(b[14:18], id[6:8])
	hex.Encode(b[19:23], id[8:10])
	hex.Encode(b[24:], id[10:])
	b[8], b[13], b[18], b[23] = '-', '-', '-', '-'
	return append(dst, b[:]...)
}

// appendURN adds a UUID as ID writes it.
func appendURN(dst []byte, id uuid.UUID) []byte {
	return appendID(append(dst, "urn:uuid:"...), id)
}

// appendQuoted adds a quoted string of the text rendering (GFD.229 section 5,
// RFC 7230 quoted-string). The grammar has no line breaks, but keys and user
// data do: they are written \n, \r and \t, which widely used clients read and
// write so, and which keeps a value on its line and in its header field. Other
// control characters, which no entity holds, become blanks.
func appendQuoted(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' && c != 0x7f {
			continue
		}
		dst = append(dst, s[start:i]...)
		start = i + 1
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, ' ')
		}
	}
	return append(append(dst, s[start:]...), '"')
}

const upperHex = "0123456789ABCDEF"

// appendURI adds a URI where it is not in quotes. What would end it there is
// percent-encoded.
func appendURI(dst []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c <= ' ' || c == 0x7f || c == '<' || c == '>' || c == '"' || c == '\\' {
			dst = append(dst, '%', upperHex[c>>4], upperHex[c&15])
			continue
		}
		dst = append(dst, c)
	}
	return dst
}

// appendLine adds a line of a message; control characters become blanks.
func appendLine(dst []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c < ' ' || c == 0x7f {
			c = ' '
		}
		dst = append(dst, c)
	}
	return append(dst, '\n')
}

// appendFault adds an error as lines: what is wrong, then each problem.
func appendFault(dst []byte, prefix string, f *Fault) []byte {
	dst = appendLine(append(dst, prefix...), cmp.Or(f.Message, f.Reason))
	for _, p := range f.Problems {
		dst = appendLine(append(dst, prefix...), p.String())
	}
	return dst
}

// appendJSONString adds a JSON string. What is not UTF-8 becomes U+FFFD.
func appendJSONString[S string | []byte](dst []byte, s S) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(string(s[i:min(i+utf8.UTFMax, len(s))]))
			if r == utf8.RuneError && n == 1 {
				dst = append(append(dst, s[start:i]...), `\ufffd`...)
				start = i + 1
			}
			i += n
			continue
		}
		dst = append(dst, s[start:i]...)
		dst = appendJSONEscape(dst, c)
		i++
		start = i
	}
	return append(append(dst, s[start:]...), '"')
}

func appendJSONEscape(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	return append(dst, '\\', 'u', '0', '0', upperHex[c>>4], upperHex[c&15])
}

// appendJSONValue adds an attribute's value.
func appendJSONValue(dst []byte, v occi.Value) []byte {
	if v.Type == occi.String {
		return appendJSONString(dst, v.Text)
	}
	return v.Append(dst)
}
