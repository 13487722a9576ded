package guest_test

import (
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/occid/occid/hypervisor/libvirt"
	"github.com/occid/occid/internal/engine"
	"github.com/occid/occid/internal/guest"
	"github.com/occid/occid/occi"
)

// volatile is what differs from run to run.
var volatile = []struct {
	what *regexp.Regexp
	with string
}{
	{regexp.MustCompile(`"random_seed": "[A-Za-z0-9+/]{683}="`), `"random_seed": "SEED"`},
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`), "TIME"},
	{regexp.MustCompile(`"[0-9a-z]+\.[0-9a-f]{16}"`), `"TAG"`},
}

// golden compares a text with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	for _, v := range volatile {
		got = v.what.ReplaceAllString(got, v.with)
	}
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s (-want +got):\n%s", path, d)
	}
}

// shown writes an answer down.
func shown(t *testing.T, resp *http.Response) string {
	t.Helper()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	fmt.Fprintln(&b, resp.StatusCode)
	var names []string
	for name := range resp.Header {
		if name != "Content-Length" && name != "X-Content-Type-Options" && name != "Server" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(&b, "%s: %s\n", name, strings.Join(resp.Header[name], ", "))
	}
	fmt.Fprintf(&b, "\n%s", body)
	return b.String()
}

func TestRenderings(t *testing.T) {
	t.Parallel()
	w := twins(t)
	for name, accept := range map[string]string{"text-plain": "text/plain", "text-occi": "text/occi", "occi-json": "application/occi+json",
		"json": "application/json", "text": "application/occi+text", "xml": "application/xml", "yaml": "application/yaml",
		"atom": "application/atom+xml", "ovf": "application/ovf", "uri-list": "text/uri-list"} {
		golden(t, "own/"+name, shown(t, w.ask(peerOne, http.MethodGet, "/", "Accept: "+accept)))
	}
	golden(t, "own/bare", shown(t, w.ask(peerTwo, http.MethodGet, "/.json")))
	golden(t, "own/link", shown(t, w.ask(peerOne, http.MethodGet, "/networkinterface/"+ident(nicOne).String()+".json")))
	golden(t, "own/links", shown(t, w.ask(peerOne, http.MethodGet, "/networkinterface/.json")))
	golden(t, "own/collection", shown(t, w.ask(peerOne, http.MethodGet, "/compute/", "Accept: text/uri-list")))
}

// TestTrees shows every file of the other dialects.
func TestTrees(t *testing.T) {
	t.Parallel()
	w := twins(t)
	for name, p := range map[string]guest.Peer{"one": peerOne, "two": peerTwo} {
		var ec2 strings.Builder
		var walk func(path string)
		walk = func(path string) {
			status, text := w.text(p, http.MethodGet, path)
			fmt.Fprintf(&ec2, "== %s %d\n%s\n", path, status, text)
			if status != http.StatusOK || !strings.HasSuffix(path, "/") {
				return
			}
			for line := range strings.Lines(text) {
				line = strings.TrimSuffix(line, "\n")
				if strings.Count(path, "/") == 2 && line != "user-data" || strings.HasSuffix(path, "/public-keys/") {
					line, _, _ = strings.Cut(line, "=")
					line += "/"
				}
				walk(path + line)
			}
		}
		walk("/latest/")
		golden(t, "ec2/"+name, ec2.String())
		for dialect, paths := range map[string][]string{
			"openstack": {"", "/2012-08-10", "/2018-08-27/", "/latest", "/latest/meta_data.json", "/latest/network_data.json", "/latest/user_data",
				"/latest/vendor_data.json", "/latest/vendor_data2.json", "/2012-08-10/network_data.json", "/1999-01-01/meta_data.json"},
			"nocloud": {"/", "/meta-data", "/user-data", "/vendor-data", "/network-config", "/none"},
		} {
			var b strings.Builder
			for _, path := range paths {
				fmt.Fprintf(&b, "== /%s%s\n%s\n", dialect, path, shown(t, w.ask(p, http.MethodGet, "/"+dialect+path)))
			}
			golden(t, dialect+"/"+name, b.String())
		}
	}
}

// TestPaths are answered at once, with what cloud-init understands.
func TestPaths(t *testing.T) {
	t.Parallel()
	w := twins(t)
	id := ident(machineOne).String()
	for _, x := range []struct {
		path   string
		status int
		holds  string
	}{
		{"/2009-04-04/meta-data/instance-id", 200, id},
		{"/2021-03-23/meta-data/instance-id", 200, id},
		{"/2018-09-24/meta-data/instance-id/", 200, id},
		{"/latest/meta-data", 200, "public-keys/"},
		{"/latest/meta-data/public-keys/0", 200, "openssh-key"},
		{"/latest/meta-data/public-keys/7/openssh-key", 404, ""},
		{"/latest/meta-data/none", 404, "/latest/meta-data/none"},
		{"/2099-01-01/meta-data/instance-id", 404, ""},
		{"/2099-01-01/meta-data", 404, ""},
		{"/openstack/latest/password", 404, ""},
		{"/openstack/latest/meta_data.json/x", 404, ""},
		{"/nocloud/a/meta-data", 404, ""},
		{"/seed/meta-data", 200, "instance-id: " + id},
		{"/meta-data", 200, "instance-id: " + id},
		{"/vendor-data", 200, ""},
		{"//latest//meta-data//instance-id", 200, id},
		{"/compute/" + id, 200, id},
		{"/compute/" + id + ".json", 200, `"compute"`},
		{"/compute/" + id + "/", 200, id},
		{"/-/", 200, "compute"},
		{"/-/.json", 200, "compute"},
		{"/.well-known/org/ogf/occi/-/", 200, "compute"},
		{"/compute/" + ident(machineTwo).String(), 404, ""},
		{"/network/" + id, 404, ""},
		{"/network/" + ident(lanOne).String(), 404, ""},
		{"/storage/" + ident(volume).String(), 404, ""},
		{"/networkinterface/" + ident(nicTwo).String(), 404, ""},
		{"/storagelink/" + ident(nicOne).String(), 404, ""},
		{"/network/", 404, ""},
		{"/task/", 404, ""},
		{"/mixin/guest/", 404, ""},
		{"/hetzner/v1/metadata", 404, ""},
		{"/computeMetadata/v1/", 404, ""},
		{"/metadata/v1.json", 404, ""},
		{"/opc/v2/instance/", 404, ""},
		{"/?attributes=title", 400, "attributes=title"},
	} {
		status, text := w.text(peerOne, http.MethodGet, x.path)
		if status != x.status || !strings.Contains(text, x.holds) {
			t.Errorf("GET %s: %d %.200q, want %d with %q", x.path, status, text, x.status, x.holds)
		}
	}
	if status, _ := w.text(peerOne, http.MethodGet, "/", "Accept: image/png"); status != http.StatusNotAcceptable {
		t.Errorf("GET of a picture: %d", status)
	}
	if status, _ := w.text(peerTwo, http.MethodGet, "/latest/user-data"); status != http.StatusNotFound {
		t.Errorf("user data that is not there: %d", status)
	}
	for path, method := range map[string]string{"/": "DELETE", "/latest/meta-data/": "POST", "/latest/api/token": "GET", "/openstack": "PUT", "/meta-data": "DELETE",
		"/-/": "POST", "/networkinterface/" + ident(nicOne).String(): "PUT", "/compute/": "POST"} {
		resp := w.ask(peerOne, method, path)
		if resp.StatusCode != http.StatusMethodNotAllowed || resp.Header.Get("Allow") == "" {
			t.Errorf("%s %s: %s, allow %q", method, path, resp.Status, resp.Header.Get("Allow"))
		}
	}
}

func TestUnchanged(t *testing.T) {
	t.Parallel()
	w := twins(t)
	tag := w.ask(peerOne, http.MethodGet, "/").Header.Get("Etag")
	if got := w.ask(peerOne, http.MethodGet, "/", "If-None-Match: "+tag); tag == "" || got.StatusCode != http.StatusNotModified {
		t.Errorf("what is unchanged under %s: %s", tag, got.Status)
	}
	for given, want := range map[string]int{"*": http.StatusNotModified, `"x", W/` + tag: http.StatusNotModified, `"x"`: http.StatusOK, "x": http.StatusBadRequest} {
		if got := w.ask(peerOne, http.MethodGet, "/", "If-None-Match: "+given); got.StatusCode != want {
			t.Errorf("If-None-Match: %s: %s, want %d", given, got.Status, want)
		}
	}
	if got := w.ask(peerOne, http.MethodGet, "/", "Accept: application/json", "If-None-Match: "+tag); got.StatusCode != http.StatusOK {
		t.Errorf("another rendering: %s", got.Status)
	}
}

// TestStrangers are refused, whatever they ask, and twins are told apart.
func TestStrangers(t *testing.T) {
	t.Parallel()
	w := twins(t)
	for i, p := range []guest.Peer{peerOne, peerTwo} {
		if _, text := w.text(p, http.MethodGet, "/latest/meta-data/instance-id"); text != ident(machineOne+i).String() {
			t.Errorf("%s is %q", p, text)
		}
	}
	link := netip.MustParseAddr("fe80::ff:fe00:1")
	if _, text := w.text(guest.Peer{Bridge: peerOne.Bridge, MAC: peerOne.MAC, Addr: link}, http.MethodGet, "/latest/meta-data/instance-id"); text != ident(machineOne).String() {
		t.Errorf("by the link's address it is %q", text)
	}
	other := netip.MustParseAddr("192.0.2.11")
	for name, p := range map[string]guest.Peer{
		"another's address":         {Bridge: peerOne.Bridge, MAC: peerOne.MAC, Addr: other},
		"another's MAC address":     {Bridge: peerOne.Bridge, MAC: peerTwo.MAC, Addr: peerOne.Addr},
		"another's network":         {Bridge: peerTwo.Bridge, MAC: peerOne.MAC, Addr: peerOne.Addr},
		"another's link's address":  {Bridge: peerOne.Bridge, MAC: peerOne.MAC, Addr: netip.MustParseAddr("fe80::ff:fe00:2")},
		"no MAC address":            {Bridge: peerOne.Bridge, Addr: peerOne.Addr},
		"nothing":                   {},
		"a network that is not one": {Bridge: "eth0", MAC: peerOne.MAC, Addr: peerOne.Addr},
	} {
		for _, path := range []string{"/", "/latest/meta-data/", "/openstack", "/meta-data", "/none"} {
			if status, _ := w.text(p, http.MethodGet, path); status != http.StatusForbidden {
				t.Errorf("%s: GET %s is %d", name, path, status)
			}
		}
	}
	if status, _ := w.text(peerOne, http.MethodGet, "/", "X-Forwarded-For: 192.0.2.10"); status != http.StatusForbidden {
		t.Errorf("for another: %d", status)
	}
}

// TestBridged has machines on bridges of the host: each is recognised where its VLAN is,
// and nowhere else.
func TestBridged(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	peers := []guest.Peer{{Bridge: "br0", MAC: peerOne.MAC, Addr: peerOne.Addr}, {Bridge: "vmbr7", MAC: peerTwo.MAC, Addr: peerTwo.Addr}}
	for i, vlan := range []int{0, 7} {
		more := []any{"occid.network.mode", "bridged", "occid.network.bridge", "br0"}
		if vlan != 0 {
			more = append(more, "occi.network.vlan", vlan)
		}
		lan := w.put(network, lanOne+i, nil, more...)
		vm := w.put(compute, machineOne+i, nil)
		w.put(nic, nicOne+i, []string{ipNIC}, occi.AttrSource, "/compute/"+vm.ID.String(), occi.AttrTarget, "/network/"+lan.ID.String(),
			"occi.networkinterface.mac", peers[i].MAC, "occi.networkinterface.address", peers[i].Addr.String())
		w.start(vm)
	}
	for i, p := range peers {
		if _, text := w.text(p, http.MethodGet, "/latest/meta-data/instance-id"); text != ident(machineOne+i).String() {
			t.Errorf("%s is %q", p, text)
		}
		for _, bridge := range []string{peers[1-i].Bridge, libvirt.BridgeOf(ident(lanOne + i)), ""} {
			p.Bridge = bridge
			if status, _ := w.text(p, http.MethodGet, "/"); status != http.StatusForbidden {
				t.Errorf("%s is answered with %d", p, status)
			}
		}
	}
}

// TestNews are seen at once.
func TestNews(t *testing.T) {
	t.Parallel()
	w := twins(t)
	key := func() string {
		_, text := w.text(peerOne, http.MethodGet, "/latest/meta-data/public-keys/0/openssh-key")
		return text
	}
	before := key()
	d := &occi.Draft{Attributes: []occi.DraftAttr{{Name: "occi.credentials.ssh.publickey", Value: occi.Str("ssh-rsa AAAA new")}}}
	if _, err := w.Update(w.ctx, engine.Caller{}, ident(machineOne), d, engine.Options{}); err != nil {
		t.Fatal(err)
	}
	if got := key(); got == before || got != "ssh-rsa AAAA new" {
		t.Errorf("the key is %q", got)
	}
	out, err := w.Delete(w.ctx, engine.Caller{}, []uuid.UUID{ident(nicOne)}, engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if status, _ := w.text(peerOne, http.MethodGet, "/"); status != http.StatusForbidden {
		t.Errorf("without its interface: %d", status)
	}
	w.wait(out)
}

func TestTokens(t *testing.T) {
	t.Parallel()
	w := twins(t)
	const ttl, token = "X-Aws-Ec2-Metadata-Token-Ttl-Seconds: ", "X-Aws-Ec2-Metadata-Token: "
	for _, bad := range []string{"0", "-1", "21601", "x", "1.5", ""} {
		if status, _ := w.text(peerOne, http.MethodPut, "/latest/api/token", ttl+bad); status != http.StatusBadRequest {
			t.Errorf("a token for %q: %d", bad, status)
		}
	}
	if status, _ := w.text(peerOne, http.MethodPut, "/latest/api/token"); status != http.StatusBadRequest {
		t.Errorf("a token for nothing: %d", status)
	}
	status, given := w.text(peerOne, http.MethodPut, "/latest/api/token", ttl+"60")
	if status != http.StatusOK {
		t.Fatalf("a token: %d %s", status, given)
	}
	reads := func(p guest.Peer, header ...string) int {
		status, _ := w.text(p, http.MethodGet, "/latest/meta-data/", header...)
		return status
	}
	for name, x := range map[string]struct{ got, want int }{
		"without":     {reads(peerOne), 200},
		"with":        {reads(peerOne, token+given), 200},
		"another's":   {reads(peerTwo, token+given), 401},
		"nonsense":    {reads(peerOne, token+"nonsense"), 401},
		"a part":      {reads(peerOne, token+given[:20]), 401},
		"more of one": {reads(peerOne, token+given, token+given), 401},
	} {
		if x.got != x.want {
			t.Errorf("%s token: %d, want %d", name, x.got, x.want)
		}
	}
	d := &occi.Draft{Attributes: []occi.DraftAttr{{Name: "occid.guest.token", Value: occi.Str("required")}}}
	if _, err := w.Update(w.ctx, engine.Caller{}, ident(machineOne), d, engine.Options{}); err != nil {
		t.Fatal(err)
	}
	if got := reads(peerOne); got != http.StatusUnauthorized {
		t.Errorf("without a token where one is needed: %d", got)
	}
	if got := reads(peerOne, token+given); got != http.StatusOK {
		t.Errorf("with a token where one is needed: %d", got)
	}
	w.now = w.now.Add(time.Minute)
	if got := reads(peerOne, token+given); got != http.StatusUnauthorized {
		t.Errorf("with a token that is over: %d", got)
	}
}

// TestWrites may change what the owner allowed, and nothing else.
func TestWrites(t *testing.T) {
	t.Parallel()
	w := twins(t)
	const jsonBody, plainBody = "Content-Type: application/json", "Content-Type: text/plain"
	for _, x := range []struct {
		name, method, path string
		rest               []string
		status             int
		holds              []string
	}{
		{"ready", "POST", "/", []string{jsonBody, "", `{"ready": true}`}, 200, []string{"occid.guest.ready=true"}},
		{"ready, by its own path", "POST", "/compute/" + ident(machineOne).String(), []string{jsonBody, "", `{"ready": false}`}, 200, []string{"ready=false"}},
		{"ready, in text", "PUT", "/", []string{plainBody, "", `X-OCCI-Attribute: occid.guest.ready=true`}, 200, []string{"ready=true"}},
		{"ready, in the header", "POST", "/", []string{"Content-Type: text/occi", "X-OCCI-Attribute: occid.guest.ready=false"}, 200, []string{"ready=false"}},
		{"the title", "POST", "/.json", []string{jsonBody, "", `{"title": "renamed"}`}, 200, []string{`"title": "renamed"`}},
		{"cores", "POST", "/", []string{jsonBody, "", `{"cores": 7, "ready": true}`}, 403, []string{"occi.compute.cores"}},
		{"two things", "POST", "/", []string{jsonBody, "", `{"cores": 7, "memory": 9}`}, 403, []string{"occi.compute.cores", "occi.compute.memory"}},
		{"what it has, and ready", "POST", "/", []string{jsonBody, "", `{"cores": 1, "memory": "1 Gb", "ready": true}`}, 200, []string{"ready=true"}},
		{"what it may", "POST", "/", []string{jsonBody, "", `{"writable": "cores"}`}, 403, []string{"occid.guest.writable"}},
		{"a mixin", "POST", "/", []string{plainBody, "", `Category: compute; scheme="http://schemas.ogf.org/occi/infrastructure#"; class="kind"`,
			`Category: public_key; scheme="http://schemas.openstack.org/instance/credentials#"; class="mixin"`}, 403, []string{"public_key"}},
		{"a link", "POST", "/", []string{jsonBody, "", `{"links": [{"rel": "storagelink", "target": "/storage/` + ident(lanTwo).String() + `"}]}`}, 403, []string{ident(lanTwo).String()}},
		{"an action", "POST", "/?action=stop", nil, 403, []string{"action=stop"}},
		{"nothing", "POST", "/", nil, 400, []string{"nothing"}},
		{"nonsense", "POST", "/", []string{jsonBody, "", `{`}, 400, nil},
		{"not a boolean", "POST", "/", []string{jsonBody, "", `{"ready": "perhaps"}`}, 400, []string{"occid.guest.ready", "perhaps"}},
		{"no known type", "POST", "/", []string{"Content-Type: image/png", "", "x"}, 415, nil},
		{"another's version", "POST", "/", []string{jsonBody, `If-Match: "zzz.0"`, "", `{"ready": false}`}, 412, []string{"If-Match"}},
		{"another's version, and what it has", "POST", "/", []string{jsonBody, `If-Match: "zzz.0"`, "", `{"cores": 1}`}, 412, []string{"If-Match"}},
		{"no list of versions", "POST", "/", []string{jsonBody, `If-Match: "zzz`, "", `{"ready": false}`}, 400, []string{"If-Match"}},
		{"only if it is new", "PUT", "/", []string{jsonBody, "If-None-Match: *", "", `{"ready": false}`}, 412, []string{"If-None-Match"}},
		{"if it is as it was long ago", "POST", "/", []string{jsonBody, "If-Unmodified-Since: Thu, 01 Jan 1970 00:00:00 GMT", "", `{"ready": false}`}, 412, []string{"If-Unmodified-Since"}},
		{"a large body", "POST", "/", []string{jsonBody, "", strings.Repeat(" ", 1<<20+1)}, 413, []string{"1048576"}},
		{"another machine", "POST", "/compute/" + ident(machineTwo).String(), []string{jsonBody, "", `{"ready": true}`}, 404, nil},
	} {
		before, err := w.Get(w.ctx, engine.Caller{}, ident(machineOne))
		if err != nil {
			t.Fatal(err)
		}
		status, text := w.text(peerOne, x.method, x.path, x.rest...)
		if status != x.status {
			t.Errorf("%s: %d %s, want %d", x.name, status, text, x.status)
		}
		for _, holds := range x.holds {
			if !strings.Contains(text, holds) {
				t.Errorf("%s: %q is not in %s", x.name, holds, text)
			}
		}
		after, err := w.Get(w.ctx, engine.Caller{}, ident(machineOne))
		if err != nil {
			t.Fatal(err)
		}
		if changed := !slices.Equal(told(before), told(after)); changed && status != http.StatusOK {
			t.Errorf("%s: refused, and changed", x.name)
		}
	}
	w.settle()
	tag := w.ask(peerOne, http.MethodGet, "/").Header.Get("Etag")
	if status, text := w.text(peerOne, http.MethodPost, "/", jsonBody, "If-Match: "+tag, "", `{"ready": false}`); status != http.StatusOK {
		t.Errorf("with the present version: %d %s", status, text)
	}
	if status, text := w.text(peerTwo, http.MethodPost, "/", jsonBody, "", `{"ready": true}`); status != http.StatusForbidden || !strings.Contains(text, "ready") {
		t.Errorf("a machine without the mixin: %d %s", status, text)
	}
}

