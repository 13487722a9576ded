package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/occid/occid/render"
)

// command is the command line.
type command struct {
	Server string `env:"OCCI_SERVER" default:"http://127.0.0.1:8787" placeholder:"URL" help:"Server to talk to (default: ${default})."`
	Output string `short:"o" enum:"auto,${formats}" default:"auto" placeholder:"FORMAT" help:"Show things as one of ${enum}; auto is a table for lists in a terminal and text for all else."`

	User    string `env:"OCCI_USER" placeholder:"NAME:SECRET" help:"Log in as a user; without :SECRET that is $$OCCI_SECRET."`
	Token   string `env:"OCCI_TOKEN" placeholder:"TOKEN" help:"Log in with a token."`
	Project string `env:"OCCI_PROJECT" placeholder:"PROJECT" help:"Project to work in, of several; its title or UUID."`

	Wait uint16 `placeholder:"SECONDS" help:"Wait for the outcome of a change and fail if it is not reached; a server may wait less."`

	List   listCommand   `cmd:"" help:"List entities."`
	Show   showCommand   `cmd:"" help:"Show entities."`
	Create createCommand `cmd:"" help:"Create an entity."`
	Update updateCommand `cmd:"" help:"Change an entity."`
	Delete deleteCommand `cmd:"" help:"Delete entities."`
	Do     doCommand     `cmd:"" help:"Invoke an action on an entity."`
	Tasks  tasksCommand  `cmd:"" help:"List what was asked of an entity, and how far it is."`
	Kinds  kindsCommand  `cmd:"" help:"List what the server knows: kinds, mixins, actions."`

	Version kong.VersionFlag `help:"Print the version and end."`
}

// Validate refuses a server that cannot be asked.
func (c *command) Validate() error {
	u, err := url.Parse(c.Server)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" {
		return fmt.Errorf("--server: %q is not the URL of a server", c.Server)
	}
	if c.User != "" && c.Token != "" {
		return errors.New("--user and --token exclude each other")
	}
	return nil
}

type listCommand struct {
	Kind   collection `arg:"" help:"Kind, or another collection: compute, storage/UUID/compute, / for everything."`
	Filter []filter   `arg:"" optional:"" sep:"none" help:"Conditions such as cores=2, memory.ge=4, state=active, q=TEXT."`
	Sort   string     `placeholder:"KEY" help:"Sort by an attribute; --sort=-KEY reverses."`
	All    bool       `help:"List every page, not only the first."`
	Number uint       `placeholder:"N" help:"Entities on a page (default: 50, with --all 1000)."`
}

// query is what is asked of the server. A format that cannot tell of a next page
// is asked for the whole list unless a number is given.
func (l *listCommand) query(f *render.Format) string {
	var parts []string
	for _, x := range l.Filter {
		parts = append(parts, x.query)
	}
	if l.Sort != "" {
		parts = append(parts, "sort="+url.QueryEscape(l.Sort))
	}
	number := l.Number
	switch {
	case f.Standard && (l.All || number == 0):
		return strings.Join(parts, "&")
	case number == 0 && l.All:
		number = 1000
	case number == 0:
		number = 50
	}
	return strings.Join(append(parts, "number="+strconv.FormatUint(uint64(number), 10)), "&")
}

// maxPages bounds how far a list is followed.
const maxPages = 100_000

// Run follows the list from page to page as far as is wanted.
func (l *listCommand) Run(ctx context.Context, c *client) error {
	f := c.listFormat()
	next := c.url(l.Kind.path)
	if q := l.query(f); q != "" {
		next += "?" + q
	}
	return c.showList(func(show func(io.Reader) error) error {
		for n := 0; n < maxPages && next != "" && (n == 0 || l.All); n++ {
			a, err := c.ask(ctx, request{method: http.MethodGet, url: next, accept: f})
			if err != nil {
				return err
			}
			next = a.next()
			if err := a.read(show); err != nil {
				return err
			}
		}
		if next != "" {
			fmt.Fprintln(c.std.err, "occi: this is not all; --all lists every page")
		}
		return nil
	})
}

type showCommand struct {
	Entity []entity `arg:"" sep:"none" help:"KIND/UUID, a UUID alone, or a URL."`
}

// Run shows one entity after another.
func (s *showCommand) Run(ctx context.Context, c *client) error {
	return c.each(ctx, s.Entity, func(at string) error {
		a, err := c.ask(ctx, request{method: http.MethodGet, url: at, accept: c.format})
		if err != nil {
			return err
		}
		return a.read(c.print)
	})
}

type tasksCommand struct {
	Entity entity `arg:"" help:"KIND/UUID, a UUID alone, or a URL."`
}

// Run lists the tasks, oldest first.
func (t *tasksCommand) Run(ctx context.Context, c *client) error {
	at, err := c.locate(ctx, t.Entity)
	if err != nil {
		return err
	}
	a, err := c.ask(ctx, request{method: http.MethodGet, url: at + "/tasks/", accept: c.listFormat()})
	if err != nil {
		return err
	}
	return c.showList(a.read)
}

type kindsCommand struct {
	Category []string `arg:"" optional:"" sep:"none" help:"Terms or identifiers of those to show."`
}

// Run asks the query interface (GFD.223, Query interface). Who names some
// categories is shown all of them, which no table could hold.
func (k *kindsCommand) Run(ctx context.Context, c *client) error {
	at := c.url("/-/")
	if len(k.Category) > 0 {
		at += "?" + url.Values{"category": k.Category}.Encode()
		c.tables = false
	}
	a, err := c.ask(ctx, request{method: http.MethodGet, url: at, accept: c.listFormat()})
	if err != nil {
		return err
	}
	return c.showList(a.read)
}
