package render_test

import (
	"strings"
	"testing"

	"github.com/occid/occid/occi"
	"github.com/occid/occid/render"
)

func TestAccept(t *testing.T) {
	t.Parallel()
	var offered []*render.Format
	for _, m := range []string{"text/plain", "text/occi", "text/uri-list", "application/occi+json", "application/xml"} {
		offered = append(offered, &render.Format{Media: m})
	}
	tests := []struct {
		name   string
		fields []string
		want   string // media type, or a class of error
		says   string
	}{
		{"nothing", nil, "text/plain", ""},
		{"empty", []string{"", " , "}, "text/plain", ""},
		{"anything", []string{"*/*"}, "text/plain", ""},
		{"exact", []string{"application/occi+json"}, "application/occi+json", ""},
		{"any case", []string{"Application/OCCI+JSON"}, "application/occi+json", ""},
		{"parameters are not compared", []string{"text/occi;charset=utf-8"}, "text/occi", ""},
		{"quoted parameter with separators", []string{`text/uri-list; x="a,b;c\"d"; q=1`}, "text/uri-list", ""},
		{"the first of a list", []string{"text/occi,text/plain"}, "text/occi", ""},
		{"several fields", []string{"text/html", "text/uri-list, text/plain"}, "text/uri-list", ""},
		{"unknown ones are passed over", []string{"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}, "application/xml", ""},
		{"quality", []string{"text/plain;q=0.5, application/occi+json;q=0.9, text/occi;q=0.1"}, "application/occi+json", ""},
		{"quality of the most specific range", []string{"text/*, text/plain;q=0.1"}, "text/occi", ""},
		{"specific before general", []string{"*/*, application/xml"}, "application/xml", ""},
		{"type", []string{"application/*"}, "application/occi+json", ""},
		{"not this one", []string{"text/plain;q=0, */*"}, "text/occi", ""},
		{"a bare star", []string{"text/html, image/gif, *; q=.2, */*; q=.2"}, "text/plain", ""},
		{"blanks", []string{" text/occi ; q=0.3 ;, text/plain ; q=0.2"}, "text/occi", ""},
		{"unknown", []string{"image/png"}, string(occi.Unacceptable), "application/occi+json"},
		{"all refused", []string{"*/*;q=0"}, string(occi.Unacceptable), "*/*;q=0"},
		{"no slash", []string{"json"}, string(occi.Invalid), `"json"`},
		{"half a type", []string{"text/"}, string(occi.Invalid), `"text/"`},
		{"any type of some kind", []string{"*/xml"}, string(occi.Invalid), "*/xml"},
		{"quality that is none", []string{"text/plain;q=high"}, string(occi.Invalid), `"high"`},
		{"quality too high", []string{"text/plain;q=2"}, string(occi.Invalid), `"2"`},
		{"quality that is not finite", []string{"text/plain;q=NaN"}, string(occi.Invalid), `"NaN"`},
		{"broken parameter", []string{"text/plain;="}, string(occi.Invalid), "parameter"},
		{"broken second field", []string{"text/plain", "te xt/plain"}, string(occi.Invalid), "Accept"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f, err := render.Accept(tt.fields, offered)
			if err != nil {
				if string(occi.ClassOf(err)) != tt.want || !strings.Contains(err.Error(), tt.says) {
					t.Fatalf("got %s error %q, want %s with %q", occi.ClassOf(err), err, tt.want, tt.says)
				}
				return
			}
			if f.Media != tt.want {
				t.Errorf("got %s, want %s", f.Media, tt.want)
			}
		})
	}
}

// TestRequest picks the format of a request body.
func TestRequest(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		fields []string
		body   string
		want   string // media type or class of error
	}{
		{"named", []string{"application/occi+json; charset=utf-8"}, "", "application/occi+json"},
		{"another name", []string{"text/occi+plain"}, "", "text/occi+plain"},
		{"the first known one", []string{"image/png,text/occi,text/plain"}, "", "text/occi"},
		{"nothing at all", nil, "", "text/plain"},
		{"empty field", []string{""}, "", "text/plain"},
		{"text by its look", nil, "Category: compute", "text/plain"},
		{"JSON by its look", nil, "\n {}", "application/occi+json"},
		{"unknown", []string{"image/png"}, "{}", string(occi.Media)},
		{"a range is no type", []string{"*/*"}, "{}", string(occi.Media)},
		{"malformed", []string{"text"}, "{}", string(occi.Invalid)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f, err := render.Request(tt.fields, []byte(tt.body))
			got := string(occi.ClassOf(err))
			if err == nil {
				got = f.Media
			}
			if got != tt.want {
				t.Errorf("got %s, want %s (%v)", got, tt.want, err)
			}
			if got == string(occi.Media) && !strings.Contains(err.Error(), "application/occi+json") {
				t.Errorf("%q does not say what is read", err)
			}
		})
	}
}