// TestRoundTrip sends back what was shown, in every rendering, and changes nothing.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	w := twins(t)
	for _, media := range []string{"text/plain", "application/occi+json", "application/json", "application/occi+text", "application/xml", "application/yaml", "application/atom+xml"} {
		_, text := w.text(peerOne, http.MethodGet, "/", "Accept: "+media)
		if status, answer := w.text(peerOne, http.MethodPut, "/", "Accept: "+media, "Content-Type: "+media, "", text); status != http.StatusOK || answer != text {
			t.Errorf("%s: %d %s\nwas %s", media, status, answer, text)
		}
	}
}

// TestReadable shows what the owner lets the machine read.
func TestReadable(t *testing.T) {
	t.Parallel()
	w := twins(t)
	const secret = "/var/lib/libvirt/boot/secret"
	if _, text := w.text(peerOne, http.MethodGet, "/"); strings.Contains(text, secret) {
		t.Error("the kernel is shown to the machine")
	}
	for list, want := range map[string]bool{"kernel": true, "occid.boot.kernel": true, "*": true, "initrd": false} {
		d := &occi.Draft{Attributes: []occi.DraftAttr{{Name: "occid.guest.readable", Value: occi.Str(list)}}}
		if _, err := w.Update(w.ctx, engine.Caller{}, ident(machineOne), d, engine.Options{}); err != nil {
			t.Fatal(err)
		}
		if _, text := w.text(peerOne, http.MethodGet, "/"); strings.Contains(text, secret) != want {
			t.Errorf("with %q readable: %s", list, text)
		}
	}
	for _, bad := range []string{"occid.guest.readable", "occid.guest.writable"} {
		d := &occi.Draft{Attributes: []occi.DraftAttr{{Name: bad, Value: occi.Str("ready colour")}}}
		_, err := w.Update(w.ctx, engine.Caller{}, ident(machineOne), d, engine.Options{})
		if occi.ClassOf(err) != occi.Invalid || !strings.Contains(err.Error(), "colour") || !strings.Contains(err.Error(), bad) {
			t.Errorf("%s of no attribute: %v", bad, err)
		}
	}
}

// told gives what an entity was told to be; tasks that end meanwhile change the rest.
func told(x *occi.Entity) occi.Attrs {
	return slices.DeleteFunc(slices.Clone(x.Attributes), func(a occi.Attr) bool { return strings.HasSuffix(a.Name, ".state.message") })
}
