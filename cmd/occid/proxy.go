package main

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/occid/occid/internal/guest"
)

// proxyCommand is the word that makes the program a proxy.
const proxyCommand = "guest-proxy"

// proxyOptions are those of occid guest-proxy.
type proxyOptions struct {
	Server    string   `required:"" env:"OCCID_SERVER" placeholder:"URL" help:"Where the server has --guest-listen: http://ADDR, https://NAME, or unix:PATH."`
	KeyFile   string   `required:"" env:"OCCID_GUEST_KEY_FILE" placeholder:"FILE" help:"File that holds the server's --guest-key-file."`
	Bridges   []string `sep:"," default:"auto" env:"OCCID_GUEST_BRIDGES" placeholder:"NAME" help:"Interfaces to listen on: auto for the networks' own bridges, and names of others."`
	LogFormat string   `enum:"json,text" default:"json" env:"OCCID_LOG_FORMAT" placeholder:"FORMAT" help:"Format of the log, json or text."`
}

// parseProxy reads the options of the proxy.
func parseProxy(args []string) (*proxyOptions, error) {
	o := &proxyOptions{}
	k, err := kong.New(o, kong.Name("occid "+proxyCommand),
		kong.Description("Listen for the machines of this host, and have a server elsewhere answer what they ask about themselves."))
	if err != nil {
		return nil, err
	}
	if _, err := k.Parse(args); err != nil {
		return nil, err
	}
	return o, bridges("--bridges", o.Bridges)
}

// runProxy serves the machines of this host until a signal ends it.
func runProxy(o *proxyOptions, out, log io.Writer) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	context.AfterFunc(ctx, stop)
	key, err := readKey(o.KeyFile)
	if err != nil {
		return fmt.Errorf("--key-file: %w", err)
	}
	to := logger(&options{LogFormat: o.LogFormat}, log)
	p, err := guest.NewProxy(o.Server, key, to)
	if err != nil {
		return fmt.Errorf("--server: %w", err)
	}
	fmt.Fprintf(out, "occid %s answers guests for %s\n", version, o.Server)
	b := &guest.Bridges{Answerer: p, Serves: serves(o.Bridges), Logger: to, Opened: func(name string, at netip.AddrPort) {
		fmt.Fprintf(out, "%s: guests are answered at %s\n", name, at)
	}}
	b.Run(ctx)
	return nil
}

// proxy runs the program as a proxy, if its arguments say so.
func proxy(args []string) (ran bool, err error) {
	if len(args) == 0 || args[0] != proxyCommand {
		return false, nil
	}
	o, err := parseProxy(args[1:])
	if err != nil {
		return true, err
	}
	return true, runProxy(o, os.Stdout, os.Stderr)
}
