package server_test

import (
	"encoding/json"
	"strings"
	"testing"
)

// groups defines the same security group in each rendering that can say what its rules
// are.
var groups = map[string]string{
	"application/occi+json": `{"mixins":[{"term":"web","scheme":"http://example.com/ann#","location":"/mixin/web/",
		"depends":["http://schemas.occid.org/occi/network#security_group"],"attributes":{"occid.security.rules":{"default":"RULES"}}}]}`,
	"application/json": `{"mixins":[{"term":"web","scheme":"http://example.com/ann#","location":"/mixin/web/",
		"depends":["http://schemas.occid.org/occi/network#security_group"],"attributes":[{"name":"occid.security.rules","default":"RULES"}]}]}`,
	"application/yaml": "mixins:\n- term: web\n  scheme: http://example.com/ann#\n  location: /mixin/web/\n" +
		"  depends: ['http://schemas.occid.org/occi/network#security_group']\n  attributes:\n  - {name: occid.security.rules, default: RULES}\n",
	"application/xml": `<occi xmlns="http://purl.org/occi"><mixin><term>web</term><scheme>http://example.com/ann#</scheme><location>/mixin/web/</location>` +
		`<depends>http://schemas.occid.org/occi/network#security_group</depends>` +
		`<attribute><name>occid.security.rules</name><default>RULES</default></attribute></mixin></occi>`,
	"application/occi+text": "mixin\n  term web\n  scheme http://example.com/ann#\n  location /mixin/web/\n" +
		"  depends http://schemas.occid.org/occi/network#security_group\n  attribute\n    name occid.security.rules\n    default RULES\n",
	"text/plain": `Category: web; scheme="http://example.com/ann#"; class="mixin"; location="/mixin/web/"; rel="http://schemas.occid.org/occi/network#security_group"` +
		"\n" + `X-OCCI-Attribute: occid.security.rules="RULES"`,
	"text/occi": `Category: web; scheme="http://example.com/ann#"; class="mixin"; location="/mixin/web/"; rel="http://schemas.occid.org/occi/network#security_group"` +
		"\n" + `X-OCCI-Attribute: occid.security.rules="RULES"`,
}

// rules gives the rules that the registry shows of the group.
func (c *cloud) rules() string {
	c.t.Helper()
	var shown struct {
		Mixins []struct {
			Term       string
			Attributes map[string]struct{ Default *string }
		}
	}
	r := c.do("GET", "/-/?category=web", "", "Accept: application/occi+json").want(c.t, 200)
	if err := json.Unmarshal([]byte(r.text), &shown); err != nil {
		c.t.Fatal(err)
	}
	for _, x := range shown.Mixins {
		if d := x.Attributes["occid.security.rules"].Default; x.Term == "web" && d != nil {
			return *d
		}
	}
	return "none"
}

func TestSecurityGroupsInEveryRendering(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	path := c.create("/compute/", `{"type":"compute"}`)
	define := func(media, rules string) {
		t.Helper()
		body, header := asHeader(media, strings.ReplaceAll(groups[media], "RULES", rules))
		c.do("POST", "/-/", body, append(header, "Prefer: wait=10")...).want(t, 200)
		if got := c.rules(); got != rules {
			t.Errorf("%s: the rules are %q, want %q", media, got, rules)
		}
	}
	for media := range groups {
		define(media, "tcp 22 198.51.100.0/24; udp 53")
		before := c.revision()
		define(media, "tcp 22 198.51.100.0/24; udp 53")
		if c.revision() != before {
			t.Errorf("%s: the same definition again changed something", media)
		}
		c.do("POST", "/mixin/web/", path, "Content-Type: text/uri-list", "Prefer: wait=10").want(t, 200)
		old := c.do("GET", path, "").Header.Get("ETag")
		define(media, "tcp 80")
		define(media, "icmp")
		c.do("GET", path, "", "If-None-Match: "+old).want(t, 200)
		if r := c.do("GET", path, "").want(t, 200, "web"); strings.Contains(r.text, "tcp") {
			t.Errorf("%s: the entity holds the rules: %s", media, r.text)
		}
		// What the registry shows of a group can be sent back.
		shown := c.do("GET", "/-/?category=web", "", "Accept: "+media).want(t, 200)
		body, header := shown.text, []string{"Content-Type: " + media}
		if media == "text/occi" {
			body, header = "", append(header, "Category: "+strings.Join(shown.Header["Category"], ", "))
		}
		before = c.revision()
		c.do("POST", "/-/", body, header...).want(t, 200)
		if got := c.rules(); got != "icmp" || c.revision() != before {
			t.Errorf("%s: what was shown, sent back, makes the rules %q", media, got)
		}
		c.do("DELETE", "/-/", `Category: web; scheme="http://example.com/ann#"; class="mixin"`, plain, "Prefer: wait=10").want(t, 200)
	}
}

// TestRulesOfAnInterface has an interface with rules of its own, without a group of a
// user.
func TestRulesOfAnInterface(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	vm, net := c.create("/compute/", `{"type":"compute"}`), c.create("/network/", `{"type":"network"}`)
	eth := c.create("/networkinterface/", `{"type":"networkinterface","source":"`+vm+`","target":"`+net+`","rules":"tcp 22"}`)
	c.do("GET", "/mixin/security_group/", "", "Accept: text/uri-list").want(t, 200, eth)
	c.do("GET", eth+".json", "").want(t, 200, `"rules": "tcp 22"`)
	c.do("POST", eth, `{"rules":"tcp 22; icmp"}`, "Content-Type: application/json", "Prefer: wait=10").want(t, 200)
	c.do("GET", eth, "").want(t, 200, `occid.security.rules="tcp 22; icmp"`)
	c.do("DELETE", "/mixin/security_group/", eth, "Content-Type: text/uri-list").want(t, 200)
	if r := c.do("GET", eth, "").want(t, 200); strings.Contains(r.text, "security") {
		t.Errorf("the rules are left: %s", r.text)
	}
}
