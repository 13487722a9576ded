package render_test

import (
	"strings"
	"testing"

	"github.com/occid/occid/occi"
	"github.com/occid/occid/render"
)

const (
	mediaText = "application/occi+text"
	mediaJSON = "application/json"
	mediaXML  = "application/xml"
	mediaYAML = "application/yaml"
	mediaAtom = "application/atom+xml"
)

func TestMalformedText(t *testing.T) {
	t.Parallel()
	refuse(t, []malformed{
		{"no key", mediaText, "type compute\n: 2", occi.Invalid, 2, `no key where ": 2" is`},
		{"key twice", mediaText, "type compute\n\tcores 2", occi.Invalid, 2, "type: has a value already"},
		{"attribute twice", mediaText, "type compute\ncores 2\ncores 2\n", occi.Invalid, 3, "cores: is given twice, first on line 2"},
		{"open quote", mediaText, "type compute\ntitle \"web", occi.Invalid, 2, "title: what begins with a quote must be a JSON string"},
		{"text behind a quote", mediaText, `title "web" 1`, occi.Invalid, 1, "title: what begins"},
		{"unknown escape", mediaText, `title "\d"`, occi.Invalid, 1, "title: what begins"},
		{"list as value", mediaText, "title web\n\nlinks\n   type nic\n  type nic", occi.Invalid, 5, "indented like no line above"},
		{"indented less than the first line", mediaText, "  title web\n title web", occi.Invalid, 2, "indented like no line above"},
		{"kind without a name", mediaText, "cores 2\ntype", occi.Invalid, 2, "type: null where a name is meant"},
		{"two kinds", mediaText, "type compute\nkind storage", occi.Invalid, 2, "infrastructure#storage stands beside"},
		{"link with links", mediaText, "link\n  type nic\n  link /network/1", occi.Invalid, 3, "a link has no links"},
		{"resources beside others", mediaText, "resource\n  type compute\ntitle web", occi.Invalid, 3, "title: stands beside resources"},
		{"NUL", mediaText, "title web\nsummary \x00", occi.Invalid, 2, "NUL"},
		{"not UTF-8", mediaText, "title \xff", occi.Invalid, 1, "UTF-8"},
		{"deep", mediaText, indented(40, "link"), occi.TooLarge, 33, "levels of indentation: more than 32"},
		{"many descriptors", mediaText, many(4097, "", "type compute\n\n", ""), occi.TooLarge, 8193, "descriptors: more than 4096"},
		{"many attributes", mediaText, numbered(1025, "a%d 1\n"), occi.TooLarge, 1025, "attributes: more than 1024"},
		{"many mixins", mediaText, numbered(129, "mixin x#%d\n"), occi.TooLarge, 129, "mixins: more than 128"},
		{"many links", mediaText, many(1025, "", "link /network/1\n", ""), occi.TooLarge, 1025, "links: more than 1024"},
		{"many values", mediaText, many(1<<18+1, "", "a 1\n", ""), occi.TooLarge, 1<<18 - 1, "values: more than"},
		{"descriptor under text/plain", "text/plain", "type compute\ntitle \"web", occi.Invalid, 2, "title: what begins"},
	})
}

