// Package delegate has a program of the operator's tell who is asking, for ways to log in
// that the server does not know.
//
// For each login the program is started with a question on its standard input, as JSON,
// and an empty environment. Its status 0 says that the login is good, with who it is on its
// standard output, 1 that it is not, and any other that the program does not know.
package delegate

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/occid/occid/internal/auth"
	"github.com/occid/occid/occi"
)

const (
	// maxAnswer bounds what the program writes, in bytes.
	maxAnswer = 64 << 10
	// maxCache is how long an answer counts at most.
	maxCache = time.Hour
	// waitAfter is how long the program's output is waited for once it has ended.
	waitAfter = time.Second
)

// Config says which program is asked what. All but Now are required.
type Config struct {
	// Path is that of the program.
	Path string
	// Schemes are those of the field Authorization that it is asked about.
	Schemes []string
	// Time is how long it may take, Most how many may run at once.
	Time   time.Duration
	Most   int
	Logger *slog.Logger
	Now    func() time.Time // nil means time.Now
}

// Program is an auth.Prover that asks a program.
type Program struct {
	config  Config
	running chan struct{}
}

var _ auth.Prover = (*Program)(nil)

// New makes a Program, or tells why it cannot be asked.
func New(c Config) (*Program, error) {
	info, err := os.Stat(c.Path)
	switch {
	case err != nil:
		return nil, err
	case !filepath.IsAbs(c.Path):
		return nil, fmt.Errorf("%s is no absolute path", c.Path)
	case !info.Mode().IsRegular() || info.Mode()&0o111 == 0:
		return nil, fmt.Errorf("%s is no program", c.Path)
	case info.Mode()&0o002 != 0:
		return nil, fmt.Errorf("%s can be changed by anybody", c.Path)
	case len(c.Schemes) == 0:
		return nil, errors.New("no scheme is named that the program knows")
	}
	for i, s := range c.Schemes {
		if s == "" || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r) }) {
			return nil, fmt.Errorf("%q is no scheme of HTTP", s)
		}
		if slices.ContainsFunc(c.Schemes[:i], func(o string) bool { return strings.EqualFold(o, s) }) {
			return nil, fmt.Errorf("the scheme %s is named twice", s)
		}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Program{config: c, running: make(chan struct{}, c.Most)}, nil
}

// Challenges implements auth.Prover.
func (p *Program) Challenges() []string {
	var all []string
	for _, s := range p.config.Schemes {
		if strings.EqualFold(s, "Negotiate") {
			all = append(all, s) // which has no realm (RFC 4559)
			continue
		}
		all = append(all, s+` realm="occid"`)
	}
	return all
}

// question is what the program reads.
type question struct {
	Scheme      string `json:"scheme"`
	Credentials string `json:"credentials"`
	Method      string `json:"method"`
	URI         string `json:"uri"`
	Address     string `json:"address"`
}

// Read implements auth.Prover.
func (p *Program) Read(r *http.Request, from auth.From) (auth.Credential, bool) {
	for _, field := range r.Header["Authorization"] {
		scheme, text, _ := strings.Cut(field, " ")
		i := slices.IndexFunc(p.config.Schemes, func(s string) bool { return strings.EqualFold(s, scheme) })
		if i < 0 {
			continue
		}
		address := from.Address
		if a, err := netip.ParseAddrPort(address); err == nil {
			address = a.Addr().Unmap().String()
		}
		text = strings.TrimSpace(text)
		uri := ""
		if r.URL != nil {
			uri = r.URL.RequestURI()
		}
		asked, err := json.Marshal(question{p.config.Schemes[i], text, r.Method, uri, address})
		if err != nil {
			return auth.Credential{}, false
		}
		return auth.Credential{Key: strings.Join([]string{p.config.Schemes[i], text, address}, "\x00"), Guessed: true, Account: account(scheme, text), Request: string(asked)}, true
	}
	return auth.Credential{}, false
}

// account tells whose secret is guessed, where the scheme tells.
func account(scheme, text string) string {
	if !strings.EqualFold(scheme, "Basic") {
		return ""
	}
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return ""
	}
	login, _, _ := strings.Cut(string(b), ":")
	return "external " + login
}

