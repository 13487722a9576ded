package guest

import (
	"bytes"
	"encoding/base64"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/occid/occid/occi"
)

// Lengths of names (RFC 1035 section 2.3.4, and what Linux takes for its own).
const (
	maxLabel = 63
	maxName  = 253
)

// hostname makes a legal name of the one wished for, else of the title, else of
// the identifier (RFC 1123 section 2.1).
func hostname(wished, title string, id uuid.UUID) string {
	for _, name := range []string{domainName(wished), label(title)} {
		if name != "" {
			return name
		}
	}
	return "vm-" + id.String()[:8]
}

// domainName makes labels of what is between dots.
func domainName(s string) string {
	var labels []string
	size := 0
	for part := range strings.SplitSeq(s, ".") {
		l := label(part)
		if l == "" {
			continue
		}
		if size += len(l) + 1; size > maxName {
			break
		}
		labels = append(labels, l)
	}
	return strings.Join(labels, ".")
}

// label keeps letters and digits, with one hyphen for whatever is between them.
func label(s string) string {
	var b strings.Builder
	gap := false
	for _, r := range strings.ToLower(s) {
		if !('a' <= r && r <= 'z' || '0' <= r && r <= '9' || r == '-') {
			gap = b.Len() > 0
			continue
		}
		if gap {
			b.WriteByte('-')
			gap = false
		}
		b.WriteRune(r)
	}
	l := strings.Trim(b.String(), "-")
	return strings.TrimRight(l[:min(len(l), maxLabel)], "-")
}

// keys lists the public keys of a machine, each under a name of its own: the
// attribute's for that, the key's comment, or its number.
func keys(m *occi.Model, x *occi.Entity) []PublicKey {
	var out []PublicKey
	seen, taken := map[string]bool{}, map[string]bool{}
	add := func(line, name string) {
		fields := strings.Fields(line)
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") || seen[line] {
			return
		}
		seen[line] = true
		if name == "" && len(fields) > 2 {
			name = fields[len(fields)-1]
		}
		if name == "" {
			name = "key"
		}
		name = strings.Map(func(r rune) rune {
			if r == '/' || r == '=' || r <= ' ' {
				return '-'
			}
			return r
		}, name)
		unique := name
		for n := 2; taken[unique]; n++ {
			unique = name + "-" + strconv.Itoa(n)
		}
		taken[unique] = true
		out = append(out, PublicKey{Name: unique, Text: line})
	}
	for _, mx := range m.Closure(x.Mixins) {
		name := ofMixin(mx, x, roleKeyName)
		for line := range strings.Lines(ofMixin(mx, x, roleKey)) {
			add(strings.TrimSpace(line), strings.TrimSpace(name))
		}
	}
	return out
}

// ofMixin gives the text that an entity has in a role by one of its mixins.
func ofMixin(mx *occi.Mixin, x *occi.Entity, role string) string {
	for _, a := range mx.Attributes {
		if a.Role == role {
			if t := x.Attributes.Get(a.Name).Text; t != "" {
				return t
			}
		}
	}
	return ""
}

// userData gives the data that a machine is handed. Some attributes are base64 by
// definition; clients send it in others too, where it counts as such if it
// encodes what guests act upon.
func userData(m *occi.Model, x *occi.Entity) []byte {
	if t := text(m, x, roleUserData64); t != "" {
		if b, ok := decoded(t); ok {
			return b
		}
		return []byte(t)
	}
	t := text(m, x, roleUserData)
	if t == "" {
		return nil
	}
	if b, ok := decoded(t); ok && acted(b) {
		return b
	}
	return []byte(t)
}

// decoded reads base64, with line breaks and with or without its padding.
func decoded(s string) ([]byte, bool) {
	s = strings.Map(func(r rune) rune {
		if r == '\n' || r == '\r' || r == ' ' || r == '\t' {
			return -1
		}
		return r
	}, s)
	b, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(s, "="))
	return b, err == nil && len(b) > 0
}

// headers begin what guests act upon: scripts, what cloud-init reads, MIME
// archives, and compressed forms of these.
var headers = [][]byte{
	[]byte("#!"), []byte("#cloud-"), []byte("#include"), []byte("#upstart-job"), []byte("#part-handler"), []byte("## template:"),
	[]byte("Content-Type:"), []byte("MIME-Version:"), []byte("From "), []byte(`{"ignition"`), []byte("<script"), []byte("<powershell"), []byte("#ps1"),
	{0x1f, 0x8b}, []byte("BZh"), {0xfd, '7', 'z', 'X', 'Z', 0},
}

func acted(b []byte) bool {
	for _, h := range headers {
		if len(b) >= len(h) && bytes.EqualFold(b[:len(h)], h) {
			return true
		}
	}
	return false
}
