package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/occid/occid/render"
)

// file is a description of an entity that is not on the command line.
type file struct {
	File  string `short:"f" placeholder:"FILE" help:"File with the description, - for standard input."`
	Input string `enum:"auto,${formats}" default:"auto" placeholder:"FORMAT" help:"Format of the file, one of ${enum}; auto goes by its suffix, and leaves standard input to the server."`
}

// format is that of the file; nil leaves it to the server to look.
func (f *file) format() (*render.Format, error) {
	name := f.Input
	switch {
	case name == "auto" && f.File == "-":
		return nil, nil
	case name == "auto":
		name = strings.TrimPrefix(filepath.Ext(f.File), ".")
	}
	found := formatNamed(name)
	if found == nil {
		return nil, fmt.Errorf("--file: the name of %s does not tell its format; --input does", f.File)
	}
	return found, nil
}

// check refuses to be given beside attributes, and an unknown format.
func (f *file) check(settings []setting) error {
	if f.File == "" {
		return nil
	}
	if len(settings) > 0 {
		return errors.New("--file and KEY=VALUE exclude each other")
	}
	_, err := f.format()
	return err
}

// load reads the description.
func (f *file) load(in io.Reader) (x content, err error) {
	if x.format, err = f.format(); err != nil {
		return x, err
	}
	if f.File == "-" {
		x.text, err = io.ReadAll(in)
	} else {
		x.text, err = os.ReadFile(f.File)
	}
	return x, err
}

// described makes a descriptor of attributes and more.
func described(settings []setting, more map[string]any) (content, error) {
	d := map[string]any{}
	for _, s := range settings {
		d[s.key] = s.member()
	}
	maps.Copy(d, more)
	text, err := json.Marshal(d)
	return content{format: jsonFormat, text: text}, err
}

type createCommand struct {
	Kind    *collection `arg:"" optional:"" help:"Kind of the entity; a file can tell it itself."`
	Setting []setting   `arg:"" optional:"" sep:"none" name:"key=value" help:"Attributes: title=web-1 cores=2 'memory=1 GiB'."`
	Mixin   []string    `sep:"none" placeholder:"MIXIN" help:"Mixin to apply, by term or identifier. Repeatable."`
	Link    []link      `sep:"none" placeholder:"KIND:ENTITY" help:"Link to make: networkinterface:network/UUID. Repeatable."`
	file
}

// Validate refuses what describes nothing, or twice.
func (x *createCommand) Validate() error {
	if err := x.check(x.Setting); err != nil {
		return err
	}
	if x.File != "" && len(x.Mixin)+len(x.Link) > 0 {
		return errors.New("--file excludes --mixin and --link")
	}
	if x.File == "" && (x.Kind == nil || x.Kind.path == "/") {
		return errors.New("name the KIND, or a --file that does")
	}
	return nil
}

// Run posts the description to the collection of the kind.
func (x *createCommand) Run(ctx context.Context, c *client) error {
	at := "/"
	if x.Kind != nil {
		at = x.Kind.path
	}
	body, err := x.body(ctx, c)
	if err != nil {
		return err
	}
	return c.change(ctx, request{method: http.MethodPost, url: c.url(at), accept: c.format, body: body})
}

func (x *createCommand) body(ctx context.Context, c *client) (content, error) {
	if x.File != "" {
		return x.load(c.std.in)
	}
	more := map[string]any{"type": strings.Trim(x.Kind.path, "/")}
	if len(x.Mixin) > 0 {
		more["mixins"] = x.Mixin
	}
	var links []map[string]string
	for _, l := range x.Link {
		target, err := c.locate(ctx, l.target)
		if err != nil {
			return content{}, err
		}
		links = append(links, map[string]string{"type": l.kind, "target": strings.TrimPrefix(target, c.server)})
	}
	if links != nil {
		more["links"] = links
	}
	return described(x.Setting, more)
}

type updateCommand struct {
	Entity  entity    `arg:"" help:"KIND/UUID, a UUID alone, or a URL."`
	Setting []setting `arg:"" optional:"" sep:"none" name:"key=value" help:"Attributes to set; KEY= removes one."`
	file
}

// Validate refuses what changes nothing, or twice.
func (x *updateCommand) Validate() error {
	if x.File == "" && len(x.Setting) == 0 {
		return errors.New("name a KEY=VALUE to change, or a --file")
	}
	return x.check(x.Setting)
}

// Run changes what is named and leaves the rest.
func (x *updateCommand) Run(ctx context.Context, c *client) error {
	at, err := c.locate(ctx, x.Entity)
	if err != nil {
		return err
	}
	var body content
	if x.File != "" {
		body, err = x.load(c.std.in)
	} else {
		body, err = described(x.Setting, nil)
	}
	if err != nil {
		return err
	}
	return c.change(ctx, request{method: http.MethodPost, url: at, accept: c.format, body: body})
}

type deleteCommand struct {
	Entity []entity `arg:"" sep:"none" help:"KIND/UUID, a UUID alone, or a URL."`
}

// Run deletes one entity after another; one that fails does not keep the others.
func (x *deleteCommand) Run(ctx context.Context, c *client) error {
	return c.each(ctx, x.Entity, func(at string) error {
		a, err := c.ask(ctx, request{method: http.MethodDelete, url: at, accept: c.format})
		if err != nil {
			return err
		}
		a.Body.Close()
		return c.outcome(ctx, a)
	})
}

type doCommand struct {
	Action  string    `arg:"" help:"Term of the action: start, stop, restart."`
	Entity  entity    `arg:"" help:"KIND/UUID, a UUID alone, or a URL."`
	Setting []setting `arg:"" optional:"" sep:"none" name:"key=value" help:"Attributes of the action: method=poweroff."`
}

// Run invokes the action (GFD.223, Trigger an action).
func (x *doCommand) Run(ctx context.Context, c *client) error {
	at, err := c.locate(ctx, x.Entity)
	if err != nil {
		return err
	}
	r := request{method: http.MethodPost, url: at + "?action=" + url.QueryEscape(x.Action), accept: c.format}
	if len(x.Setting) > 0 {
		if r.body, err = described(x.Setting, nil); err != nil {
			return err
		}
	}
	return c.change(ctx, r)
}
