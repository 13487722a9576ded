// Labctl makes a virtual machine host in namespaces of its own and runs occid
// with it, an image and a network, until it is interrupted.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/occid/occid/internal/lab"
)

// startTime bounds how long host and server may take to be ready and furnished.
const startTime = time.Minute

func main() {
	binary := flag.String("occid", "bin/occid", "path of the server")
	listen := flag.String("listen", "127.0.0.1:8787", "loopback address and port it listens on")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *binary, *listen); err != nil {
		fmt.Fprintln(os.Stderr, "labctl:", err)
		os.Exit(1)
	}
}

// run keeps a lab until ctx ends and leaves nothing of it.
func run(ctx context.Context, binary, listen string) (err error) {
	if err := lab.Available(); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "occid-lab-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	image, err := lab.BuildImage(dir)
	if err != nil {
		return err
	}
	soon, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	host, err := lab.NewHost(soon, lab.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, host.Close()) }()
	server, err := lab.StartServer(soon, lab.ServerOptions{
		Binary: binary, Dir: dir, Hosts: []*lab.Host{host}, Listen: listen, Log: os.Stderr})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	has, err := lab.Furnish(soon, server.URL, image)
	if err != nil {
		return err
	}
	fmt.Print(welcome(server.URL, host, has))
	select {
	case <-ctx.Done():
	case <-server.Done():
	}
	return nil
}

// asking is a script for the machine that the greeting makes: it shows what the
// metadata service tells.
const asking = `#!/bin/sh\nuntil [ -e /run/address-eth0 ]; do usleep 50000; done\nwget -q -O - http://169.254.169.254/.txt\n`

// welcome says what there is and shows how to use it.
func welcome(url string, host *lab.Host, has lab.Furnished) string {
	return strings.NewReplacer("URL", url, "TEMPLATE", has.Template, "NETWORK", strings.TrimPrefix(has.Network, url), "ASKING", asking,
		"CONSOLES", host.Path(lab.ConsoleDir), "LIBVIRT", host.URI).Replace(`
occid listens on URL with one host, an OS template and a network. The host's libvirt is
LIBVIRT
Interrupt to end them. A machine of the template, what it is, its console, on which it shows
what the metadata service tells it, and its end:

  VM=$(curl -fsS -o /dev/null -w '%header{location}' -H 'Prefer: wait=60' -H 'Content-Type: application/json' -d '{"type":"compute","title":"guest","memory":"0.25 GiB","mixins":["TEMPLATE"],"links":[{"kind":"networkinterface","target":"NETWORK"}],"userdata":"ASKING"}' URL/compute/)
  curl -fsS $VM.txt
  tail -n +1 -F CONSOLES/${VM##*/}.log
  curl -fsS -X DELETE -H 'Prefer: wait=60' $VM

`)
}
