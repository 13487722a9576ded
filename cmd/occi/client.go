package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/occid/occid/occi"
	"github.com/occid/occid/render"
)

// answerTime is how long a server may take to answer, beside what a request asks
// it to wait.
const answerTime = 30 * time.Second

// client sends requests to a server and shows what it answers.
type client struct {
	http   http.Client
	server string // without a slash at its end
	// login adds to a request what the user is recognised by.
	login  func(*http.Request)
	wait   int // for the outcome of a change, in seconds
	std    streams
	format *render.Format
	tables bool // lists are shown as tables
	shown  int  // documents
}

func newClient(o *command, std streams) *client {
	c := &client{server: strings.TrimRight(o.Server, "/"), login: o.login(), wait: int(o.Wait), std: std, format: formatNamed(o.Output)}
	if c.format == nil {
		c.format, c.tables = textFormat, std.terminal
	}
	c.http.Transport = &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		ResponseHeaderTimeout: answerTime + time.Duration(c.wait)*time.Second,
	}
	return c
}

// url gives the URL of a path on the server.
func (c *client) url(path string) string { return c.server + (&url.URL{Path: path}).EscapedPath() }

// listFormat is what lists are asked for in.
func (c *client) listFormat() *render.Format {
	if c.tables {
		return jsonFormat
	}
	return c.format
}

// content is the body of a request; without a format the server looks at it.
type content struct {
	format *render.Format
	text   []byte
}

// request is what is asked of a server.
type request struct {
	method, url string
	accept      *render.Format
	body        content // without text for none
}

// answer is a success whose body has not been read.
type answer struct{ *http.Response }

// ask sends a request. The error is what the server says of a request that it
// does not carry out.
func (c *client) ask(ctx context.Context, r request) (*answer, error) {
	req, err := http.NewRequestWithContext(ctx, r.method, r.url, bytes.NewReader(r.body.text))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", r.accept.Media)
	req.Header.Set("User-Agent", "occi/"+version+" OCCI/1.2")
	if r.body.format != nil {
		req.Header.Set("Content-Type", r.body.format.Type)
	}
	if c.wait > 0 && r.method != http.MethodGet {
		req.Header.Set("Prefer", "wait="+strconv.Itoa(c.wait))
	}
	if c.isServer(req.URL) {
		c.login(req)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode/100 != 2 {
		defer resp.Body.Close()
		return nil, fault(resp)
	}
	return &answer{resp}, nil
}

// login gives what adds to requests what the user is recognised by.
func (c *command) login() func(*http.Request) {
	name, secret, given := strings.Cut(c.User, ":")
	if !given {
		secret = os.Getenv("OCCI_SECRET")
	}
	return func(r *http.Request) {
		switch {
		case c.Token != "":
			r.Header.Set("Authorization", "Bearer "+c.Token)
		case c.User != "":
			r.SetBasicAuth(name, secret)
		}
		if c.Project != "" {
			r.Header.Set("X-Project", c.Project)
		}
	}
}

// isServer reports whether a URL is of the server: nobody else is told a secret.
func (c *client) isServer(u *url.URL) bool {
	s, err := url.Parse(c.server)
	return err == nil && s.Scheme == u.Scheme && s.Host == u.Host
}

// read passes the body on and closes it.
func (a *answer) read(to func(io.Reader) error) error {
	defer a.Body.Close()
	return to(a.Body)
}

var nextLink = regexp.MustCompile(`<([^>]*)>; *rel="?next\b`)

// next is the URL of the page after this one, empty if there is none (RFC 8288).
func (a *answer) next() string {
	m := nextLink.FindStringSubmatch(strings.Join(a.Header["Link"], ", "))
	if m == nil {
		return ""
	}
	return m[1]
}

// separators stand between the documents of formats that need one.
var separators = map[*render.Format]string{textFormat: "\n", occiFormat: "\n", yamlFormat: "---\n"}

// print shows a document, apart from the one before it.
func (c *client) print(document io.Reader) error {
	if c.shown++; c.shown > 1 {
		fmt.Fprint(c.std.out, separators[c.format])
	}
	_, err := io.Copy(c.std.out, document)
	return err
}

// each calls a function with the URLs of entities, and goes on after a failure.
func (c *client) each(ctx context.Context, entities []entity, call func(at string) error) error {
	var failed []error
	for _, e := range entities {
		at, err := c.locate(ctx, e)
		if err == nil {
			err = call(at)
		}
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}

// locate gives the URL of an entity; that of a UUID alone the server knows.
func (c *client) locate(ctx context.Context, e entity) (string, error) {
	if e.isURL() {
		return e.name, nil
	}
	id, bare := occi.ParseID(e.name)
	if !bare {
		return c.url("/" + strings.TrimLeft(e.name, "/")), nil
	}
	a, err := c.ask(ctx, request{method: http.MethodGet, url: c.url("/") + "?id=" + id.String(), accept: uriFormat})
	if err != nil {
		return "", err
	}
	var text []byte
	err = a.read(func(r io.Reader) (err error) {
		text, err = io.ReadAll(io.LimitReader(r, maxFault))
		return err
	})
	if err != nil {
		return "", err
	}
	found, err := url.Parse(strings.TrimSpace(string(text)))
	if err != nil || found.Path == "" {
		return "", fmt.Errorf("there is no entity %s at %s", id, c.server)
	}
	return c.url(found.Path), nil
}

// change sends a write, shows what it made and, if that is wanted, waits for
// what becomes of it.
func (c *client) change(ctx context.Context, r request) error {
	a, err := c.ask(ctx, r)
	if err != nil {
		return err
	}
	if err := a.read(c.print); err != nil {
		return err
	}
	return c.outcome(ctx, a)
}

// outcome fails unless the tasks of a write are done, if they are waited for.
func (c *client) outcome(ctx context.Context, a *answer) error {
	if c.wait == 0 {
		return nil
	}
	for _, at := range strings.FieldsFunc(strings.Join(a.Header["X-Task-Location"], ","), betweenURLs) {
		t, err := c.ask(ctx, request{method: http.MethodGet, url: at, accept: jsonFormat})
		if err != nil {
			return err
		}
		var task struct{ State, Error string }
		if err := t.read(func(r io.Reader) error { return json.NewDecoder(r).Decode(&task) }); err != nil {
			return fmt.Errorf("%s: %w", at, err)
		}
		if task.State != "done" {
			return errors.New(strings.TrimSuffix(fmt.Sprintf("%s is %s: %s", at, task.State, task.Error), ": "))
		}
	}
	return nil
}

// betweenURLs tells what parts the URLs of a list.
func betweenURLs(r rune) bool { return r == ',' || r == ' ' }