func TestMalformedJSON(t *testing.T) {
	t.Parallel()
	refuse(t, []malformed{
		{"nothing", mediaJSON, "", occi.Invalid, 1, "unexpected end"},
		{"a number", mediaJSON, "\n7", occi.Invalid, 2, "a number or boolean where a descriptor is meant"},
		{"a comma missing", mediaJSON, "{\"type\": \"compute\"\n\"cores\": 8}", occi.Invalid, 2, "invalid character '\"'"},
		{"more behind the end", mediaJSON, "{}\n{}", occi.Invalid, 2, "after top-level value"},
		{"member twice", mediaJSON, "{\"cores\": 1,\n\"cores\": 1}", occi.Invalid, 2, "cores: is given twice, first on line 1"},
		{"two names of one attribute", mediaJSON, "{\"type\": \"compute\", \"cores\": 1,\n\"occi.compute.cores\": 1}", occi.Invalid, 2, "occi.compute.cores: is given twice"},
		{"type that is no text", mediaJSON, `{"type": 1}`, occi.Invalid, 1, "type: a number or boolean where a name is meant"},
		{"type that is empty", mediaJSON, `{"type": ""}`, occi.Invalid, 1, "type: nothing where a name is meant"},
		{"action that is a list", mediaJSON, `{"action": ["stop"]}`, occi.Invalid, 1, "action: a list where a name is meant"},
		{"mixin that is a number", mediaJSON, "{\"mixins\": [\"small\",\n1]}", occi.Invalid, 2, "mixins: a number"},
		{"mixin without a scheme", mediaJSON, `{"type": "compute", "mixins": [{"term": "web"}]}`, occi.Invalid, 1, "no scheme"},
		{"mixin with more", mediaJSON, `{"type": "compute", "mixins": [{"term": "web", "color": 1}]}`, occi.Invalid, 1, "color: a mixin's definition has no"},
		{"mixin with a number for a title", mediaJSON, `{"type": "compute", "mixins": [{"title": 1}]}`, occi.Invalid, 1, "title: a number"},
		{"mixin with strange attributes", mediaJSON, `{"type": "compute", "mixins": [{"attributes": [{}]}]}`, occi.Invalid, 1, "an object where a name is meant"},
		{"link that is a number", mediaJSON, `{"links": [1]}`, occi.Invalid, 1, "links: a number"},
		{"members that are numbers", mediaJSON, "{\"resources\": [{},\n2]}", occi.Invalid, 2, "where a descriptor or a URI is meant"},
		{"number out of range", mediaJSON, `{"type": "compute", "cores": 1e999}`, occi.Invalid, 1, "cores: 1e999 is out of range"},
		{"not UTF-8", mediaJSON, "{\n\"title\": \"\xff\"}", occi.Invalid, 2, "UTF-8"},
		{"deep", mediaJSON, many(33, `{"a": `, "[", "") + strings.Repeat("]", 33) + "}", occi.TooLarge, 1, "levels of JSON: more than 32"},
		{"many members", mediaJSON, many(4096, `[`, "{},", "{}]"), occi.TooLarge, 1, "members: more than 4096"},
		{"many definitions", mediaJSON, many(4096, `{"type": "compute", "mixins": [`, `{"term": "a", "scheme": "b#"},`, `{"term": "a", "scheme": "b#"}]}`), occi.TooLarge, 1, "definitions: more than 4096"},
		{"many locations", mediaJSON, many(65536, `[`, `"/a",`, `"/a"]`), occi.TooLarge, 1, "locations: more than 65536"},
		{"GFD.226 under application/json", mediaJSON, "{\"kind\": \"x#y\",\n\"color\": 1}", occi.Invalid, 2, "color: an entity has no such member"},
		{"descriptor under application/occi+json", "application/occi+json", "{\"type\": \"compute\",\n\"links\": [1]}", occi.Invalid, 2, "links: a number"},
	})
}

