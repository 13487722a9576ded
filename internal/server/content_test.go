package server_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"
)

// diskFile makes the file of a disk of some MiB with qemu-img.
func diskFile(t testing.TB, format string, mib int) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "disk")
	if out, err := exec.Command("qemu-img", "create", "-q", "-f", format, file, fmt.Sprintf("%dM", mib)).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestUpload sends content whole: of a known length or not, with every way to tell its
// checksum, and with what is wrong.
func TestUpload(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	wait := "Prefer: wait=20"
	disk := c.create("/storage/", `{"size":1}`)
	text := diskFile(t, "qcow2", 3)
	sum := sha256.Sum256([]byte(text))
	base := base64.StdEncoding.EncodeToString(sum[:])
	for _, digest := range []string{"Content-Digest: sha-256=:" + base + ":", "Repr-Digest: sha-512=:AAAA:, sha-256=:" + base + ":", "Digest: SHA-256=" + base,
		fmt.Sprintf("X-Checksum-Sha256: %x", sum), "X-Nothing: "} {
		r := c.do("PUT", disk+"/content", text, digest, wait).want(t, 200, `occi.storage.state="online"`)
		c.do("GET", strings.TrimPrefix(r.Header.Get("X-Task-Location"), c.url), "").want(t, 200, `occid.task.state="done"`, `occid.task.verb="content"`, "occid.task.progress=100")
	}
	c.do("PUT", disk+"/content", text, "Prefer: respond-async", "Accept: application/occi+json").want(t, 202, `"content"`)
	c.settle()
	req, err := http.NewRequest("PUT", c.url+disk+"/content", io.MultiReader(strings.NewReader(text[:5]), strings.NewReader(text[5:])))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Prefer", "wait=20")
	c.send(req).want(t, 200, `occi.storage.state="online"`)

	network := c.create("/network/", `{"type":"network"}`)
	for _, bad := range []struct {
		path, body string
		header     []string
		status     int
		words      []string
	}{
		{disk, text, []string{"Content-Digest: sha-256=:" + base64.StdEncoding.EncodeToString(make([]byte, 32)) + ":"}, 400, []string{"SHA-256", "nothing of it was kept"}},
		{disk, text, []string{"Content-Digest: md5=:AAAA:"}, 400, []string{"Content-Digest", "SHA-256"}},
		{disk, text, []string{"X-Checksum-Sha256: beef"}, 400, []string{"X-Checksum-Sha256", "beef"}},
		{disk, text, []string{"X-Checksum-Sha256: " + strings.Repeat("00", 32), "Digest: SHA-256=" + base}, 400, []string{"another SHA-256"}},
		{disk, "", nil, 400, []string{"empty"}},
		{disk, strings.Repeat("x", mostImage+1), nil, 413, []string{fmt.Sprint(mostImage)}},
		{disk, text[:9], []string{"Content-Range: bytes 0-8/99999999"}, 413, []string{fmt.Sprint(mostImage)}},
		{disk, text, []string{`If-Match: "other"`}, 412, nil},
		{disk, text[:9], []string{"Content-Range: bytes 9-17/99"}, 409, []string{"begins at 0"}},
		{disk, text[:9], []string{"Content-Range: bytes 0-9/99"}, 400, []string{"Content-Length of 9"}},
		{disk, text[:9], []string{"Content-Range: bytes 9-0/99"}, 400, []string{"Content-Range"}},
		{disk, text[:9], []string{"Content-Range: bytes 0-8/*"}, 400, []string{"Content-Range"}},
		{disk, text[:9], []string{"Content-Range: pages 0-8/9"}, 400, []string{"Content-Range"}},
		{disk, text[:9], []string{"Content-Range: bytes */9"}, 400, []string{"Content-Range"}},
		{disk, text[:9], []string{"Content-Range: bytes 0-8/9", "Content-Digest: sha-256=:" + base + ":"}, 400, []string{"Repr-Digest"}},
		{network, text, nil, 404, nil},
		{"/storage/" + uuid.NewString(), text, nil, 404, nil},
	} {
		c.do("PUT", bad.path+"/content", bad.body, bad.header...).want(t, bad.status, bad.words...)
	}
	c.do("PUT", disk+"/content?x=1", text).want(t, 400, "x")
	c.do("POST", disk+"/content", text).want(t, 405)
	c.do("GET", disk+"/content", "").want(t, 501, "hold nothing")
	// None of it changed anything.
	c.do("GET", disk, "").want(t, 200, `occi.storage.state="online"`)
	if r := c.do("HEAD", disk+"/content", "").want(t, 200); r.Header.Get("Upload-Offset") != "0" {
		t.Errorf("HEAD shows %v", r.Header)
	}
}

