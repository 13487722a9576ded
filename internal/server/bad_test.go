package server_test

import (
	"bufio"
	"cmp"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"html"
	"io"
	"mime"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/uuid"
	"go.yaml.in/yaml/v3"

	"github.com/occid/occid/render"
)

// badRequest is a request that must be refused without a trace.
type badRequest struct {
	where, method, path, body string
	status                    int
	header                    []string
	names                     []string // what the answer must name
}

// unescape undoes the escapes of a body in a table.
var unescape = strings.NewReplacer(`\\`, `\`, `\n`, "\n", `\r`, "\r", `\t`, "\t", `\xff`, "\xff")

// badRequests reads the tables in testdata/badrequests. The columns of a row are
// the status, what the answer must name, the method and path, the header fields,
// and the body; " ;; " parts names and fields. Words in capitals are replaced by
// what there is.
func badRequests(t *testing.T, there *strings.Replacer) []badRequest {
	t.Helper()
	files, err := filepath.Glob("testdata/badrequests/*.tsv")
	if err != nil {
		t.Fatal(err)
	}
	var rows []badRequest
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		line := 0
		for in := bufio.NewScanner(strings.NewReader(there.Replace(string(text)))); in.Scan(); {
			line++
			column := append(strings.Split(in.Text(), "\t"), "", "")
			row := badRequest{where: fmt.Sprintf("%s:%d", filepath.Base(name), line), names: parted(column[1]),
				header: parted(column[3]), body: unescape.Replace(column[4])}
			row.method, row.path, _ = strings.Cut(column[2], " ")
			if row.status, err = strconv.Atoi(column[0]); err != nil {
				t.Fatalf("%s: %v", row.where, err)
			}
			rows = append(rows, row)
		}
	}
	return rows
}

func parted(column string) []string {
	if column == "" {
		return nil
	}
	return strings.Split(column, " ;; ")
}

// oversized makes requests that are over a limit.
func oversized() []badRequest {
	row := func(where string, status int, names, media, body string) badRequest {
		return badRequest{where: where, status: status, names: parted(names), method: "POST", path: "/compute/", body: body,
			header: []string{"Content-Type: " + media}}
	}
	times := strings.Repeat
	bomb := "a0: &a0 x\n"
	for i := 1; i < 12; i++ {
		p := "*a" + strconv.Itoa(i-1)
		bomb += fmt.Sprintf("a%d: &a%d [%s%s]\n", i, i, times(p+",", 9), p)
	}
	rows := []badRequest{
		row("title", 400, "occi.core.title", "application/json", `{"title":"`+times("x", 70<<10)+`"}`),
		row("one attribute often", 400, "a.b", "application/json", `{`+times(`"a.b":1,`, 2000)+`"c":1}`),
		row("JSON", 413, "levels", "application/json", times(`{"a":`, 5000)+"1"+times("}", 5000)),
		row("JSON arrays", 413, "levels", "application/json", times("[", 10000)+times("]", 10000)),
		row("OCCI JSON", 413, "levels", "application/occi+json", times(`{"a":`, 10000)+"1"+times("}", 10000)),
		row("open arrays", 400, "line 1", "application/occi+json", times("[", 100_000)),
		row("XML", 400, "line 1", "application/xml", times("<a>", 10000)+times("</a>", 10000)),
		row("YAML", 413, "levels", "application/yaml", "a: "+times("[", 5000)+times("]", 5000)),
		row("open YAML", 400, "line 1", "application/yaml", times("[", 20_000)),
		row("YAML lines", 400, "line 1", "application/yaml", times("- ", 20_000)),
		row("YAML aliases", 400, "line", "application/yaml", bomb),
		row("lines", 400, "a.b", "text/plain", times("X-OCCI-Attribute: a.b=1\n", 5000)),
		row("categories", 400, "http://example.com/#x", "text/plain", times(`Category: x; scheme="http://example.com/#"; class="mixin"`+"\n", 5000)),
		row("links", 413, "links", "text/plain", times("Link: </network/1>; rel=\"x#y\"\n", 5000)),
		row("JSON links", 413, "links", "application/json", `{"links":[`+times(`{"target":"/network/1"},`, 2000)+`{}]}`),
		row("locations", 400, "locations", "text/uri-list", times("http://x/compute/1\n", 40_000)),
		row("members", 413, "members", "application/json", "["+times(`{"type":"compute"},`, 5000)+`{"type":"compute"}]`),
	}
	for _, f := range render.Formats() {
		if f.Reads && !f.InHeaders {
			rows = append(rows, row("a body of more than 1 MiB as "+f.Media, 413, "1048576", f.Media, times(" \n", 1<<19+1)))
		}
	}
	return rows
}

func TestBadRequestsAreRefusedWithoutATrace(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	rows := append(badRequests(t, c.furnished()), oversized()...)
	if len(rows) < 200 {
		t.Fatalf("only %d bad requests", len(rows))
	}
	formats := render.Formats()
	before := c.revision()
	for i, b := range rows {
		format := b.ask(formats[i%len(formats)])
		r := c.do(b.method, b.path, b.body, b.header...)
		if fault := b.judge(r, format); fault != "" {
			t.Errorf("%s: %s %.120s %q as %s: %s\n%.600s", b.where, b.method, b.path, b.header, format.Media, fault, r.text)
		}
		if now := c.revision(); now != before {
			t.Errorf("%s: something changed", b.where)
			before = now
		}
	}
}

// furnished makes something of each kind and gives what the words of the tables
// stand for: the paths of what is there and identifiers, MISSING for one that is
// free. What is between ENVELOPE and END is the hardware of an OVF envelope, with
// SECTIONS and SYSTEM where others begin.
func (c *cloud) furnished() *strings.Replacer {
	network := c.create("/network/", `{"title":"n"}`)
	storage := c.create("/storage/", `{"title":"s","size":1}`)
	compute := c.create("/compute/", `{"title":"c"}`)
	link := c.create("/networkinterface/", fmt.Sprintf(`{"source":%q,"target":%q}`, compute, network))
	ranged := c.create("/network/", `{"title":"r","address":"198.18.0.0/30","gateway":"198.18.0.1","allocation":"dynamic"}`)
	holder := c.create("/networkinterface/", fmt.Sprintf(`{"source":%q,"target":%q}`, compute, ranged))
	id := func(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }
	const cim, system = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_", `<VirtualSystem ovf:id="vm"><Info/>`
	open := `<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/2" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/2" xmlns:r="` + cim +
		`ResourceAllocationSettingData" xmlns:e="` + cim + `EthernetPortAllocationSettingData" xmlns:s="` + cim +
		`StorageAllocationSettingData" xmlns:o="http://purl.org/occi"><References/>` + system
	return strings.NewReplacer("COMPUTEID", id(compute), "NETWORKID", id(network), "COMPUTE", compute, "NETWORK", network,
		"STORAGE", storage, "LINK", link, "RANGED", ranged, "HOLDER", holder, "TASK", c.paths(compute + "/tasks/")[0], "MISSING", uuid.NewString(),
		"ENVELOPE", open+"<VirtualHardwareSection><Info/>", "END", "</VirtualHardwareSection></VirtualSystem></Envelope>",
		"SECTIONS", strings.TrimSuffix(open, system), "SYSTEM", open)
}

// ask adds a format to the request, unless it names one by itself, and gives the
// one its answer must come in.
func (b *badRequest) ask(wished *render.Format) *render.Format {
	path, _, _ := strings.Cut(b.path, "?")
	if f := render.Suffixed(filepath.Ext(path)); f != nil {
		return f
	}
	for _, h := range b.header {
		if media, own := strings.CutPrefix(h, "Accept: "); own {
			return cmp.Or(render.Named(media), render.Formats()[0])
		}
	}
	b.header = append(b.header, "Accept: "+wished.Media)
	return wished
}

// judge says what is wrong with an answer, "" if nothing is.
func (b *badRequest) judge(r reply, format *render.Format) string {
	if r.StatusCode != b.status {
		return fmt.Sprintf("status %d, want %d", r.StatusCode, b.status)
	}
	if got := r.Header.Get("Content-Type"); got != format.Type {
		return fmt.Sprintf("it is answered in %s", got)
	}
	if r.StatusCode == http.StatusMethodNotAllowed && r.Header.Get("Allow") == "" {
		return "405 without Allow"
	}
	if err := wellFormed(r); err != nil {
		return err.Error()
	}
	if strings.TrimSpace(r.text) == "" {
		return "it says nothing"
	}
	plain := strings.ReplaceAll(html.UnescapeString(r.text), `\"`, `"`)
	for _, name := range b.names {
		if !strings.Contains(plain, name) {
			return fmt.Sprintf("it does not name %q", name)
		}
	}
	return ""
}

// wellFormed parses an answer in the formats that have parsers.
func wellFormed(r reply) error {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		return err
	}
	switch {
	case strings.HasSuffix(media, "json"):
		if !json.Valid([]byte(r.text)) {
			return errors.New("it is no JSON")
		}
	case strings.HasSuffix(media, "xml"):
		for d := xml.NewDecoder(strings.NewReader(r.text)); ; {
			if _, err := d.Token(); err == io.EOF {
				return nil
			} else if err != nil {
				return err
			}
		}
	case strings.HasSuffix(media, "yaml"):
		var v any
		return yaml.Unmarshal([]byte(r.text), &v)
	}
	return nil
}