func TestMalformedXML(t *testing.T) {
	t.Parallel()
	const open, shut = `<occi xmlns="http://purl.org/occi">`, "</occi>"
	refuse(t, []malformed{
		{"nothing", mediaXML, " \n", occi.Invalid, 2, "no XML element"},
		{"no XML", mediaXML, "type compute", occi.Invalid, 1, "text outside of elements"},
		{"not closed", mediaXML, open + "\n<type>compute", occi.Invalid, 2, "unexpected EOF"},
		{"closed wrongly", mediaXML, open + "\n<type>compute</cores>" + shut, occi.Invalid, 2, "closed by </cores>"},
		{"document type", mediaXML, "<?xml version=\"1.0\"?>\n<!DOCTYPE occi>" + open + shut, occi.Invalid, 2, "document type"},
		{"entity bomb", mediaXML, "<!DOCTYPE occi [<!ENTITY a \"&a;&a;\">]>" + open + "<title>&a;</title>" + shut, occi.Invalid, 1, "document type"},
		{"external entity", mediaXML, "<!DOCTYPE occi SYSTEM \"file:///etc/passwd\">" + open + shut, occi.Invalid, 1, "document type"},
		{"unknown entity", mediaXML, open + "\n<title>&a;</title>" + shut, occi.Invalid, 2, "invalid character entity &a;"},
		{"style sheet", mediaXML, "<?xml-stylesheet href=\"a\"?>" + open + shut, occi.Invalid, 1, `"xml-stylesheet" is not allowed`},
		{"instruction inside", mediaXML, open + "\n<?php a ?>" + shut, occi.Invalid, 2, `"php" is not allowed`},
		{"declaration inside", mediaXML, open + "\n<?xml version=\"1.0\"?>" + shut, occi.Invalid, 2, `"xml" is not allowed`},
		{"another encoding", mediaXML, "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?>" + open + shut, occi.Invalid, 1, "ISO-8859-1"},
		{"another element", mediaXML, "<domain><name>a</name></domain>", occi.Invalid, 1, "domain: is no descriptor"},
		{"another name space", mediaXML, "\n<occi xmlns=\"http://example.com/\"/>", occi.Invalid, 2, `occi: is in the name space "http://example.com/"`},
		{"name space of a child", mediaXML, open + "\n<a:type xmlns:a=\"urn:a\">compute</a:type>" + shut, occi.Invalid, 2, `type: is in the name space "urn:a"`},
		{"prefix without a name space", mediaXML, "<occi:resource><occi:type>compute</occi:type></occi:resource>", occi.Invalid, 1, `resource: is in the name space "occi"`},
		{"attribute", mediaXML, open + "\n<cores unit=\"1\">2</cores>" + shut, occi.Invalid, 2, `cores: the XML attribute unit="1" is not understood`},
		{"attribute twice", mediaXML, open + `<cores nil="true" nil="true"/>` + shut, occi.Invalid, 1, "cores: the XML attribute nil is given twice"},
		{"nil with a value", mediaXML, open + `<cores nil="true">2</cores>` + shut, occi.Invalid, 1, "cores: has a value though it is nil"},
		{"mixed", mediaXML, open + "\n<link>text<type>nic</type></link>" + shut, occi.Invalid, 2, "link: text and elements are mixed"},
		{"mixed behind", mediaXML, open + "<link><type>nic</type>text</link>" + shut, occi.Invalid, 1, "link: text and elements are mixed"},
		{"text alone", mediaXML, open + "compute" + shut, occi.Invalid, 1, "occi: text where elements are meant"},
		{"two roots", mediaXML, open + shut + "\n<occi/>", occi.Invalid, 2, "something follows the outermost element"},
		{"text behind the root", mediaXML, open + shut + "\nmore", occi.Invalid, 2, "text outside of elements"},
		{"deep", mediaXML, many(1<<20, open, "<a>", ""), occi.TooLarge, 1, "levels of elements: more than 32"},
		{"many elements", mediaXML, many(1<<18, open, "<a/>", shut), occi.TooLarge, 1, "elements: more than"},
		{"NUL", mediaXML, open + "\n\x00" + shut, occi.Invalid, 2, "NUL"},
		{"control character", mediaXML, open + "\n<title>&#1;</title>" + shut, occi.Invalid, 2, "illegal character code"},
		{"key twice", mediaXML, open + "<cores>1</cores>\n<cores>2</cores>" + shut, occi.Invalid, 2, "cores: is given twice, first on line 1"},
	})
}

func TestMalformedAtom(t *testing.T) {
	t.Parallel()
	entry := func(content string) string {
		return `<entry xmlns="http://www.w3.org/2005/Atom"><id>a</id>` + "\n" + content + "</entry>"
	}
	refuse(t, []malformed{
		{"neither entry nor feed", mediaAtom, `<link xmlns="http://www.w3.org/2005/Atom"/>`, occi.Invalid, 1, "link: is neither an entry nor a feed"},
		{"no content", mediaAtom, entry(""), occi.Invalid, 1, "entry: has no content"},
		{"two contents", mediaAtom, entry("<content>type compute</content>\n<content>type compute</content>"), occi.Invalid, 3, "content: is given twice"},
		{"content elsewhere", mediaAtom, entry(`<content type="application/xml" src="http://example.com/"/>`), occi.Invalid, 2, "content: is elsewhere"},
		{"content of another type", mediaAtom, entry(`<content type="html">a</content>`), occi.Invalid, 2, `type "html" is not understood`},
		{"empty content", mediaAtom, entry(`<content type="application/occi+xml"> </content>`), occi.Invalid, 2, "content: holds no element"},
		{"two elements", mediaAtom, entry(`<content type="application/xml"><occi xmlns=""/><occi xmlns=""/></content>`), occi.Invalid, 2, "more than one element"},
		{"no descriptor", mediaAtom, entry(`<content type="application/xml"><id/></content>`), occi.Invalid, 2, "id: is no descriptor"},
		{"element in text", mediaAtom, entry(`<content>type <b>compute</b></content>`), occi.Invalid, 2, "holds an element where text is meant"},
		{"text of nothing", mediaAtom, entry(`<content/>`), occi.Invalid, 2, "holds 0 descriptors"},
		{"two descriptors", mediaAtom, entry("<content>type compute\n\ntype compute</content>"), occi.Invalid, 2, "holds 2 descriptors"},
		{"malformed text", mediaAtom, entry("<content>type compute\n\ttitle a</content>"), occi.Invalid, 2, "type: has a value already"},
		{"malformed JSON", mediaAtom, entry("<content type=\"application/json\">{\n\n}}</content>"), occi.Invalid, 2, "after top-level value"},
		{"JSON in base64 that is none", mediaAtom, entry("<content type=\"application/json\">\n%%%</content>"), occi.Invalid, 2, "invalid character '%'"},
		{"document type", mediaAtom, "<!DOCTYPE feed>" + entry(""), occi.Invalid, 1, "document type"},
		{"deep in what is skipped", mediaAtom, many(1<<16, `<feed xmlns="http://www.w3.org/2005/Atom">`, "<a>", ""), occi.TooLarge, 1, "levels of elements"},
		{"many entries", mediaAtom, many(4097, `<feed xmlns="http://www.w3.org/2005/Atom">`, "<entry><content>type compute</content></entry>\n", "</feed>"), occi.TooLarge, 4097, "members: more than 4096"},
		{"the rest of a feed", mediaAtom, `<feed xmlns="http://www.w3.org/2005/Atom"></feed><feed/>`, occi.Invalid, 1, "something follows"},
	})
}

