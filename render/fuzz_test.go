package render_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/occid/occid/occi"
	"github.com/occid/occid/render"
)

// decoded checks what holds of every decoder: an error is the client's, says
// where, and comes without a draft; a draft is made of text.
func decoded(t *testing.T, body []byte, d *occi.Draft, err error) {
	t.Helper()
	if err == nil {
		if d == nil {
			t.Fatal("neither draft nor error")
		}
		return
	}
	var e *occi.Error
	if !errors.As(err, &e) || e.Class != occi.Invalid && e.Class != occi.TooLarge {
		t.Fatalf("error of class %s: %v", occi.ClassOf(err), err)
	}
	for _, p := range e.Problems {
		if p.Line < 0 || p.Line > 1+bytes.Count(body, []byte("\n")) {
			t.Errorf("there is no line %d", p.Line)
		}
	}
	if d != nil {
		t.Error("both draft and error")
	}
}

func fuzzFormat(f *testing.F, media string) {
	m := builtin(f)
	seeds(f, media)
	format := render.Named(media)
	f.Fuzz(func(t *testing.T, body []byte) {
		d, err := format.Decode(m, body)
		decoded(t, body, d, err)
	})
}

func FuzzTextPlain(f *testing.F) { fuzzFormat(f, "text/plain") }
func FuzzTextOCCI(f *testing.F)  { fuzzFormat(f, "text/occi") }
func FuzzURIList(f *testing.F)   { fuzzFormat(f, "text/uri-list") }
func FuzzOCCIJSON(f *testing.F)  { fuzzFormat(f, "application/occi+json") }
func FuzzOCCIText(f *testing.F)  { fuzzFormat(f, "application/occi+text") }
func FuzzJSON(f *testing.F)      { fuzzFormat(f, "application/json") }
func FuzzXML(f *testing.F)       { fuzzFormat(f, "application/xml") }
func FuzzYAML(f *testing.F)      { fuzzFormat(f, "application/yaml") }
func FuzzAtom(f *testing.F)      { fuzzFormat(f, "application/atom+xml") }
func FuzzOVF(f *testing.F)       { fuzzFormat(f, "application/ovf") }

// FuzzHeader reads header fields as a filter and as a request.
func FuzzHeader(f *testing.F) {
	m := builtin(f)
	f.Add(`compute; scheme="http://schemas.ogf.org/occi/infrastructure#"`, `occi.compute.cores=2`, "</storage/1>")
	f.Add(`compute; scheme="x#"; class="kind", network; scheme="y#"; class=kind`, "a=\"\n\"", "\r\nLink: <>")
	f.Fuzz(func(t *testing.T, category, attribute, link string) {
		h := map[string][]string{"Category": {category}, "X-Occi-Attribute": {attribute}, "Link": {link}}
		block := render.Header(h)
		if n := len(render.Fields(block)); n != 3 {
			t.Fatalf("%d fields of 3: %q", n, block)
		}
		d, err := render.Named("text/occi").Decode(m, block)
		decoded(t, block, d, err)
		if _, err := render.ParseFilter(block, true); err != nil && occi.ClassOf(err) != occi.Invalid && occi.ClassOf(err) != occi.TooLarge {
			t.Fatal(err)
		}
	})
}

func FuzzAccept(f *testing.F) {
	for _, s := range []string{"", "*/*", "text/plain;q=0.5, application/occi+json", `text/occi; x="a,b"; q=1`, "*; q=.2", "text/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, field string) {
		got, err := render.Accept([]string{field}, render.Formats())
		switch c := occi.ClassOf(err); {
		case err == nil && got == nil:
			t.Fatal("neither format nor error")
		case err != nil && c != occi.Invalid && c != occi.Unacceptable:
			t.Fatal(err)
		}
		// The same field twice says the same.
		again, _ := render.Accept([]string{field, field}, render.Formats())
		if again != got {
			t.Errorf("twice the same field gives another format: %v, %v", got, again)
		}
		if _, err := render.Request([]string{field}, nil); err != nil && occi.ClassOf(err) != occi.Invalid && occi.ClassOf(err) != occi.Media {
			t.Fatal(err)
		}
	})
}