// endless is a descriptor whose user data goes on for ever.
type endless struct{ read int }

func (e *endless) Read(b []byte) (int, error) {
	const head = `{"type":"compute","mixins":["http://schemas.ogf.org/occi/infrastructure/compute#user_data"],"userdata":"#!/bin/sh\n`
	for i := range b {
		b[i] = 'x'
		if e.read < len(head) {
			b[i] = head[e.read]
		}
		e.read++
	}
	return len(b), nil
}

// TestBigUserData refuses user data of 100 MB by its size, and what is longer than a
// machine can be handed by naming the limit.
func TestBigUserData(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	send := func(size int64) (int, string) {
		source := &endless{}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.url+"/compute/", io.MultiReader(io.LimitReader(source, size-2), strings.NewReader(`"}`)))
		if err != nil {
			t.Fatal(err)
		}
		req.ContentLength = size
		req.Header.Set("Content-Type", "application/json")
		resp := c.send(req)
		return resp.StatusCode, resp.text
	}
	before := c.revision()
	if status, text := send(100 << 20); status != http.StatusRequestEntityTooLarge || !strings.Contains(text, "1048576") {
		t.Errorf("100 MB: %d %s", status, text)
	}
	if status, text := send(100 << 10); status != http.StatusBadRequest || !strings.Contains(text, "occi.compute.userdata") || !strings.Contains(text, "65536") {
		t.Errorf("100 kB: %d %s", status, text)
	}
	if c.revision() != before {
		t.Error("a request that is refused leaves something")
	}
	if status, text := send(60 << 10); status != http.StatusCreated {
		t.Errorf("60 kB: %d %s", status, text)
	}
}
