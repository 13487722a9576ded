// Command occid serves the hosts of libvirt as a cloud with an OCCI interface. As
// occid guest-proxy it passes on what the machines of a host without a server ask, as
// occid audit it looks after the audit trail, and as occid policies it tells what
// policies can say.
//
// Options are flags, OCCID_... variables of the environment or keys of a YAML
// file, in this order of precedence. SIGHUP loads the registry, the policies, the certificate
// and the rules of logins again and takes in new images; SIGTERM and SIGINT end the server once
// the requests under way are answered.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/occid/occid/occi"
)

// version is set by the linker.
var version = "dev"

// gcPercent is how far memory may grow between collections of garbage, in percent
// of what is in use: a server that is in a hurry makes much of it, and what is in
// use is little.
const gcPercent = 200

// command is the program; it ends the process if something fails.
func command(between seams) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	ran, err := proxy(os.Args[1:])
	if !ran {
		ran, err = audit(os.Args[1:])
	}
	if !ran {
		ran, err = policies(os.Args[1:])
	}
	if !ran {
		err = serve(os.Args[1:], between)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "occid: %s\n", explain(err))
		os.Exit(1)
	}
}

// serve is the program without a command.
func serve(args []string, between seams) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	return run(o, os.Stdout, os.Stderr, between)
}

// run serves until a signal ends it. What people read goes to out, the log to
// log.
func run(o *options, out, log io.Writer, between seams) error {
	// A second signal kills, as if there were no handler.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	context.AfterFunc(ctx, stop)
	s, err := build(ctx, o, log, between)
	if err != nil {
		return err
	}
	defer s.close()
	return s.serve(ctx, out)
}

// explain writes every problem of an error on a line of its own.
func explain(err error) string {
	text := err.Error()
	var e *occi.Error
	if errors.As(err, &e) && len(e.Problems) > 1 {
		text = e.Message + ":"
		for _, p := range e.Problems {
			text += "\n  " + p.String()
		}
	}
	return text
}
