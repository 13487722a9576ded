package main

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/occid/occid/hypervisor"
	"github.com/occid/occid/hypervisor/libvirt"
)

// options are what an operator can set. The name of an option is that of its
// flag and of its key in the configuration file.
type options struct {
	Listen        string        `default:"127.0.0.1:8787" env:"OCCID_LISTEN" placeholder:"ADDR" help:"Address to serve; one that others can reach needs a certificate, or --insecure-http."`
	DB            string        `name:"db" env:"OCCID_DB" placeholder:"DSN" help:"Database, sqlite:PATH or a postgres:// URL (default: occid.db in --data)."`
	DBFile        string        `name:"db-file" env:"OCCID_DB_FILE" placeholder:"FILE" help:"File that holds --db, which may contain a password."`
	Libvirt       []string      `sep:"," default:"test:///default" env:"OCCID_LIBVIRT" placeholder:"URI" help:"Connection URIs of the hosts; none if all are added through the API."`
	Data          string        `default:"data" env:"OCCID_DATA" placeholder:"DIR" help:"Directory for what the server keeps."`
	Spec          string        `env:"OCCID_SPEC" placeholder:"DIR" help:"Directory of further registry files (default: registry in --data, if it exists)."`
	Acceleration  string        `enum:"auto,kvm,qemu" default:"auto" env:"OCCID_ACCELERATION" placeholder:"HOW" help:"How processors of machines run: kvm, qemu (emulated), or auto for what the host offers."`
	BootDirs      []string      `sep:"," default:"/var/lib/libvirt/boot" env:"OCCID_BOOT_DIRS" placeholder:"DIR" help:"Directories on the hosts whose kernels may be booted directly."`
	Bridges       []string      `sep:"," env:"OCCID_BRIDGES" placeholder:"NAME" help:"Bridges of the hosts that networks may be bridged to; BRIDGE.VLAN=NAME offers the bridge NAME for a VLAN."`
	AllowSpoofing bool          `env:"OCCID_ALLOW_SPOOFING" help:"Let guests send with addresses that are not theirs."`
	KeepStopped   bool          `env:"OCCID_KEEP_STOPPED" help:"Leave machines made of an OS template stopped."`
	KeepTasks     time.Duration `default:"168h" env:"OCCID_KEEP_TASKS" placeholder:"TIME" help:"How long tasks are shown once they are over, as in 168h; 0 for ever."`
	KeepKeys      time.Duration `default:"24h" env:"OCCID_KEEP_KEYS" placeholder:"TIME" help:"How long a request with an Idempotency-Key can be repeated; 0 for ever."`
	KeepEvents    time.Duration `default:"24h" env:"OCCID_KEEP_EVENTS" placeholder:"TIME" help:"How long events of /events can be read, as in 24h; 0 for ever."`
	LogFormat     string        `enum:"json,text" default:"json" env:"OCCID_LOG_FORMAT" placeholder:"FORMAT" help:"Format of the log, json or text."`
	LogLevel      string        `enum:"debug,info,warn,error" default:"info" env:"OCCID_LOG_LEVEL" placeholder:"LEVEL" help:"What is logged: debug, info, warn or error."`
	Dev           bool          `env:"OCCID_DEV" help:"Serve without authentication, and show how to begin."`

	Auth            []string `sep:"," default:"basic,token,session" env:"OCCID_AUTH" placeholder:"HOW" help:"Ways to log in, the first in front: basic, token, session, oidc, cert and external."`
	Policies        string   `env:"OCCID_POLICIES" placeholder:"DIR" help:"Directory of Cedar policies, files that end in .cedar, which say who may do what beside the program's own; see occid policies --help."`
	AdminSecretFile string   `env:"OCCID_ADMIN_SECRET_FILE" placeholder:"FILE" help:"File with the secret of the administrator that is made if there is no user; without it one is made up and shown."`

	Login loginOptions `embed:""`

	GuestBridges []string `sep:"," default:"auto" env:"OCCID_GUEST_BRIDGES" placeholder:"NAME" help:"Interfaces of this host at which machines ask about themselves: auto for the networks' own bridges, and names of others; or none."`
	GuestListen  string   `env:"OCCID_GUEST_LISTEN" placeholder:"ADDR" help:"Address at which occid guest-proxy of other hosts is answered, ADDR or unix:PATH."`
	GuestKeyFile string   `env:"OCCID_GUEST_KEY_FILE" placeholder:"FILE" help:"File with the key that proxies share (default: guest.key in --data, made if it is missing)."`

	Statistics   string        `enum:"asked,all" default:"asked" env:"OCCID_STATISTICS" placeholder:"WHICH" help:"Which machines show what they use: those asked for by the mixin statistics, or all."`
	Observe      time.Duration `name:"statistics-interval" default:"15s" env:"OCCID_STATISTICS_INTERVAL" placeholder:"TIME" help:"How often the hosts are asked for that; 0 for never."`
	Images       string        `env:"OCCID_IMAGES" placeholder:"DIR" help:"Directory of images that become OS templates (default: images in --data, if it exists)."`
	ImageHosts   []string      `sep:"," env:"OCCID_IMAGE_HOSTS" placeholder:"HOST" help:"Hosts that images may be fetched from by https, *.example.org for all below; none by default."`
	ImagePrivate bool          `env:"OCCID_IMAGE_PRIVATE" help:"Fetch images from addresses that are not public, too."`
	ImageCA      string        `name:"image-ca" env:"OCCID_IMAGE_CA" placeholder:"FILE" help:"Certificates to trust beside the system's where images are fetched from."`
	MaxImage     size          `default:"64GiB" env:"OCCID_MAX_IMAGE" placeholder:"SIZE" help:"How large the file of an image may be."`
	KeepUploads  time.Duration `default:"24h" env:"OCCID_KEEP_UPLOADS" placeholder:"TIME" help:"How long an upload that has not come to its end is kept; 0 for ever."`

	MetricsListen string `env:"OCCID_METRICS_LISTEN" placeholder:"ADDR" help:"Address at which /metrics is shown in place of --listen, ADDR or unix:PATH, or none for no metrics at all."`

	Web webOptions `embed:""`

	Pools []string `sep:";" env:"OCCID_POOLS" placeholder:"POOL" help:"Pools of storages, as NAME=dir:DIR, NAME=logical:GROUP or NAME=nfs:SERVER:PATH, followed by ,overcommit=1.5 ,capacity=100GiB ,default ,unlimited ,shared ,target=DIR or ,host=URI."`

	Hosts     []string `sep:";" env:"OCCID_HOSTS" placeholder:"HOST" help:"What machines may have of hosts, as URI followed by ,name=NAME ,label=WORD ,cores=N ,memory=64GiB ,cores-overcommit=4 ,memory-overcommit=1 or ,unlimited."`
	Placement string   `enum:"spread,pack" default:"spread" env:"OCCID_PLACEMENT" placeholder:"HOW" help:"Where machines are placed: spread, where least is taken, or pack, where most is."`

	Quotas quotaOptions `embed:""`

	SignKey string `env:"OCCID_SIGN_KEY" placeholder:"FILE" help:"Private key and certificate, PEM, that XML is signed with where that is asked for (default: those of --tls-cert or --tls-self-signed, or sign.key and sign.crt in --data, made if they are missing)."`

	FenceCommand string        `env:"OCCID_FENCE_COMMAND" placeholder:"COMMAND" help:"Program that makes sure nothing runs on a lost host, with its arguments separated by spaces; without it no machine is restarted elsewhere."`
	FenceAfter   time.Duration `default:"60s" env:"OCCID_FENCE_AFTER" placeholder:"TIME" help:"How long no server must have reached a host before it is fenced."`
	FenceTime    time.Duration `default:"60s" env:"OCCID_FENCE_TIME" placeholder:"TIME" help:"How long the fence command may take."`

	Config  string           `env:"OCCID_CONFIG" placeholder:"FILE" help:"YAML file of these options."`
	Version kong.VersionFlag `help:"Print the version and end."`
}