// answer is what the program writes.
type answer struct {
	User       string              `json:"user"`
	Title      string              `json:"title"`
	Projects   []grant             `json:"projects"`
	Roles      []string            `json:"roles"`
	Attributes map[string][]string `json:"attributes"`
	// Cache is for how many seconds the answer counts.
	Cache int `json:"cache"`
}

// grant is a project, of which a role may be named.
type grant auth.Grant

// UnmarshalJSON reads a project's name alone, too.
func (g *grant) UnmarshalJSON(text []byte) error {
	if json.Unmarshal(text, &g.Project) == nil {
		return nil
	}
	var full struct {
		Project string `json:"project"`
		Role    string `json:"role"`
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&full); err != nil {
		return err
	}
	*g = grant(full)
	return nil
}

// Prove implements auth.Prover.
func (p *Program) Prove(ctx context.Context, c auth.Credential) (*auth.Proof, error) {
	out, err := p.ask(ctx, c.Request)
	var ended *exec.ExitError
	if errors.As(err, &ended) && ended.ExitCode() == 1 {
		return nil, auth.Unknown()
	}
	if err == nil {
		var proof *auth.Proof
		if proof, err = p.proof(out); err == nil {
			return proof, nil
		}
	}
	p.config.Logger.Warn("the program that tells logins failed", "program", p.config.Path, "error", err)
	return nil, occi.E(occi.Unavailable, "who you are cannot be told now: the program that knows did not answer")
}

// proof reads an answer.
func (p *Program) proof(out []byte) (*auth.Proof, error) {
	var a answer
	d := json.NewDecoder(bytes.NewReader(out))
	d.DisallowUnknownFields()
	if err := d.Decode(&a); err != nil {
		return nil, errors.New("what it wrote is not as it should be") // and may hold secrets
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("it wrote more than one answer")
	}
	if a.User == "" || len(a.User) > 1024 || a.Cache < 0 {
		return nil, errors.New("its answer has no user, or a time that has passed")
	}
	proof := &auth.Proof{Subjects: []string{a.User}, Login: a.User, Title: a.Title, Attributes: a.Attributes,
		Until: p.config.Now().Add(min(time.Duration(min(a.Cache, int(maxCache/time.Second)))*time.Second, maxCache))}
	if proof.Attributes == nil {
		proof.Attributes = map[string][]string{}
	}
	proof.Attributes["user"] = []string{a.User}
	for _, name := range a.Roles {
		switch auth.RoleNamed(name) {
		case 0:
			return nil, fmt.Errorf("there is no role %.40q", name)
		case auth.Administrator:
			proof.Administrator = true
		}
	}
	for _, g := range a.Projects {
		switch {
		case g.Role != "" && (auth.RoleNamed(g.Role) == 0 || auth.RoleNamed(g.Role) == auth.Administrator):
			return nil, fmt.Errorf("there is no role %.40q in a project", g.Role)
		case g.Role != "":
			proof.Grants = append(proof.Grants, auth.Grant(g))
			continue
		}
		for _, name := range a.Roles {
			proof.Grants = append(proof.Grants, auth.Grant{Project: g.Project, Role: name})
		}
	}
	return proof, nil
}

// ask runs the program. No secret is in its arguments or its environment.
func (p *Program) ask(ctx context.Context, question string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, p.config.Time)
	defer cancel()
	select {
	case p.running <- struct{}{}:
		defer func() { <-p.running }()
	case <-ctx.Done():
		return nil, errors.New("too many of them run")
	}
	out := &limited{}
	cmd := exec.CommandContext(ctx, p.config.Path)
	cmd.Env, cmd.Dir = []string{}, "/"
	cmd.Stdin, cmd.Stdout = strings.NewReader(question), out
	// It may start others, which are to end with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = waitAfter
	err := cmd.Run()
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("it took more than %s", p.config.Time)
	case out.over:
		return nil, fmt.Errorf("it wrote more than %d bytes", maxAnswer)
	}
	return out.text, err
}

// limited keeps so much of what is written to it.
type limited struct {
	text []byte
	over bool
}

func (l *limited) Write(b []byte) (int, error) {
	if len(l.text)+len(b) > maxAnswer {
		l.over = true
		return 0, errors.New("too much")
	}
	l.text = append(l.text, b...)
	return len(b), nil
}
