package libvirt

import (
	"encoding/xml"
	"strings"
	"testing"
	"unicode"

	"github.com/google/uuid"
)

func TestMarked(t *testing.T) {
	t.Parallel()
	const other = `<o:x xmlns:o="http://example.com/1"><o:y a="1"/>t</o:x>`
	tests := map[string]struct{ in, want string }{
		"empty":       {"", `<made xmlns="` + Namespace + `"><title>t</title></made>`},
		"others":      {"\n  " + other + "\n", other + `<made xmlns="` + Namespace + `"><title>t</title></made>`},
		"same":        {` <m:made xmlns:m="` + Namespace + `"><m:title>t</m:title></m:made> `, ` <m:made xmlns:m="` + Namespace + `"><m:title>t</m:title></m:made> `},
		"other title": {`<made xmlns="` + Namespace + `"><title>u</title></made>` + other, other + `<made xmlns="` + Namespace + `"><title>t</title></made>`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := marked(tt.in, mark{Title: "t"})
			if err != nil || got != tt.want {
				t.Errorf("got %s, %v\nwant %s", got, err, tt.want)
			}
		})
	}
}

func FuzzMarked(f *testing.F) {
	f.Add(`<o:x xmlns:o="http://example.com/1"/>`, "title")
	f.Add(`<made xmlns="`+Namespace+`"><title>"&gt;</title></made>`, `"><&]]>`)
	f.Add("<a><b></a>", "\x00\xff")
	f.Fuzz(func(t *testing.T, metadata, title string) {
		m := mark{Title: line(title), VLAN: 7}
		once, err := marked(metadata, m)
		if err != nil {
			t.Fatal(err)
		}
		if !isMarked(once) {
			t.Errorf("%q is not marked", once)
		}
		if again, err := marked(once, m); err != nil || again != once {
			t.Errorf("marking again turned %q into %q (%v)", once, again, err)
		}
	})
}

func FuzzLine(f *testing.F) {
	f.Add(`"><&]]>`)
	f.Add("two\nlines\x00\u2028\xff" + strings.Repeat("ä", maxTitle))
	f.Fuzz(func(t *testing.T, s string) {
		got := line(s)
		if len(got) > maxTitle || strings.ContainsFunc(got, func(r rune) bool { return !unicode.IsPrint(r) || r == '\ufffd' }) {
			t.Errorf("line(%q) = %q", s, got)
		}
		doc, err := xml.Marshal(mark{Title: got})
		if err != nil {
			t.Fatal(err)
		}
		var back mark
		if err := xml.Unmarshal(doc, &back); err != nil || back.Title != got {
			t.Errorf("%q came back as %q (%v)", got, back.Title, err)
		}
	})
}

func FuzzNameOf(f *testing.F) {
	f.Add("web-1")
	f.Add("../../etc/passwd\n")
	f.Fuzz(func(t *testing.T, s string) {
		id := uuid.New()
		got := nameOf(s, id)
		if !strings.HasSuffix(got, "-"+id.String()) || len(got) > maxSlug+37 || strings.ContainsAny(got, "/\n<>&\"' ") || got[0] == '-' || got[0] == '.' {
			t.Errorf("nameOf(%q) = %q", s, got)
		}
	})
}

// FuzzParseDomain checks that no definition on a host, whoever wrote it, makes
// reading it fail otherwise than by an error.
func FuzzParseDomain(f *testing.F) {
	f.Add(`<domain type="test"><uuid>11111111-1111-4111-8111-111111111111</uuid><devices><disk><source file="x"/></disk><interface type="network"><source/></interface></devices></domain>`)
	f.Add(`<domain><devices><disk/><interface/></devices><metadata><a xmlns="b"/></metadata></domain>`)
	f.Fuzz(func(t *testing.T, doc string) {
		x, err := parseDomain(doc)
		if err != nil {
			return
		}
		st := describe(x, nil)
		if len(st.Disks) != len(x.Devices.Disks) || len(st.NICs) != len(x.Devices.Interfaces) {
			t.Errorf("%d disks and %d interfaces became %+v", len(x.Devices.Disks), len(x.Devices.Interfaces), st)
		}
	})
}
