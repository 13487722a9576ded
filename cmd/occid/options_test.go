package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const day = 24 * time.Hour

func TestOptions(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	config := file("occid.yaml", "listen: 127.0.0.1:1\ndata: /from/file\nlibvirt: [test:///default, qemu:///system]\ndev: true\n")
	secret := file("dsn", "postgres://occid:secret@db/occid\n")
	for _, x := range []struct {
		name string
		args []string
		env  map[string]string
		want func(*options) // how the options differ from the defaults
	}{
		{"nothing", nil, nil, func(*options) {}},
		{"a file", []string{"--config", config}, nil, func(o *options) {
			o.Listen, o.DB, o.Libvirt = "127.0.0.1:1", "sqlite:/from/file/occid.db", []string{"test:///default", "qemu:///system"}
			o.Data, o.Dev, o.Config = "/from/file", true, config
		}},
		{"flags over variables over a file", []string{"--listen", "127.0.0.1:3"},
			map[string]string{"OCCID_CONFIG": config, "OCCID_LISTEN": "127.0.0.1:2", "OCCID_DATA": "/from/env", "OCCID_LIBVIRT": "a:///,b:///"},
			func(o *options) {
				o.Listen, o.DB, o.Libvirt = "127.0.0.1:3", "sqlite:/from/env/occid.db", []string{"a:///", "b:///"}
				o.Data, o.Dev, o.Config = "/from/env", true, config
			}},
		{"how long to keep", []string{"--keep-keys", "0", "--keep-events", "1h"}, map[string]string{"OCCID_KEEP_TASKS": "90m"}, func(o *options) {
			o.KeepTasks, o.KeepKeys, o.KeepEvents = 90*time.Minute, 0, time.Hour
		}},
		{"guests", []string{"--guest-bridges", "none", "--guest-listen", "unix:/run/x", "--guest-key-file", "k"}, nil, func(o *options) {
			o.GuestBridges, o.GuestListen, o.GuestKeyFile = []string{"none"}, "unix:/run/x", "k"
		}},
		{"statistics", []string{"--statistics", "all", "--statistics-interval", "1m"}, nil, func(o *options) {
			o.Statistics, o.Observe = "all", time.Minute
		}},
		{"quotas", []string{"--project-quota", "cores=3,memory=4GiB"}, map[string]string{"OCCID_USER_QUOTA": "requests=9"}, func(o *options) {
			o.Quotas.ProjectQuota, o.Quotas.UserQuota = []string{"cores=3", "memory=4GiB"}, []string{"requests=9"}
		}},
		{"metrics", []string{"--metrics-listen", "127.0.0.1:9"}, nil, func(o *options) { o.MetricsListen = "127.0.0.1:9" }},
		{"for others by TLS", []string{"--listen", "192.0.2.1:8", "--metrics-listen", "192.0.2.1:9", "--tls-self-signed"}, nil, func(o *options) {
			o.Listen, o.MetricsListen, o.Web.SelfSigned = "192.0.2.1:8", "192.0.2.1:9", true
		}},
		{"for others without", []string{"--listen", "192.0.2.1:8", "--metrics-listen", ":9"}, map[string]string{"OCCID_INSECURE_HTTP": "true"}, func(o *options) {
			o.Listen, o.MetricsListen, o.Web.Insecure = "192.0.2.1:8", ":9", true
		}},
		{"a socket", []string{"--metrics-listen", "unix:/run/x"}, nil, func(o *options) { o.MetricsListen = "unix:/run/x" }},
		{"images", []string{"--images", dir, "--image-hosts", "a,*.b", "--image-private", "--max-image", "3MiB", "--keep-uploads", "1h"}, nil, func(o *options) {
			o.Images, o.ImageHosts, o.ImagePrivate, o.MaxImage, o.KeepUploads = dir, []string{"a", "*.b"}, true, 3<<20, time.Hour
		}},
		{"TLS", []string{"--tls-cert", "c"}, map[string]string{"OCCID_TLS_KEY": "k"}, func(o *options) { o.Web.Cert, o.Web.Key = "c", "k" }},
		{"proxies", []string{"--trusted-proxies", "192.0.2.1,2001:db8::/32"}, nil, func(o *options) { o.Web.Proxies = []string{"192.0.2.1", "2001:db8::/32"} }},
		{"origins", []string{"--cors-origin", "https://a,http://b:8080"}, nil, func(o *options) { o.Web.Origins = []string{"https://a", "http://b:8080"} }},
		{"bounds", []string{"--max-connections", "5"}, map[string]string{"OCCID_MAX_STREAMS": "3"}, func(o *options) { o.Web.Connections, o.Web.Streams = 5, 3 }},
		{"ACME", []string{"--tls-acme", "a.example,b.example", "--tls-acme-directory", "https://ca/dir", "--listen", ":443"}, map[string]string{"OCCID_TLS_ACME_CA": "x"}, func(o *options) {
			o.Listen, o.Web.ACME, o.Web.ACMEDirectory, o.Web.ACMECA = ":443", []string{"a.example", "b.example"}, "https://ca/dir", "x"
		}},
		{"a secret", nil, map[string]string{"OCCID_DB_FILE": secret}, func(o *options) {
			o.DB, o.DBFile = "postgres://occid:secret@db/occid", secret
		}},
	} {
		t.Run(x.name, func(t *testing.T) {
			for name, value := range x.env {
				t.Setenv(name, value)
			}
			got, err := parse(x.args)
			if err != nil {
				t.Fatal(err)
			}
			want := options{Listen: "127.0.0.1:8787", DB: "sqlite:data/occid.db", Libvirt: []string{"test:///default"}, Data: "data", LogFormat: "json", LogLevel: "info",
				Auth: []string{"basic", "token", "session"}, GuestBridges: []string{"auto"}, Acceleration: "auto", KeepTasks: 7 * day, KeepKeys: day, KeepEvents: day, BootDirs: []string{"/var/lib/libvirt/boot"},
				Placement: "spread", Statistics: "asked", Observe: 15 * time.Second, MaxImage: 64 << 30, KeepUploads: day, FenceAfter: time.Minute, FenceTime: time.Minute,
				Login: loginOptions{Algorithms: []string{"RS256", "PS256", "ES256", "EdDSA"}, Scopes: []string{"profile", "email"}, LoginClaim: "preferred_username", ProgramTime: 5 * time.Second, ProgramMost: 8},
				Web:   webOptions{ACMEDirectory: "https://acme-v02.api.letsencrypt.org/directory", Connections: 4096, Streams: 1024}}
			x.want(&want)
			if d := cmp.Diff(want, *got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestBadOptions(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for i, x := range []struct {
		args   []string
		file   string
		errors []string
	}{
		{[]string{"--listen", "0.0.0.0:8787"}, "", []string{"--listen", "0.0.0.0:8787", "loopback", "--tls-cert", "--tls-self-signed", "--insecure-http"}},
		{[]string{"--listen", ":8787", "--dev"}, "", []string{"--listen", "loopback"}},
		{[]string{"--listen", "[::]:8787"}, "", []string{"loopback"}},
		{[]string{"--listen", "198.51.100.1:8787", "--dev"}, "", []string{"loopback", "--dev"}},
		{[]string{"--listen", "198.51.100.1:8787", "--dev", "--tls-self-signed"}, "", []string{"loopback", "--dev"}},
		{[]string{"--listen", "198.51.100.1:8787", "--dev", "--insecure-http"}, "", []string{"loopback", "--dev"}},
		{[]string{"--metrics-listen", "198.51.100.1:8787"}, "", []string{"--metrics-listen", "198.51.100.1:8787", "--insecure-http"}},
		{[]string{"--metrics-listen", "nonsense"}, "", []string{"--metrics-listen", "nonsense"}},
		{[]string{"--listen", "nonsense"}, "", []string{"--listen", "nonsense"}},
		{[]string{"--max-image", "64GB"}, "", []string{"--max-image", "64GB", "64GiB"}},
		{[]string{"--max-image", "0"}, "", []string{"--max-image"}},
		{[]string{"--keep-uploads", "1s"}, "", []string{"--keep-uploads"}},
		{[]string{"--db", "sqlite:x", "--db-file", "y"}, "", []string{"--db", "--db-file"}},
		{[]string{"--db-file", filepath.Join(dir, "none")}, "", []string{"--db-file", "none"}},
		{[]string{"--libvirt", "a:///,a:///"}, "", []string{"a:///", "twice"}},
		{[]string{"--log-format", "xml"}, "", []string{"log-format"}},
		{[]string{"--bridges", "br0,br0.7"}, "", []string{"--bridges", "br0.7"}},
		{[]string{"--keep-tasks", "59s"}, "", []string{"--keep-tasks", "59s"}},
		{[]string{"--keep-keys=-1h"}, "", []string{"--keep-keys", "-1h"}},
		{[]string{"--statistics-interval", "1ms"}, "", []string{"--statistics-interval", "1ms"}},
		{[]string{"--statistics", "some"}, "", []string{"statistics", "some"}},
		{[]string{"--guest-bridges", "none,br0"}, "", []string{"--guest-bridges", "none,br0"}},
		{[]string{"--guest-bridges", ","}, "", []string{"--guest-bridges"}},
		{[]string{"--guest-key-file", "x"}, "", []string{"--guest-key-file", "--guest-listen"}},
		{[]string{"--tls-cert", "x"}, "", []string{"--tls-cert", "--tls-key"}},
		{[]string{"--tls-key", "x"}, "", []string{"--tls-cert", "--tls-key"}},
		{[]string{"--tls-cert", "x", "--tls-key", "y"}, "tls-self-signed: true\n", []string{"--tls-cert", "--tls-self-signed"}},
		{[]string{"--trusted-proxies", "192.0.2.1/33"}, "", []string{"--trusted-proxies", "192.0.2.1/33"}},
		{[]string{"--trusted-proxies", "proxy"}, "", []string{"--trusted-proxies", "proxy"}},
		{[]string{"--cors-origin", "portal.example.org"}, "", []string{"--cors-origin", "portal.example.org"}},
		{nil, "cors-origin: [https://a, '*']\n", []string{"--cors-origin", `"*"`}},
		{[]string{"--max-connections", "0"}, "", []string{"--max-connections", "0"}},
		{[]string{"--max-streams=-1"}, "", []string{"--max-streams", "-1"}},
		{[]string{"--tls-acme", "a.example", "--tls-self-signed"}, "", []string{"--tls-acme", "--tls-self-signed"}},
		{[]string{"--tls-acme", "localhost"}, "", []string{"--tls-acme", "localhost"}},
		{[]string{"--tls-acme", "192.0.2.1"}, "", []string{"--tls-acme", "192.0.2.1"}},
		{[]string{"--tls-acme", "*.example.org"}, "", []string{"--tls-acme", "*.example.org"}},
		{[]string{"--tls-acme-directory", "http://ca/dir"}, "", []string{"--tls-acme-directory", "http://ca/dir"}},
		{nil, "keep-tasks: 7 days\n", []string{"keep-tasks", "7 days"}},
		{[]string{"--nonsense"}, "", []string{"--nonsense"}},
		{[]string{"surplus"}, "", []string{"surplus"}},
		{nil, "listen: 127.0.0.1:1\nlisten: 127.0.0.1:2\n", []string{"listen", "line 2"}},
		{nil, "data: x\nportt: 1\n", []string{"portt", "line 2"}},
		{nil, "config: other.yaml\n", []string{"config"}},
		{nil, "data: [a, b]\n", []string{"line 1", "data"}},
		{nil, "libvirt: {a: b}\n", []string{"line 1", "libvirt"}},
		{nil, "dev: perhaps\n", []string{"dev", "perhaps"}},
		{nil, "- a\n", []string{"yaml"}},
		{[]string{"--config", filepath.Join(dir, "missing.yaml")}, "", []string{"--config", "missing.yaml"}},
	} {
		if x.file != "" {
			path := filepath.Join(dir, string(rune('a'+i))+".yaml")
			if err := os.WriteFile(path, []byte(x.file), 0o600); err != nil {
				t.Fatal(err)
			}
			x.args = append(x.args, "--config", path)
		}
		_, err := parse(x.args)
		if err == nil {
			t.Errorf("%q %q is taken", x.args, x.file)
			continue
		}
		for _, word := range x.errors {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("%q %q: the error %q lacks %q", x.args, x.file, err, word)
			}
		}
	}
}

func TestWorkerNamesLast(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "worker")
	first, err := workerName(path)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := workerName(path); err != nil || again != first {
		t.Errorf("after a restart: %q, %v; want %q", again, err, first)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := workerName(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("an empty file gives %v", err)
	}
}
