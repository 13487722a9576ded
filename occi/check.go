package occi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxText is the longest text of one attribute, in bytes.
const MaxText = 64 << 10

// Check turns a draft's value into one of the attribute's type, or says what is
// wrong with it. Text formats' values are converted: "2" is 2 and "16 Gb" is 16
// for an attribute in GiB.
func (a *Attribute) Check(v Value) (Value, error) {
	v, err := a.convert(v)
	if err != nil {
		return Value{}, err
	}
	if v.Type == Integer || v.Type == Number {
		if a.Min != nil && v.Num < *a.Min {
			return Value{}, fmt.Errorf("%s is less than %s", v, Float(*a.Min).trim())
		}
		if a.Max != nil && v.Num > *a.Max {
			return Value{}, fmt.Errorf("%s is more than %s", v, Float(*a.Max).trim())
		}
		return v, nil
	}
	if v.Type != String {
		return v, nil
	}
	if err := checkText(v.Text); err != nil {
		return Value{}, err
	}
	if len(a.Enum) > 0 && !contains(a.Enum, v.Text) {
		return Value{}, fmt.Errorf("%q is not one of %s", v.Text, strings.Join(a.Enum, ", "))
	}
	if a.match != nil && !a.match(v.Text) {
		return Value{}, fmt.Errorf("%q does not match %s", v.Text, a.Pattern)
	}
	if err := checkFormat(a.Format, v.Text); err != nil {
		return Value{}, err
	}
	return v, nil
}

func (v Value) trim() string { return strings.TrimSuffix(v.String(), ".0") }

func checkText(s string) error {
	if len(s) > MaxText {
		return fmt.Errorf("text of %d bytes is longer than %d", len(s), MaxText)
	}
	if !utf8.ValidString(s) {
		return fmt.Errorf("text is not UTF-8")
	}
	for _, r := range s {
		if r == utf8.RuneError || unicode.IsControl(r) && r != '\n' && r != '\t' && r != '\r' || r == 0xFFFE || r == 0xFFFF {
			return fmt.Errorf("text holds the control character %U", r)
		}
	}
	return nil
}

func checkFormat(format, s string) error {
	switch format {
	case "ip":
		if _, err := netip.ParseAddr(s); err != nil {
			return fmt.Errorf("%q is not an IP address", s)
		}
	case "cidr":
		if _, err := netip.ParsePrefix(s); err != nil {
			return fmt.Errorf("%q is not an address range such as 198.18.0.0/24", s)
		}
	case "mac":
		hw, err := net.ParseMAC(s)
		if err != nil || len(hw) != 6 {
			return fmt.Errorf("%q is not a MAC address", s)
		}
		if hw[0]&1 != 0 {
			return fmt.Errorf("%q is a multicast MAC address", s)
		}
	case "rules":
		_, err := ParseRules(s)
		return err
	case "line", "hostname":
		if strings.ContainsAny(s, "\r\n") {
			return fmt.Errorf("text holds a line break")
		}
	}
	return nil
}

func (a *Attribute) convert(v Value) (Value, error) {
	switch a.Type {
	case Integer, Number:
		n := v.Num
		switch v.Type {
		case Integer, Number:
		case String:
			var err error
			if n, err = parseQuantity(v.Text, a.Unit); err != nil {
				return Value{}, err
			}
		default:
			return Value{}, fmt.Errorf("%s is not a number", v)
		}
		if math.IsNaN(n) || math.IsInf(n, 0) || math.Abs(n) > 1<<53 {
			return Value{}, fmt.Errorf("%s is out of range", v)
		}
		if a.Type == Integer && n != math.Trunc(n) {
			return Value{}, fmt.Errorf("%s is not a whole number", v)
		}
		return Value{Type: a.Type, Num: n}, nil
	case Boolean:
		switch {
		case v.Type == Boolean:
			return v, nil
		case v.Type == String && strings.EqualFold(v.Text, "true"):
			return Bool(true), nil
		case v.Type == String && strings.EqualFold(v.Text, "false"):
			return Bool(false), nil
		}
		return Value{}, fmt.Errorf("%q is neither true nor false", v)
	case Array, Object:
		if v.Type == String {
			v = parseJSON(v.Text)
		}
		if v.Type != a.Type {
			return Value{}, fmt.Errorf("%.80q is not an %s", v, a.Type)
		}
		return v, nil
	default:
		if v.Type == Array || v.Type == Object {
			return Value{}, fmt.Errorf("an %s is not text", v.Type)
		}
		return Str(v.Text0()), nil
	}
}