// TestUploadIsResumed cuts an upload in the middle, asks how far it is, and goes on.
func TestUploadIsResumed(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	disk, text := c.create("/storage/", `{"size":1}`), diskFile(t, "raw", 3)
	conn, err := net.Dial("tcp", strings.TrimPrefix(c.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	const half = 1 << 20
	fmt.Fprintf(conn, "PUT %s/content HTTP/1.1\r\nHost: x\r\nContent-Range: bytes 0-%d/%d\r\nContent-Length: %d\r\n\r\n%s", disk, len(text)-1, len(text), len(text), text[:half])
	asked := func() reply {
		return c.do("PUT", disk+"/content", "", fmt.Sprintf("Content-Range: bytes */%d", len(text)))
	}
	for asked().Header.Get("Range") != fmt.Sprintf("bytes=0-%d", half-1) {
		if t.Context().Err() != nil {
			t.Fatal("the first half does not arrive")
		}
	}
	part := func(from, to int) reply {
		return c.do("PUT", disk+"/content", text[from:to], fmt.Sprintf("Content-Range: bytes %d-%d/%d", from, to-1, len(text)), "Prefer: wait=20")
	}
	part(half, 2*half).want(t, 409, "another request")
	conn.Close()
	for r := part(half, 2*half); r.StatusCode != 308; r = part(half, 2*half) {
		r.want(t, 409, "another request")
	}
	if r := c.do("HEAD", disk+"/content", "").want(t, 200); r.Header.Get("Range") != fmt.Sprintf("bytes=0-%d", 2*half-1) ||
		r.Header.Get("Upload-Offset") != fmt.Sprint(2*half) || r.Header.Get("Upload-Length") != fmt.Sprint(len(text)) {
		t.Errorf("HEAD shows %v", r.Header)
	}
	if r := part(half, len(text)).want(t, 409, fmt.Sprint(2*half)); r.Header.Get("Range") != fmt.Sprintf("bytes=0-%d", 2*half-1) {
		t.Errorf("a part from elsewhere is answered with %v", r.Header)
	}
	part(2*half, len(text)).want(t, 200, `occi.storage.state="online"`)
	part(0, half).want(t, 308)
	c.do("DELETE", disk+"/content", "").want(t, 204)
	if r := asked().want(t, 308); r.Header.Get("Range") != "" {
		t.Errorf("after it was dropped there is %s", r.Header.Get("Range"))
	}
}

// TestATemplateOfStorage makes a template of what was uploaded.
func TestATemplateOfStorage(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, c *cloud) {
		c.t = t
		wait := "Prefer: wait=20"
		disk := c.create("/storage/", `{"title":"Debian 12","size":2}`)
		c.do("PUT", disk+"/content", diskFile(t, "raw", 1), wait).want(t, 200)
		c.do("POST", disk+"?action=template&name=Debian+12", "", wait).want(t, 200, "Category: debian-12;", `scheme="http://schemas.occid.org/occi/os_tpl#"`)
		c.do("GET", disk, "").want(t, 200, "Category: image;")
		machine := c.create("/compute/", `{"mixin":"http://schemas.occid.org/occi/os_tpl#debian-12"}`)
		c.do("GET", machine, "").want(t, 200, `occi.compute.state="active"`, `occid.compute.image="`+disk+`"`)
		c.do("PUT", disk+"/content", "x").want(t, 409, "os_tpl#debian-12", machine)
		c.do("POST", "/storagelink/", `{"source":"`+machine+`","target":"`+disk+`","readonly":false}`, "Content-Type: application/json").want(t, 409, "can only be read")
		c.do("DELETE", disk, "").want(t, 409, "os_tpl#debian-12", machine)
	})
}

// content is a host whose volumes hold something.
func (h *host) ReadVolume(ctx context.Context, id uuid.UUID, w io.Writer) error {
	h.mu.Lock()
	text := h.content
	h.mu.Unlock()
	if text == nil {
		return h.Driver.ReadVolume(ctx, id, w)
	}
	_, err := io.Copy(w, bytes.NewReader(text))
	return err
}

// TestDownload gets what a volume holds.
func TestDownload(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	disk, machine := c.create("/storage/", `{"size":1}`), c.create("/compute/", `{"title":"m"}`)
	c.host.mu.Lock()
	c.host.content = bytes.Repeat([]byte("content"), 1<<16)
	c.host.mu.Unlock()
	r := c.do("GET", disk+"/content", "").want(t, 200)
	if r.text != string(c.host.content) || r.Header.Get("Content-Type") != "application/octet-stream" {
		t.Errorf("it is %d bytes of %s", len(r.text), r.Header.Get("Content-Type"))
	}
	c.create("/storagelink/", `{"source":"`+machine+`","target":"`+disk+`"}`)
	c.do("GET", disk+"/content", "").want(t, 200)
	c.do("POST", machine+"?action=start", "", "Prefer: wait=20").want(t, 200)
	c.do("GET", disk+"/content", "").want(t, 409, machine, "snapshot")
}

// TestImagesAreNotFetchedFromAnywhere asks for what only the server could reach.
func TestImagesAreNotFetchedFromAnywhere(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	before := c.revision()
	for source, want := range map[string]string{
		"https://127.0.0.1/x": "not a public address", "https://169.254.169.254/latest/meta-data/": "--image-hosts", "https://[::1]/x": "--image-hosts",
		"https://10.0.0.1/x": "--image-hosts", "https://2130706433/x": "--image-hosts", "https://localhost/x": "--image-hosts",
		"https://images.example.org:8443/x": "--image-hosts", "https://u:p@images.example.org/x": "password", "https://images.example.org.evil.example/x": "--image-hosts",
	} {
		c.do("POST", "/storage/", `{"size":1,"image_source":"`+source+`"}`, "Content-Type: application/json").want(t, 403, "occid.image.source", want)
	}
	for _, source := range []string{"http://images.example.org/x", "file:///etc/passwd", "nothing", "https:///x"} {
		c.do("POST", "/storage/", `{"size":1,"image_source":"`+source+`"}`, "Content-Type: application/json").want(t, 400, "occid.image.source", "https")
	}
	sum := "sha256:" + strings.Repeat("0", 64)
	c.do("POST", "/storage/", `{"size":1,"image_checksum":"`+sum+`"}`, "Content-Type: application/json").want(t, 400, "occid.image.checksum", "needs")
	c.do("POST", "/storage/", `{"size":1,"image_source":"https://images.example.org/x","image_checksum":"md5:0"}`, "Content-Type: application/json").want(t, 400, "occid.image.checksum")
	if c.revision() != before {
		t.Error("what was refused changed something")
	}
}
