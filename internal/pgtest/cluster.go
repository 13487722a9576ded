package pgtest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/jackc/pgx/v5"
)

// Cluster is a running server with its data in a temporary directory. It listens
// on a socket there only, and ends with the program that started it, however
// that ends.
type Cluster struct {
	dir  string
	args []string // with the program
	who  *syscall.Credential
	cmd  *exec.Cmd
	done chan error // of capacity 1: how the server ended
	last atomic.Int64
}

// Start makes a cluster and returns once it accepts connections. As root it
// becomes the user postgres, which the server demands. Settings are lines of
// postgresql.conf as "name=value"; fsync is off unless one says otherwise: tests end
// servers, not machines.
func Start(settings ...string) (c *Cluster, err error) {
	bin, err := programs()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "occid-pg-")
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	who, err := account(dir)
	if err != nil {
		return nil, err
	}
	data := filepath.Join(dir, "data")
	initdb := exec.Command(filepath.Join(bin, "initdb"), "--pgdata="+data, "--username=postgres", "--auth=trust",
		"--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions")
	initdb.Dir, initdb.SysProcAttr = dir, &syscall.SysProcAttr{Credential: who}
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w: %s", err, out)
	}
	args := []string{"-D", data, "-k", dir, "-c", "listen_addresses=", "-c", "fsync=off"}
	for _, s := range settings {
		args = append(args, "-c", s)
	}
	c = &Cluster{dir: dir, args: append([]string{filepath.Join(bin, "postgres")}, args...), who: who}
	return c, c.run()
}

// programs finds the directory of the newest server's programs.
func programs() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if err != nil {
		return "", err
	}
	newest, dir := -1.0, ""
	for _, path := range found {
		v, err := strconv.ParseFloat(filepath.Base(filepath.Dir(filepath.Dir(path))), 64)
		if err == nil && v > newest {
			newest, dir = v, filepath.Dir(path)
		}
	}
	if dir == "" {
		return "", errors.New("there is no PostgreSQL server in /usr/lib/postgresql; install the package postgresql")
	}
	return dir, nil
}

// account gives the user that the server runs as, nil for the present one, and
// makes dir that user's.
func account(dir string) (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, err
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, os.Chown(dir, int(uid), int(gid))
}

// run starts the server and waits until it says that it is ready.
func (c *Cluster) run() error {
	c.cmd, c.done = exec.Command(c.args[0], c.args[1:]...), make(chan error, 1)
	c.cmd.Dir = c.dir
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: c.who, Pdeathsig: syscall.SIGQUIT}
	log, err := c.cmd.StderrPipe()
	if err != nil {
		return err
	}
	started, ready := make(chan error, 1), make(chan struct{})
	go func() {
		// The kernel sends the signal of Pdeathsig when the thread ends that
		// started the process, so this one is kept.
		runtime.LockOSThread()
		if err := c.cmd.Start(); err != nil {
			started <- err
			return
		}
		started <- nil
		text := follow(log, ready)
		err := c.cmd.Wait()
		if err != nil {
			err = fmt.Errorf("postgres: %w: %s", err, text)
		}
		c.done <- err
	}()
	if err := <-started; err != nil {
		return err
	}
	select {
	case <-ready:
		return nil
	case err := <-c.done:
		return fmt.Errorf("the server ended before it was ready: %w", err)
	}
}

// follow reads the log to its end and gives the last lines. It closes ready when
// the server accepts connections.
func follow(log io.Reader, ready chan<- struct{}) string {
	const keep = 20
	var last []string
	lines := bufio.NewScanner(log)
	for lines.Scan() {
		if ready != nil && strings.Contains(lines.Text(), "database system is ready to accept connections") {
			close(ready)
			ready = nil
		}
		last = append(last, lines.Text())
		last = last[max(0, len(last)-keep):]
	}
	return strings.Join(last, "\n")
}

// Stop ends the server, whoever is connected, and removes its data.
func (c *Cluster) Stop() error {
	err := c.cmd.Process.Signal(syscall.SIGINT) // fast shutdown
	if err == nil {
		err = <-c.done
	}
	return errors.Join(err, os.RemoveAll(c.dir))
}

// Crash ends the server at once, with the loss of what it has in memory only, and starts
// it again on its data.
func (c *Cluster) Crash() error {
	if err := c.cmd.Process.Signal(syscall.SIGQUIT); err != nil { // immediate shutdown
		return err
	}
	<-c.done
	return c.run()
}

// URL names a database of the cluster.
func (c *Cluster) URL(database string) string {
	return "postgres://postgres@/" + database + "?host=" + c.dir
}

// Create makes a database of a new name, as a copy of another one (empty for
// none) that nobody is connected to, and gives its URL.
func (c *Cluster) Create(ctx context.Context, template string) (url, name string, err error) {
	conn, err := pgx.Connect(ctx, c.URL("postgres"))
	if err != nil {
		return "", "", err
	}
	defer conn.Close(ctx)
	name = "test" + strconv.FormatInt(c.last.Add(1), 10)
	sql := "CREATE DATABASE " + name
	if template != "" {
		sql += " TEMPLATE " + pgx.Identifier{template}.Sanitize()
	}
	_, err = conn.Exec(ctx, sql)
	return c.URL(name), name, err
}