// parseJSON makes an Array or Object of the JSON by which renderings without such
// values show them; other text stays a String.
func parseJSON(text string) Value {
	var b bytes.Buffer
	if json.Compact(&b, []byte(text)) != nil {
		return Str(text)
	}
	switch b.Bytes()[0] {
	case '[':
		return Value{Type: Array, Text: b.String()}
	case '{':
		return Value{Type: Object, Text: b.String()}
	}
	return Str(text)
}

// Text0 is the value's text with a whole number written without a fraction, as
// a client wrote it.
func (v Value) Text0() string {
	if v.Type == Number {
		return v.trim()
	}
	return v.String()
}

// units are the factors of unit words to bytes or hertz. K, M, G and T are
// powers of 1024 for bytes whatever the case and the "i" (GFD.224 uses GiB), and
// of 1000 for hertz.
var units = map[string]map[string]float64{
	"GiB": {"": 1 << 30, "b": 1, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40, "pib": 1 << 50,
		"kb": 1 << 10, "mb": 1 << 20, "gb": 1 << 30, "tb": 1 << 40, "pb": 1 << 50,
		"k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "bytes": 1},
	"GHz": {"": 1e9, "hz": 1, "khz": 1e3, "mhz": 1e6, "ghz": 1e9, "thz": 1e12},
}

// Units lists the units that quantities are written with.
func Units() []string { return []string{"GiB", "GHz"} }

// shown is how the descriptor writes a unit, as people wrote it first.
var shown = map[string]string{"GiB": "Gb", "GHz": "Ghz"}

// Quantity writes a value with its attribute's unit, as the descriptor does
// ("16 Gb"); a value without a unit is written as it is.
func (a *Attribute) Quantity(v Value) string { return string(a.AppendQuantity(nil, v)) }

// AppendQuantity adds what Quantity gives to b.
func (a *Attribute) AppendQuantity(b []byte, v Value) []byte {
	start := len(b)
	b = v.Append(b)
	if n := len(b) - 2; v.Type == Number && n >= start && string(b[n:]) == ".0" {
		b = b[:n]
	}
	if u := shown[a.Unit]; u != "" {
		b = append(append(b, ' '), u...)
	}
	return b
}

// parseQuantity reads "16", "16 Gb" or "16384 MiB" as a number of unit.
func parseQuantity(s, unit string) (float64, error) {
	s = strings.TrimSpace(s)
	end := len(s)
	for end > 0 && (unicode.IsLetter(rune(s[end-1])) && !isExponent(s, end-1)) {
		end--
	}
	word := strings.ToLower(s[end:])
	n, err := strconv.ParseFloat(strings.TrimSpace(s[:end]), 64)
	if err != nil || strings.ContainsAny(s[:end], "xX_pP") {
		return 0, fmt.Errorf("%q is not a number", s)
	}
	if word == "" {
		return n, nil
	}
	table := units[unit]
	factor, ok := table[word]
	if !ok {
		if unit == "" {
			return 0, fmt.Errorf("%q has a unit where none is meant", s)
		}
		return 0, fmt.Errorf("unit %q of %q is unknown; use %s", s[end:], s, unit)
	}
	if factor == table[""] {
		return n, nil // the detour over the base unit may not lead back to n
	}
	return n * factor / table[""], nil
}

// isExponent reports whether the letter at i is the e of a number such as 1e3.
func isExponent(s string, i int) bool {
	return (s[i] == 'e' || s[i] == 'E') && i > 0 && i+1 < len(s) &&
		(s[i-1] >= '0' && s[i-1] <= '9') && (s[i+1] >= '0' && s[i+1] <= '9' || s[i+1] == '+' || s[i+1] == '-')
}
