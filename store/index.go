package store

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/occid/occid/occi"
)

// Keys of values compare bytewise as the values do; the first byte keeps types
// apart.
const (
	numberKey = "\x01"
	textKey   = "\x02"
	mixinKey  = "\x03" // of a mixin's identifier as a name: it is there
)

// maxKey is how many bytes of a text are indexed as they are; PostgreSQL refuses
// more than some thousand.
const maxKey = 240

// indexed gives a text as it is indexed. What is longer than maxKey ends in a hash
// of the rest: it is still told apart, but not ordered beyond.
func indexed(s string) []byte {
	s = kept(s)
	if len(s) <= maxKey {
		return []byte(s)
	}
	sum := sha256.Sum256([]byte(s[maxKey:]))
	return append([]byte(s[:maxKey]), sum[:]...)
}

// kept gives a text as documents keep it: JSON has U+FFFD for each byte that is
// not UTF-8.
func kept(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return string([]rune(s))
}

// keyOf gives the key of a value.
func keyOf(v occi.Value) string {
	if v.Type == occi.Integer || v.Type == occi.Number {
		return numberKey + orderedNumber(v.Num)
	}
	return textKey + string(indexed(v.String()))
}

// orderedNumber writes a number so that bytes compare as numbers do: of the
// IEEE 754 bits, negative ones are inverted and others follow them.
func orderedNumber(f float64) string {
	bits := math.Float64bits(f)
	switch {
	case f == 0:
		bits = 1 << 63 // of both zeros
	case f < 0:
		bits = ^bits
	default:
		bits |= 1 << 63
	}
	return string(binary.BigEndian.AppendUint64(nil, bits))
}

// keysOf gives the keys under which filters find an entity, by name.
func keysOf(e *occi.Entity) map[string]string {
	keys := make(map[string]string, len(e.Attributes)+len(e.Mixins)+4)
	if e.Deleted {
		return keys
	}
	text := func(name, s string) {
		if s != "" {
			keys[name] = keyOf(occi.Str(s))
		}
	}
	for _, id := range e.Mixins {
		keys[kept(id)] = mixinKey
	}
	for _, a := range e.Attributes {
		keys[kept(a.Name)] = keyOf(a.Value)
	}
	text(occi.AttrTitle, e.Title)
	text(occi.AttrSummary, e.Summary)
	text(occi.AttrSource, refText(e.Source))
	text(occi.AttrSourceKind, e.Source.Kind)
	text(occi.AttrTarget, refText(e.Target))
	text(occi.AttrTargetKind, e.Target.Kind)
	return keys
}

// refText is what filters compare with refValue.
func refText(r occi.Ref) string {
	if r.ID != uuid.Nil {
		return r.ID.String()
	}
	return refValue(r.URI)
}

// refValue is what counts of a path or URI: the UUID it ends in, else all.
func refValue(s string) string {
	last := strings.TrimSuffix(s, "/")
	if id, ok := occi.ParseID(last[strings.LastIndexByte(last, '/')+1:]); ok {
		return id.String()
	}
	return s
}

// wordsOf gives the text that a search for words looks through; the model, nil for none,
// says what it must not find.
func wordsOf(m *occi.Model, e *occi.Entity) string {
	texts := []string{e.Title, e.Summary}
	for _, a := range e.Attributes {
		if m != nil {
			if d := m.Attribute(a.Name); d != nil && d.Confidential {
				continue
			}
		}
		if a.Value.Type == occi.String {
			texts = append(texts, a.Value.Text)
		}
	}
	return strings.ToLower(kept(strings.Join(texts, "\n")))
}