func TestMalformedYAML(t *testing.T) {
	t.Parallel()
	refuse(t, []malformed{
		{"no YAML", mediaYAML, "type: compute\n  cores: 2", occi.Invalid, 2, "mapping values are not allowed"},
		{"a tab", mediaYAML, "type: compute\n\tcores: 2", occi.Invalid, 2, "found a tab character"},
		{"a scalar", mediaYAML, "compute", occi.Invalid, 1, "text where a descriptor is meant"},
		{"alias", mediaYAML, "title: &a web\nsummary: *a", occi.Invalid, 1, "title: anchors are not allowed"},
		{"alias of nothing", mediaYAML, "title: web\nsummary: *a", occi.Invalid, 1, "unknown anchor"},
		{"anchor", mediaYAML, "title: web\nlinks: &a []", occi.Invalid, 2, "links: anchors are not allowed"},
		{"anchor of a key", mediaYAML, "title: web\n&a summary: b", occi.Invalid, 2, "summary: a key must be text"},
		{"alias bomb", mediaYAML, "a: &a [1]\nb: &b [*a, *a]\nc: [*b, *b]", occi.Invalid, 1, "anchors are not allowed"},
		{"merge", mediaYAML, "<<: {cores: 2}", occi.Invalid, 1, "a key must be text"},
		{"tag", mediaYAML, "title: web\ncores: !!int \"2\"", occi.Invalid, 2, "cores: tags are not allowed"},
		{"tag of its own", mediaYAML, "title: !ruby/object:File web", occi.Invalid, 1, "title: tags are not allowed"},
		{"binary", mediaYAML, "title: !!binary aGFsbG8=", occi.Invalid, 1, "title: tags are not allowed"},
		{"key that is a number", mediaYAML, "title: web\n2: a", occi.Invalid, 2, "2: a key must be text"},
		{"key that is a list", mediaYAML, "? [a]\n: b", occi.Invalid, 1, "a key must be text"},
		{"key twice", mediaYAML, "cores: 2\ntitle: web\ncores: 2", occi.Invalid, 3, "cores: is given twice, first on line 1"},
		{"second document", mediaYAML, "title: a\n---\ntitle: b", occi.Invalid, 2, "a second document begins"},
		{"number that is none", mediaYAML, "type: compute\ncores: .nan", occi.Invalid, 2, "cores: \".nan\" is not a number that can be kept"},
		{"NUL", mediaYAML, "title: web\n\x00", occi.Invalid, 2, "NUL"},
		{"deep", mediaYAML, strings.Repeat("[", 40) + strings.Repeat("]", 40), occi.TooLarge, 1, "levels of YAML: more than 32"},
		{"very deep", mediaYAML, strings.Repeat("[", 1<<16), occi.Invalid, 1, ""},
		{"large", mediaYAML, strings.Repeat("#", 1<<20+1), occi.TooLarge, 0, "larger than 1048576"},
		{"many members", mediaYAML, many(4097, "", "- {}\n", ""), occi.TooLarge, 4097, "members: more than 4096"},
	})
}

func indented(n int, key string) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.Repeat(" ", i) + key + "\n")
	}
	return b.String()
}

// TestNothingIsADraft reads bodies that say nothing: an action may be invoked so.
func TestNothingIsADraft(t *testing.T) {
	t.Parallel()
	m := builtin(t)
	for media, body := range map[string]string{mediaText: "\n \n", mediaJSON: "{}", mediaXML: "<occi/>", mediaYAML: "# nothing\n"} {
		d, err := render.Named(media).Decode(m, []byte(body))
		if err != nil || d.Kind != "" || len(d.Attributes)+len(d.Members) > 0 {
			t.Errorf("%s: %+v, %v", media, d, err)
		}
	}
}
