package lab_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/occid/occid/internal/lab"
)

const osTemplate = "http://schemas.occid.org/occi/os_tpl#"

// sizeFile is a registry file with a template of a machine's size that says how it
// starts, too.
const sizeFile = `
mixins:
  - id: http://example.com/lab/resource_tpl#roomy
    title: Two processors
    depends: [http://schemas.ogf.org/occi/infrastructure#resource_tpl]
    applies: [http://schemas.ogf.org/occi/infrastructure#compute]
    attributes:
      - {name: occi.compute.cores, default: 2}
      - {name: occi.compute.memory, default: 0.25}
      - {name: occid.compute.disk.size, default: 0.5}
      - {name: occid.compute.firmware, default: uefi}
`

// offered builds an image, and a directory of an operator's that has it under a name.
func offered(t *testing.T, name string) (file lab.Image, dir string) {
	t.Helper()
	file, err := lab.BuildImage(built)
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	if err := os.Symlink(absolute(t, file.QCOW2), filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
	return file, dir
}

// published serves a file by https, and gives its URL, its SHA-256 and the file of the
// certificate.
func published(t *testing.T, file string) (url, sum, ca string) {
	t.Helper()
	text := content(t, file)
	web := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "disk.qcow2", time.Time{}, bytes.NewReader(text))
	}))
	t.Cleanup(web.Close)
	ca = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: web.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return web.URL + "/disk.qcow2", fmt.Sprintf("sha256:%x", sha256.Sum256(text)), ca
}

