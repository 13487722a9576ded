// Command occi talks to an OCCI server: it lists, shows, creates, changes, acts on
// and deletes what the server has.
//
// It ends with status 0 if the server did what was asked, 1 if something failed,
// and 2 if the command line is wrong.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

// version is set by the linker.
var version = "dev"

// Exit statuses.
const (
	statusFailed = 1
	statusUsage  = 2
)

// streams are what the program reads and writes.
type streams struct {
	in       io.Reader
	out, err io.Writer
	terminal bool // out is read by a person
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	status := run(ctx, os.Args[1:], streams{in: os.Stdin, out: os.Stdout, err: os.Stderr, terminal: isTerminal(os.Stdout)})
	stop()
	os.Exit(status)
}

func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// run is the program; it gives the status to end with.
func run(ctx context.Context, args []string, std streams) int {
	var c command
	ended := false // by a flag that only shows something
	k, err := kong.New(&c, kong.Name("occi"), kong.Vars{"version": version, "formats": formatNames},
		kong.Description("Talk to an OCCI server."),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Writers(std.out, std.err), kong.Exit(func(int) { ended = true }))
	if err != nil {
		fmt.Fprintf(std.err, "occi: %s\n", err)
		return statusFailed
	}
	parsed, err := k.Parse(args)
	if ended {
		return 0
	}
	if err == nil {
		parsed.BindTo(ctx, (*context.Context)(nil))
		err = parsed.Run(newClient(&c, std))
	}
	if err == nil {
		return 0
	}
	fmt.Fprintf(std.err, "occi: %s\n", err)
	if wrong := (*kong.ParseError)(nil); errors.As(err, &wrong) {
		return statusUsage
	}
	return statusFailed
}
