package render_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/occid/occid/occi"
	"github.com/occid/occid/render"
)

// malformed is a body that a decoder refuses, and what the error must be.
type malformed struct {
	name, media, body string
	class             occi.Class
	line              int
	says              string
}

func many(n int, open, one, shut string) string { return open + strings.Repeat(one, n) + shut }

func numbered(n int, format string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

// refuse holds decoders to naming the line and the thing at fault.
func refuse(t *testing.T, tests []malformed) {
	t.Helper()
	m := builtin(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d, err := render.Named(tt.media).Decode(m, []byte(tt.body))
			if err == nil {
				t.Fatalf("read as %+v", d)
			}
			e := err.(*occi.Error)
			if e.Class != tt.class || !strings.Contains(e.Public(), tt.says) {
				t.Errorf("got %s error %q, want %s with %q", e.Class, e.Public(), tt.class, tt.says)
			}
			if line := 0; len(e.Problems) > 0 {
				if line = e.Problems[0].Line; line != tt.line {
					t.Errorf("line %d, want %d (%s)", line, tt.line, e.Public())
				}
			}
		})
	}
}

func TestMalformed(t *testing.T) {
	t.Parallel()
	const head = "Category: compute; scheme=\"http://schemas.ogf.org/occi/infrastructure#\"\n"
	refuse(t, []malformed{
		{"not a field", "text/plain", head + "\nnonsense", occi.Invalid, 3, `"nonsense" is not of the form`},
		{"unknown field", "text/plain", head + "Color: red", occi.Invalid, 2, `no field "Color"`},
		{"no term", "text/plain", "Category: ; , =x", occi.Invalid, 1, `no term where "=x" is`},
		{"no scheme", "text/plain", "Category: compute; class=kind", occi.Invalid, 1, "compute has no scheme"},
		{"unknown class", "text/plain", `Category: compute; scheme="x#"; class=sort`, occi.Invalid, 1, `class "sort"`},
		{"parameter without value", "text/plain", "Category: compute; scheme", occi.Invalid, 1, "scheme has no value"},
		{"open quote", "text/plain", `Category: compute; scheme="x#`, occi.Invalid, 1, "the closing quote is missing"},
		{"open quote behind a backslash", "text/plain", `Category: compute; scheme="x#\`, occi.Invalid, 1, "the closing quote is missing"},
		{"two kinds", "text/plain", head + `Category: network; scheme="x#"; class="kind"`, occi.Invalid, 2, "x#network is a second kind"},
		{"two actions", "text/plain", "Category: a; scheme=x#; class=action, b; scheme=x#; class=action", occi.Invalid, 1, "second action"},
		{"link without target", "text/plain", "Link: /storage/1; rel=x", occi.Invalid, 1, "no <URI> where"},
		{"open target", "text/plain", "Link: </storage/1; rel=x", occi.Invalid, 1, "the closing > is missing"},
		{"link attribute without value", "text/plain", "Link: </storage/1>; deviceid", occi.Invalid, 1, "deviceid has no value"},
		{"link attribute twice", "text/plain", "Link: </storage/1>; a=1; a=1", occi.Invalid, 1, "a: is given twice"},
		{"attribute without value", "text/plain", head + "X-OCCI-Attribute: occi.compute.cores", occi.Invalid, 2, "occi.compute.cores has no value"},
		{"attribute without name", "text/plain", "X-OCCI-Attribute: =2", occi.Invalid, 1, `no name where "=2" is`},
		{"attribute with a strange name", "text/plain", "X-OCCI-Attribute: größe=2", occi.Invalid, 1, "gr has no value"},
		{"text behind a quote", "text/plain", `X-OCCI-Attribute: a="b"c`, occi.Invalid, 1, `a: no separator where "c" is`},
		{"quote within text", "text/plain", `X-OCCI-Attribute: a=b"c"`, occi.Invalid, 1, "a: a quote within text"},
		{"attribute twice", "text/plain", "X-OCCI-Attribute: a=1\nX-OCCI-Attribute: b=1,a=2", occi.Invalid, 2, "a: is given twice, first on line 1"},
		{"number out of range", "text/plain", "X-OCCI-Attribute: a=1e999", occi.Invalid, 1, "a: 1e999 is out of range"},
		{"location with blanks", "text/plain", "X-OCCI-Location: /a b", occi.Invalid, 1, `"/a b" is not a URI`},
		{"NUL", "text/plain", head + "X-OCCI-Attribute: a=\"\x00\"", occi.Invalid, 2, "NUL"},
		{"not UTF-8", "text/plain", head + "\nX-OCCI-Attribute: a=\"\xff\"", occi.Invalid, 3, "UTF-8"},
		{"too many attributes", "text/plain", numbered(1025, "X-OCCI-Attribute: a%d=1\n"), occi.TooLarge, 1025, "attributes: more than 1024"},
		{"too many links", "text/plain", many(1025, "", "Link: </a>\n", ""), occi.TooLarge, 1025, "links: more than 1024"},
		{"too many mixins", "text/plain", numbered(129, "Category: a%d; scheme=x#\n"), occi.TooLarge, 129, "mixins: more than 128"},
		{"too many locations", "text/plain", many(65537, "X-OCCI-Location: ", "/a,", ""), occi.TooLarge, 1, "locations: more than 65536"},
		{"too large", "text/plain", many(8<<20+1, "", " ", ""), occi.TooLarge, 0, "larger than 8388608"},

		{"header field", "text/occi", "Category: compute\nX-Occi-Attribute: a", occi.Invalid, 0, "Category: compute has no scheme"},
		{"header attribute", "text/occi", "X-OCCI-Attribute: a=1, a=2", occi.Invalid, 0, "a: is given twice"},
		{"header not UTF-8", "text/occi", "X-OCCI-Attribute: a=\xff", occi.Invalid, 0, "UTF-8"},

		{"list with blanks", "text/uri-list", "# a b\n/a\n/a b", occi.Invalid, 3, `"/a b" is not a URI`},
		{"list with NUL", "text/uri-list", "/a\n\x00", occi.Invalid, 2, "NUL"},
		{"long list", "text/uri-list", many(65537, "", "/a\n", ""), occi.TooLarge, 65537, "locations"},

		{"nothing", "application/occi+json", "", occi.Invalid, 1, "unexpected end"},
		{"half an object", "application/occi+json", "{\n\"kind\":", occi.Invalid, 2, "unexpected end"},
		{"no JSON", "application/occi+json", "{\n\n kind: 1}", occi.Invalid, 3, "invalid character 'k'"},
		{"more behind the end", "application/occi+json", "{}\n{}", occi.Invalid, 2, "after top-level value"},
		{"a comma too many", "application/occi+json", "{\"mixins\":[\"a\",\n]}", occi.Invalid, 2, "invalid character ']'"},
		{"a string", "application/occi+json", `"compute"`, occi.Invalid, 1, "a string where an object is meant"},
		{"a list of numbers", "application/occi+json", "[\n1]", occi.Invalid, 2, "a number where an object is meant"},
		{"a list of nothing", "application/occi+json", "[null]", occi.Invalid, 1, "null where an object is meant"},
		{"member twice", "application/occi+json", "{\"kind\":\"a\",\n\"kind\":\"a\"}", occi.Invalid, 2, "kind: is given twice, first on line 1"},
		{"attribute twice in JSON", "application/occi+json", "{\"attributes\":{\n\"a\":1,\n\"a\":1}}", occi.Invalid, 3, "a: is given twice, first on line 2"},
		{"attribute nested and flat", "application/occi+json", "{\"attributes\":{\"a.b\":1,\n\"a\":{\"b\":2}}}", occi.Invalid, 2, "a.b: has another value than before"},
		{"titles that differ", "application/occi+json", "{\"title\":\"a\",\n\"attributes\":{\"occi.core.title\":\"b\"}}", occi.Invalid, 2, "occi.core.title: has another value"},
		{"unknown member", "application/occi+json", "{\"kind\":\"a\",\n\"color\":1}", occi.Invalid, 2, "color: an entity has no such member"},
		{"unknown member of an action", "application/occi+json", `{"action":"a","title":"b"}`, occi.Invalid, 1, "title: an action invocation has no"},
		{"unknown member of an end", "application/occi+json", `{"source":{"uri":"/a"}}`, occi.Invalid, 1, "uri: an end of a link has no"},
		{"unknown member of a collection", "application/occi+json", `{"resources":[],"count":1}`, occi.Invalid, 1, "count: a collection has no"},
		{"unknown member of a category", "application/occi+json", `{"term":"a","scheme":"b#","color":1}`, occi.Invalid, 1, "color: a category has no"},
		{"category without scheme", "application/occi+json", `{"mixins":[{"term":"a"}]}`, occi.Invalid, 1, "no scheme"},
		{"kind that is no text", "application/occi+json", `{"kind":{"term":"a"}}`, occi.Invalid, 1, "kind: an object where a string is meant"},
		{"mixins that are no list", "application/occi+json", `{"mixins":"a"}`, occi.Invalid, 1, "mixins: a string where an array"},
		{"mixin that is no text", "application/occi+json", "{\"kind\":\"a\",\"mixins\":[\"a\",\n1]}", occi.Invalid, 2, "mixins: a number"},
		{"attributes that are no object", "application/occi+json", `{"attributes":[]}`, occi.Invalid, 1, "attributes: an array where an object"},
		{"links that are no list", "application/occi+json", `{"links":{},"id":"a"}`, occi.Invalid, 1, "links: an object where an array"},
		{"link that is no object", "application/occi+json", `{"links":[1],"id":"a"}`, occi.Invalid, 1, "a number where an object"},
		{"link with links", "application/occi+json", `{"links":[{"links":["/a"]}],"id":"a"}`, occi.Invalid, 1, "a link has no links"},
		{"source that is a number", "application/occi+json", `{"source":1}`, occi.Invalid, 1, "a number where a string"},
		{"location that is none", "application/occi+json", `{"source":{"location":true}}`, occi.Invalid, 1, "occi.core.source.location: a boolean where"},
		{"JSON number out of range", "application/occi+json", `{"attributes":{"a":1e999}}`, occi.Invalid, 1, "a: 1e999 is out of range"},
		{"actions of a category", "application/occi+json", `{"term":"a","scheme":"b#","actions":[1]}`, occi.Invalid, 1, "actions: a number where a string"},
		{"NUL in JSON", "application/occi+json", "{\n\"title\":\"\x00\"}", occi.Invalid, 2, "NUL"},
		{"JSON that is not UTF-8", "application/occi+json", "{\n\"title\":\"\xff\"}", occi.Invalid, 2, "UTF-8"},
		{"deep JSON", "application/occi+json", many(33, `{"attributes":{"a":`, "[", "") + strings.Repeat("]", 33) + "}}", occi.TooLarge, 1, "levels of JSON: more than 32"},
		{"very deep JSON", "application/occi+json", many(1<<20, "", "[", ""), occi.Invalid, 1, "depth"},
		{"many values", "application/occi+json", many(1<<18, `{"attributes":{"a":[`, "0,", "0]}}"), occi.TooLarge, 1, "JSON values: more than"},
		{"many members", "application/occi+json", many(4096, `[`, "{},", "{}]"), occi.TooLarge, 1, "members: more than 4096"},
		{"many JSON attributes", "application/occi+json", `{"attributes":{` + strings.TrimSuffix(numbered(1025, "\"a%d\":1,\n"), ",\n") + "}}", occi.TooLarge, 1025, "attributes: more than 1024"},
		{"many JSON links", "application/occi+json", many(1024, `{"id":"a","links":[`, `"/a",`, `"/a"]}`), occi.TooLarge, 1, "links: more than 1024"},
	})
}

// TestNotRead refuses formats that are only written.
func TestNotRead(t *testing.T) {
	t.Parallel()
	f := &render.Format{Media: "text/html"}
	if _, err := f.Decode(builtin(t), nil); occi.ClassOf(err) != occi.Media {
		t.Errorf("got %v", err)
	}
}

// TestParseFilter reads what a GET selects by its header fields.
func TestParseFilter(t *testing.T) {
	t.Parallel()
	f, err := render.ParseFilter(render.Header(map[string][]string{
		"Category":         {`compute; scheme="http://schemas.ogf.org/occi/infrastructure#"; class="kind", network; scheme=x#; class=kind`, "web; scheme=y#"},
		"X-Occi-Attribute": {`occi.compute.cores=2`, `occi.core.title="a, b"`},
		"Accept":           {"text/plain"},
	}), true)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(f.Categories, " "); got != infra+"compute x#network y#web" {
		t.Error(got)
	}
	if len(f.Attributes) != 2 || f.Attributes[0].Value != occi.Int(2) || f.Attributes[1].Value != occi.Str("a, b") {
		t.Errorf("%+v", f.Attributes)
	}
	for _, h := range []map[string][]string{{"Category": {"compute"}}, {"X-Occi-Attribute": {"a"}}} {
		if _, err := render.ParseFilter(render.Header(h), true); occi.ClassOf(err) != occi.Invalid {
			t.Errorf("%v: %v", h, err)
		}
	}
	if f, err := render.ParseFilter(nil, true); err != nil || len(f.Categories)+len(f.Attributes) > 0 {
		t.Errorf("%+v, %v", f, err)
	}
}