// size is a number of bytes, written with a unit as in 64GiB.
type size int64

// UnmarshalText reads a size.
func (s *size) UnmarshalText(text []byte) error {
	number := strings.TrimRight(string(text), "KMGTiB")
	unit, known := map[string]int64{"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}[string(text)[len(number):]]
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || !known || n <= 0 || n > 1<<50/unit {
		return fmt.Errorf("%q is no size such as 64GiB", text)
	}
	*s = size(n * unit)
	return nil
}

// parse reads the options and checks what can be checked of them alone.
func parse(args []string) (*options, error) {
	o, err := read(args)
	if err != nil {
		return nil, err
	}
	if o.Config != "" {
		file, err := readFile(o.Config)
		if err != nil {
			return nil, err
		}
		if o, err = read(args, kong.Resolvers(file)); err != nil {
			return nil, err
		}
	}
	if err := o.finish(); err != nil {
		return nil, err
	}
	return o, nil
}

func read(args []string, more ...kong.Option) (*options, error) {
	o := &options{}
	settings := append([]kong.Option{
		kong.Name("occid"), kong.Vars{"version": version},
		kong.Description("Serve the hosts of libvirt as a cloud with an OCCI interface. See also occid guest-proxy, occid audit and occid policies with --help."),
	}, more...)
	k, err := kong.New(o, settings...)
	if err != nil {
		return nil, err
	}
	if _, err := k.Parse(args); err != nil {
		return nil, err
	}
	return o, nil
}

// finish fills in what depends on other options.
func (o *options) finish() error {
	if err := o.checkWeb(); err != nil {
		return err
	}
	if err := o.Login.check(); err != nil {
		return err
	}
	if err := errors.Join(keeps("--keep-tasks", o.KeepTasks), keeps("--keep-keys", o.KeepKeys), keeps("--keep-events", o.KeepEvents),
		keeps("--keep-uploads", o.KeepUploads), observes(o.Observe)); err != nil {
		return err
	}
	if err := o.checkFence(); err != nil {
		return err
	}
	if err := bridges("--guest-bridges", o.GuestBridges); err != nil {
		return err
	}
	if o.GuestKeyFile != "" && o.GuestListen == "" {
		return errors.New("--guest-key-file is for --guest-listen, which is missing")
	}
	if _, err := o.bridges(); err != nil {
		return err
	}
	if standard := filepath.Join(o.Data, "images"); o.Images == "" {
		if info, err := os.Stat(standard); err == nil && info.IsDir() {
			o.Images = standard
		}
	}
	if slices.Equal(o.Libvirt, []string{"none"}) {
		o.Libvirt = nil
	}
	seen := map[string]bool{}
	for _, uri := range o.Libvirt {
		if u, err := url.Parse(uri); err == nil && u.User != nil {
			if _, secret := u.User.Password(); secret {
				return errors.New("--libvirt: a URI holds a password, which everybody who sees the host would see")
			}
		}
		if uri == "" || seen[uri] {
			return fmt.Errorf("--libvirt: the host %q is empty or named twice", uri)
		}
		seen[uri] = true
	}
	if err := errors.Join(o.checkHosts(), o.checkPools()); err != nil {
		return err
	}
	switch {
	case o.DB != "" && o.DBFile != "":
		return errors.New("--db and --db-file exclude each other")
	case o.DBFile != "":
		var err error
		if o.DB, err = readDSN(o.DBFile); err != nil {
			return err
		}
	case o.DB == "":
		o.DB = "sqlite:" + filepath.Join(o.Data, "occid.db")
	}
	return nil
}

// readDSN reads the file that --db-file names.
func readDSN(file string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("--db-file: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

// observes refuses to do nothing but ask hosts.
func observes(interval time.Duration) error {
	if interval != 0 && interval < time.Second {
		return fmt.Errorf("--statistics-interval: %s is neither 0 nor a second or more", interval)
	}
	return nil
}

// bridges refuses a list of interfaces that is none.
func bridges(option string, names []string) error {
	if len(names) == 0 || slices.Contains(names, "") || len(names) > 1 && slices.Contains(names, "none") {
		return fmt.Errorf("%s: %q is neither none nor auto and names of interfaces", option, strings.Join(names, ","))
	}
	return nil
}

// serves reports for each interface whether it is of such a list.
func serves(names []string) func(name string) bool {
	return func(name string) bool {
		return slices.Contains(names, name) || slices.Contains(names, "auto") && libvirt.IsBridge(name)
	}
}

// bridges reads what bridges are offered to networks.
func (o *options) bridges() (hypervisor.Bridges, error) {
	b, err := hypervisor.ParseBridges(o.Bridges)
	if err != nil {
		return nil, fmt.Errorf("--bridges: %w", err)
	}
	return b, nil
}

// keeps refuses to forget at once what clients are about to ask for.
func keeps(name string, age time.Duration) error {
	if age != 0 && age < time.Minute {
		return fmt.Errorf("%s: %s is neither 0 nor a minute or more", name, age)
	}
	return nil
}
