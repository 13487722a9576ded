package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"github.com/occid/occid/occi"
	"github.com/occid/occid/store"
)

// auditCommand is the word that makes the program look after the audit trail.
const auditCommand = "audit"

// auditOptions are those of occid audit.
type auditOptions struct {
	Verify verifyOptions `cmd:"" help:"Check that the audit trail is as it was written. A server may be running."`
	Retain retainOptions `cmd:"" help:"Forget old records, of which the trail then tells. A server of an SQLite file must be stopped."`
}

// databaseOptions name a database as those of the server do.
type databaseOptions struct {
	DB     string `name:"db" env:"OCCID_DB" placeholder:"DSN" xor:"db" required:"" help:"Database, sqlite:PATH or a postgres:// URL."`
	DBFile string `name:"db-file" env:"OCCID_DB_FILE" placeholder:"FILE" xor:"db" required:"" help:"File that holds --db, which may contain a password."`
}

type verifyOptions struct {
	databaseOptions
	Known string `placeholder:"HASH" help:"Hash that an earlier check has shown, which must be there still."`
}

type retainOptions struct {
	databaseOptions
	Keep time.Duration `required:"" placeholder:"TIME" help:"How old the records are that are kept, as in 8760h."`
}

// dsn reads the database's name.
func (o *databaseOptions) dsn() (string, error) {
	if o.DBFile == "" {
		return o.DB, nil
	}
	return readDSN(o.DBFile)
}

// audit looks after the audit trail, if the program's arguments say so.
func audit(args []string) (ran bool, err error) {
	if len(args) == 0 || args[0] != auditCommand {
		return false, nil
	}
	o := &auditOptions{}
	k, err := kong.New(o, kong.Name("occid "+auditCommand), kong.Description("Look after the audit trail."))
	if err != nil {
		return true, err
	}
	chosen, err := k.Parse(args[1:])
	if err != nil {
		return true, err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if chosen.Command() == "retain" {
		return true, o.Retain.run(ctx, os.Stdout)
	}
	return true, o.Verify.run(ctx, os.Stdout)
}

func (o *verifyOptions) run(ctx context.Context, out io.Writer) (err error) {
	dsn, err := o.dsn()
	if err != nil {
		return err
	}
	s, err := store.OpenTrail(ctx, dsn)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	c, err := s.VerifyAudit(ctx, o.Known)
	if err != nil {
		return err
	}
	if c.Records == 0 {
		fmt.Fprintln(out, "the audit trail is empty")
		return nil
	}
	fmt.Fprintf(out, "the audit trail is whole: records %d to %d, hash %s\n", c.First, c.Last, c.Hash)
	return nil
}

func (o *retainOptions) run(ctx context.Context, out io.Writer) (err error) {
	dsn, err := o.dsn()
	if err != nil {
		return err
	}
	if err := keeps("--keep", o.Keep); err != nil {
		return err
	}
	s, err := store.Open(ctx, dsn)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	// What is not whole is not made to look so.
	if _, err := s.VerifyAudit(ctx, ""); err != nil {
		return err
	}
	ctx = occi.WithOrigin(ctx, &occi.Origin{Login: "occid audit retain"})
	n, err := s.RetainAudit(ctx, time.Now().Add(-o.Keep))
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%d records of the audit trail were forgotten\n", n)
	return nil
}