// TestUpload uploads disks that boot, in parts and whole, has one fetched, makes templates
// of them and of a file of the operator, and machines of the templates, whose disks are
// overlays, one with the size and the firmware that another template says. Hostile files
// are refused, and so is a machine of an image whose file is gone.
func TestUpload(t *testing.T) {
	long(t, "it boots many images")
	t.Parallel()
	ctx := need(t)
	h := newHost(ctx, t)
	file, own := offered(t, "operator.qcow2")
	if err := os.WriteFile(filepath.Join(own, "evil.qcow2"), []byte("no disk"), 0o600); err != nil {
		t.Fatal(err)
	}
	source, sum, ca := published(t, file.QCOW2)
	registry := t.TempDir()
	if err := os.WriteFile(filepath.Join(registry, "size.yaml"), []byte(sizeFile), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := h.Run(ctx, "sh", "-ec", "mkdir "+small+"; mount -t tmpfs -o size=2m lab "+small); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	c := &cloud{ctx: ctx, t: t, url: startOccid(ctx, t, h, "--images", own, "--spec", registry, "--pools", "small=dir:"+small+",unlimited",
		"--image-hosts", strings.Split(source, "/")[2], "--image-ca", ca, "--image-private").URL}

	c.hostile(file.QCOW2)
	c.filled(h)
	disk := c.create("/storage/", entity{Kind: storage, Title: "disk", Attributes: map[string]any{"occi.storage.size": 0.25}})
	raw := content(t, file.Raw)
	half := len(raw) / 2
	c.put(disk, raw[:half], 308, fmt.Sprintf("bytes 0-%d/%d", half-1, len(raw)))
	c.put(disk, raw[half:], 200, fmt.Sprintf("bytes %d-%d/%d", half, len(raw)-1, len(raw)))
	c.made(disk, "template&name=raw")
	whole := c.create("/storage/", entity{Kind: storage, Title: "disk", Attributes: map[string]any{"occi.storage.size": 0.25}})
	c.put(whole, content(t, file.QCOW2), 200, "")
	c.made(whole, "template&name=whole")
	fetched := c.create("/storage/", entity{Kind: storage, Title: "disk", Attributes: map[string]any{"occi.storage.size": 0.25,
		"occid.image.source": source, "occid.image.checksum": sum}})
	c.made(fetched, "template&name=fetched")
	operators := c.imageOf(osTemplate + "operator")
	for _, url := range []string{disk, whole, fetched, operators} {
		c.download(url, file.QCOW2)
	}

	images := map[string]string{"raw": disk, "whole": whole, "operator": operators, "fetched": fetched}
	var machines []string
	var consoles []*lab.Console
	for term, image := range images {
		x := entity{Kind: compute, Title: term, Mixins: []string{osTemplate + term}, Attributes: map[string]any{"occi.compute.memory": 0.125, "occid.compute.disk.size": 0.5}}
		says := []string{lab.GuestDisk + "vda, 1048576 sectors", "processors 1, "}
		if term == "whole" {
			x.Mixins, x.Attributes = append(x.Mixins, "http://example.com/lab/resource_tpl#roomy"), nil
			says = []string{lab.GuestSystem + "uefi, ", says[0], "processors 2, memory 2"}
		}
		machine := c.create("/compute/", x)
		console, err := h.Console(path(machine)[len("/compute/"):])
		if err != nil {
			t.Fatal(err)
		}
		defer console.Close()
		hears(ctx, t, console, says...)
		over := c.overlays(h, image)
		if len(over) != 1 {
			t.Errorf("%s: the disks of the image are %v", term, over)
		}
		c.refused(http.MethodDelete, image, machine)
		machines, consoles = append(machines, machine), append(consoles, console)
	}
	c.readers(machines[:2], consoles)

	// A machine that runs on an overlay is saved as a whole.
	template := c.made(machines[0], "save&name=saved")
	saved := c.imageOf(osTemplate + "saved")
	if i := info(t, c, h, saved); i.Backing != "" || i.Size != 1<<29 {
		t.Errorf("the image of %s is %+v", template, i)
	}
	c.download(saved, "")
	for _, url := range machines {
		c.send(http.MethodDelete, url, nil)
	}
	c.vanished(h, "raw", disk)
	for _, term := range []string{"raw", "whole", "fetched", "operator", "saved"} {
		c.forget(term)
	}
	for _, url := range []string{disk, whole, fetched, operators, saved} {
		c.send(http.MethodDelete, url, nil)
	}
	if err := h.Empty(ctx); err != nil {
		t.Error(err)
	}
}

// readers lets machines that run read a storage, all at once and each under the name that
// its link says, and none of them write to it.
func (c *cloud) readers(machines []string, consoles []*lab.Console) {
	c.t.Helper()
	disk := c.create("/storage/", entity{Kind: storage, Attributes: map[string]any{"occi.storage.size": 0.03125}})
	var links []string
	for i, machine := range machines {
		x := entity{Kind: storageLink, Attributes: map[string]any{"occid.storagelink.readonly": true},
			Source: &end{path(machine), compute}, Target: &end{path(disk), storage}}
		links = append(links, c.create("/storagelink/", x))
		a := c.get(links[i]).Attributes
		hears(c.ctx, c.t, consoles[i], fmt.Sprintf("%s%s, 65536 sectors, serial %s, read-only", lab.GuestDisk, a["occi.storagelink.deviceid"], a["occid.storagelink.serial"]))
		x.Attributes = nil
		if resp, text := c.ask(http.MethodPost, c.url+"/storagelink/", x); resp.StatusCode != http.StatusConflict || !bytes.Contains(text, []byte(path(machine))) {
			c.t.Errorf("what is shared can be written to: %s: %s", resp.Status, text)
		}
	}
	for i, link := range links {
		c.send(http.MethodDelete, link, nil)
		hears(c.ctx, c.t, consoles[i], lab.GuestDisk+"vdb gone")
	}
	c.send(http.MethodDelete, disk, nil)
}

// small is a directory of a host with little room.
const small = "/var/lib/libvirt/small"

// filled uploads more to a volume than there is room for on its host: the volume says so,
// and leaves nothing there.
func (c *cloud) filled(h *lab.Host) {
	c.t.Helper()
	disk := c.create("/storage/", entity{Kind: storage, Attributes: map[string]any{"occi.storage.size": 0.0625, "occid.storage.pool": "small"}})
	text := make([]byte, 8<<20)
	if _, err := rand.Read(text[512:]); err != nil {
		c.t.Fatal(err)
	}
	c.put(disk, text, 200, "")
	if got := c.get(disk); got.state() != "error" || !strings.Contains(got.message(), "No space left on device") {
		c.t.Errorf("a volume without room is %v", got.Attributes)
	}
	c.send(http.MethodDelete, disk, nil)
	if left, err := os.ReadDir(h.Path(small)); err != nil || len(left) > 0 {
		c.t.Errorf("there is left %v, %v", left, err)
	}
}

// vanished loses the file of an image: a machine of its template says so.
func (c *cloud) vanished(h *lab.Host, template, image string) {
	c.t.Helper()
	if err := os.Remove(h.Path(pool + path(image)[len("/storage/"):] + ".qcow2")); err != nil {
		c.t.Fatal(err)
	}
	resp, _ := c.send(http.MethodPost, c.url+"/compute/", entity{Kind: compute, Mixins: []string{osTemplate + template}})
	machine := resp.Header.Get("Location")
	if got := c.get(machine); got.state() != "error" || !strings.Contains(got.message(), path(image)) {
		c.t.Errorf("a machine of an image that is gone is %v", got.Attributes)
	}
	c.send(http.MethodDelete, machine, nil)
}

func absolute(t *testing.T, path string) string {
	t.Helper()
	path, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func content(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// put uploads content, or the part of it that the range says.
func (c *cloud) put(url string, text []byte, status int, span string) {
	c.t.Helper()
	header := []string{"Prefer: wait=60"}
	if span != "" {
		header = append(header, "Content-Range: "+span)
	}
	if resp, said := exchange(c.ctx, c.t, http.MethodPut, url+"/content", text, header...); resp.StatusCode != status {
		c.t.Fatalf("PUT %s/content: %s: %s", url, resp.Status, said)
	}
}

// hostile uploads what is refused: the storage says why.
func (c *cloud) hostile(good string) {
	c.t.Helper()
	dir := c.t.TempDir()
	if out, err := exec.Command("qemu-img", "convert", "-O", "qcow2", good, filepath.Join(dir, "base")).CombinedOutput(); err != nil {
		c.t.Fatalf("%v: %s", err, out)
	}
	url := c.create("/storage/", entity{Kind: storage, Attributes: map[string]any{"occi.storage.size": 0.25}})
	for want, args := range map[string][]string{
		"backed by another file":  {"qcow2", "-F", "qcow2", "-b", filepath.Join(dir, "base")},
		"data is in another file": {"qcow2", "-o", "data_file=" + filepath.Join(dir, "data")},
		"other files":             {"vmdk", "-o", "subformat=monolithicFlat"},
		"more than the":           {"qcow2"},
	} {
		file := filepath.Join(dir, "hostile")
		size := "1M"
		if len(args) == 1 {
			size = "8T"
		}
		if out, err := exec.Command("qemu-img", append(append([]string{"create", "-q", "-f"}, args...), file, size)...).CombinedOutput(); err != nil {
			c.t.Fatalf("%v: %s", err, out)
		}
		c.put(url, content(c.t, file), 200, "")
		if got := c.get(url); got.state() != "error" || !strings.Contains(got.message(), want) {
			c.t.Errorf("%s: the storage is %v", want, got.Attributes)
		}
	}
	c.send(http.MethodDelete, url, nil)
}

// imageOf waits for the image of a template, and gives its URL.
func (c *cloud) imageOf(template string) string {
	c.t.Helper()
	term := template[strings.LastIndexByte(template, '#')+1:]
	for {
		_, text := c.send(http.MethodGet, c.url+"/mixin/image/", nil)
		var all struct {
			Resources []entity `json:"resources"`
		}
		if err := json.Unmarshal(text, &all); err != nil {
			c.t.Fatal(err)
		}
		for _, x := range all.Resources {
			if x.Title == term && x.state() == "online" && x.message() == "" {
				return c.url + "/storage/" + strings.TrimPrefix(x.ID, "urn:uuid:")
			}
		}
		select {
		case <-c.ctx.Done():
			c.t.Fatalf("there is no image of %s: %s", template, text)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// volumeInfo is what qemu-img tells of a volume.
type volumeInfo struct {
	Size    int64  `json:"virtual-size"`
	Backing string `json:"backing-filename"`
}

const pool = "/var/lib/libvirt/images/occid/"

func info(t *testing.T, c *cloud, h *lab.Host, url string) volumeInfo {
	t.Helper()
	return infoOf(t, c, h, pool+path(url)[len("/storage/"):]+".qcow2")
}

func infoOf(t *testing.T, c *cloud, h *lab.Host, file string) (i volumeInfo) {
	t.Helper()
	text, err := h.Run(c.ctx, "qemu-img", "info", "-U", "--output=json", file)
	if err == nil {
		err = json.Unmarshal(text, &i)
	}
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// overlays lists the files on a host that are backed by the volume of an image.
func (c *cloud) overlays(h *lab.Host, image string) (over []string) {
	c.t.Helper()
	files, err := filepath.Glob(h.Path(pool) + "/*.qcow2")
	if err != nil {
		c.t.Fatal(err)
	}
	for _, file := range files {
		if i := infoOf(c.t, c, h, pool+filepath.Base(file)); filepath.Base(i.Backing) == path(image)[len("/storage/"):]+".qcow2" {
			over = append(over, filepath.Base(file))
		}
	}
	return over
}

// download gets a volume, which is a file that qemu-img takes for good, and has the
// content of another if that is named.
func (c *cloud) download(url, like string) {
	c.t.Helper()
	resp, err := http.Get(url + "/content")
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	file := filepath.Join(c.t.TempDir(), "disk.qcow2")
	f, err := os.Create(file)
	if err != nil {
		c.t.Fatal(err)
	}
	defer f.Close()
	if n, err := io.Copy(f, resp.Body); err != nil || resp.StatusCode != 200 {
		c.t.Fatalf("GET %s: %s, %d bytes, %v", url, resp.Status, n, err)
	}
	if out, err := exec.CommandContext(c.ctx, "qemu-img", "check", "-q", "-f", "qcow2", file).CombinedOutput(); err != nil {
		c.t.Errorf("the download: %v: %s", err, out)
	}
	if like == "" {
		return
	}
	if out, err := exec.CommandContext(c.ctx, "qemu-img", "compare", like, file).CombinedOutput(); err != nil {
		c.t.Errorf("the download of %s: %v: %s", url, err, out)
	}
}

// forget removes a template that an action or a file made.
func (c *cloud) forget(term string) {
	c.t.Helper()
	body := "Category: " + term + `; scheme="` + osTemplate + `"; class="mixin"`
	if resp, text := exchange(c.ctx, c.t, http.MethodDelete, c.url+"/-/", []byte(body), "Content-Type: text/plain"); resp.StatusCode >= 300 {
		c.t.Fatalf("DELETE of the template %s: %s: %s", term, resp.Status, text)
	}
}
