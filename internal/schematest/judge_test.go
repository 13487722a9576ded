package schematest_test

import (
	"strings"
	"testing"

	"github.com/occid/occid/internal/schematest"
)

const (
	id     = "6a0f3b0e-6c1d-4d5e-8f00-000000000001"
	link   = `{"kind":"http://x#l","id":"a","source":{"location":"/a"},"target":{"location":"/b"}}`
	atomNS = `xmlns="http://www.w3.org/2005/Atom"`
	dated  = `<id>urn:uuid:` + id + `</id><title>t</title><updated>2026-01-02T03:04:05Z</updated>`
	author = `<author><name>n</name></author>`
	inline = `<content type="application/occi+xml"><o:occi xmlns:o="http://purl.org/occi"><o:type>compute</o:type></o:occi></content>`
	space  = ` xmlns="http://purl.org/occi"`
)

// TestJudge holds the schemas to telling what is right from what is not.
func TestJudge(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		media      string
		good, bads []string
	}{
		{"application/occi+json",
			[]string{`{"kind":"http://x#k","id":"urn:uuid:` + id + `","attributes":{"a.b":1}}`, link, `{"resources":[],"links":[` + link + `]}`,
				`{"action":"http://x#a"}`, `{"mixins":[{"term":"a","scheme":"http://x#","location":"/m/"}]}`, `{"code":400,"message":"m"}`},
			[]string{`{}`, `[]`, `{"kind":"http://x#k"}`, `{"kind":"compute","id":"a"}`, `{"kind":"http://x#k","id":"a","cores":1}`,
				`{"kind":"http://x#k","id":"a","attributes":{"a.b":null}}`, `{"kind":"http://x#k","id":"a","mixins":[]}`,
				`{"kind":"http://x#k","id":"a","links":["/l"]}`, `{"kind":"http://x#k","id":"a","source":"/a","target":"/b"}`,
				`{"kind":"http://x#k","id":"a","links":[{"kind":"http://x#l","id":"a","summary":"s","source":{"location":"/a"},"target":{"location":"/b"}}]}`,
				`{"mixins":[{"term":"a","scheme":"http://x#"}]}`, `{"kinds":[{"term":"a","scheme":"http://x","location":"/"}]}`,
				`{"code":200,"message":"m"}`, `{"code":400}`}},
		{"application/json",
			[]string{`{"type":"compute","id":"` + id + `","cores":2,"links":[{"type":"l","target":"/b"}]}`, `{"resources":[]}`, `{}`, `{"code":400}`},
			[]string{`[]`, `{"cores":2}`, `{"type":"compute","id":"1"}`, `{"type":"compute","cores":null}`, `{"type":"compute","actions":["start"]}`,
				`{"type":"compute","links":[{"target":"/b"}]}`, `{"resources":[{}]}`, `{"kinds":[{"term":"a"}]}`}},
		{"application/xml",
			[]string{`<occi` + space + `/>`, `<occi` + space + `><type>compute</type><cores>2</cores><entry name="1">x</entry><mixin>http://x#y</mixin></occi>`,
				`<occi` + space + `><title nil="true"/><link><target>/a</target></link></occi>`},
			[]string{`<occi/>`, `<oc` + space + `/>`, `<occi` + space + `>text</occi>`, `<occi` + space + `><type/></occi>`, `<occi` + space + `><entry>x</entry></occi>`,
				`<occi` + space + `><id>1</id></occi>`, `<occi` + space + `><a xmlns="http://x"/></occi>`, `<occi` + space + `><title a="b">x</title></occi>`,
				`<occi` + space + `><actions>start</actions></occi>`}},
		{"application/atom+xml",
			[]string{`<feed ` + atomNS + `>` + dated + author + `<entry>` + dated + inline + `</entry></feed>`, `<entry ` + atomNS + `>` + dated + author + inline + `</entry>`},
			[]string{`<feed ` + atomNS + `>` + author + `</feed>`, `<feed ` + atomNS + `>` + dated + `</feed>`, `<entry ` + atomNS + `>` + dated + inline + `</entry>`,
				`<entry ` + atomNS + `>` + dated + author + `</entry>`, `<feed ` + atomNS + `>` + dated + dated + author + `</feed>`,
				strings.Replace(`<feed `+atomNS+`>`+dated+author+`</feed>`, "05Z", "05", 1),
				`<feed ` + atomNS + `>` + dated + author + `<link rel="self"/></feed>`,
				`<entry ` + atomNS + `>` + dated + author + `<content type="application/json">{}</content></entry>`,
				`<entry ` + atomNS + `>` + dated + author + `<content type="application/occi+xml"/></entry>`,
				strings.Replace(`<entry `+atomNS+`>`+dated+author+inline+`</entry>`, "compute", "", 1)}},
	} {
		for _, text := range x.good {
			if err := judged(x.media, text); err != nil {
				t.Errorf("%s: %v", x.media, err)
			}
		}
		for _, text := range x.bads {
			if judged(x.media, text) == nil {
				t.Errorf("%s: nothing is wrong with %s", x.media, text)
			}
		}
	}
}

func judged(media, text string) error {
	j := &schematest.Judge{}
	if err := j.Add("it", media, []byte(text)); err != nil {
		return err
	}
	return j.Finish()
}
