package libvirt

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"
)

// uriPaths are what is connected to, by the driver of a URI.
var uriPaths = map[string][]string{"qemu": {"/system", "/session"}, "test": {"/default"}}

// uriTransports are the ways to a host. libvirt knows one more, which runs a program.
var uriTransports = []string{"", "unix", "ssh", "libssh2", "libssh", "tls", "tcp"}

// uriParameters are those of libvirt that neither run programs of this machine nor carry
// secrets.
var uriParameters = []string{"socket", "mode", "keyfile", "known_hosts", "known_hosts_verify", "sshauth", "no_tty", "pkipath", "tls_priority"}

// CheckURI says what is wrong with a URI that somebody wants this machine to connect to,
// nil if nothing is. Fewer are right than libvirt could open: none that holds a secret,
// none that has this machine run a program or read a file as a description of a host.
func CheckURI(uri string) error {
	u, err := url.Parse(uri)
	if err != nil || u.Opaque != "" || u.Fragment != "" {
		return errors.New("it is not a URI such as qemu+ssh://host/system")
	}
	driver, transport, _ := strings.Cut(u.Scheme, "+")
	paths := uriPaths[driver]
	if paths == nil || !slices.Contains(uriTransports, transport) {
		return fmt.Errorf("%q is not qemu or test, alone or with + and unix, ssh, libssh2, libssh, tls or tcp", u.Scheme)
	}
	if !slices.Contains(paths, u.Path) {
		return fmt.Errorf("the path %q is not %s", u.Path, strings.Join(paths, " or "))
	}
	if _, secret := u.User.Password(); secret {
		return errors.New("it holds a password, which everybody who sees the host would see")
	}
	// ssh would take them for options.
	if strings.HasPrefix(u.Host, "-") || strings.HasPrefix(u.User.Username(), "-") {
		return errors.New("neither a host nor a user begins with a hyphen")
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return errors.New("its parameters cannot be read")
	}
	for name, values := range query {
		switch {
		case !slices.Contains(uriParameters, name):
			return fmt.Errorf("the parameter %q is not one of %s", name, strings.Join(uriParameters, ", "))
		case name == "socket" && !path.IsAbs(values[0]):
			return errors.New("the socket is not an absolute path")
		}
	}
	return nil
}
