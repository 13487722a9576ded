// Labctl makes a virtual machine host in namespaces of its own and runs occid
// with it until it is interrupted.
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

// startTime bounds how long host and server may take to be ready.
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
	guest, err := lab.BuildGuest(dir)
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
	if guest, err = host.Install(guest); err != nil {
		return err
	}
	server, err := lab.StartServer(soon, lab.ServerOptions{
		Binary: binary, Dir: dir, Hosts: []*lab.Host{host}, Listen: listen, Log: os.Stderr})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	fmt.Print(welcome(server.URL, guest))
	select {
	case <-ctx.Done():
	case <-server.Done():
	}
	return nil
}

// welcome says what there is and shows how to use it.
func welcome(url string, g lab.Guest) string {
	return strings.NewReplacer("URL", url, "KERNEL", g.Kernel, "INITRD", g.Initrd, "CMDLINE", lab.Cmdline).Replace(`
occid listens on URL with one host. Interrupt to end both. Try:

  curl -fsS -H 'Content-Type: application/json' -d '{"type":"compute","title":"guest","memory":"0.25 GiB","mixins":["http://schemas.occid.org/occi/core#direct_boot"],"kernel":"KERNEL","initrd":"INITRD","cmdline":"CMDLINE"}' URL/compute/
  curl -fsS -X POST -H 'Prefer: wait=10' "$(curl -fsS URL/compute/.uri | head -1)?action=start"
  curl -fsS URL/compute/.txt

`)
}
