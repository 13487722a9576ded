package store

import (
	"context"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
)

// eventChannel is the channel on which PostgreSQL tells of events, by the number of the
// last one of a row.
const eventChannel = "occid_events"

// silence is how long nothing may be heard before the connection is tried.
const silence = 30 * time.Second

// listener listens on a connection of its own.
type listener struct{ config *pgx.ConnConfig }

// listen calls heard with the number of an event that was committed, by whatever
// server, and with 0 once it hears of all that follow. It ends with ctx or the
// connection.
func (l listener) listen(ctx context.Context, heard func(last int64)) error {
	conn, err := pgx.ConnectConfig(ctx, l.config.Copy())
	if err != nil {
		return err
	}
	defer func() {
		ended, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
		defer cancel()
		_ = conn.Close(ended)
	}()
	if _, err := conn.Exec(ctx, "LISTEN "+eventChannel); err != nil {
		return err
	}
	heard(0)
	for {
		wait, cancel := context.WithTimeout(ctx, silence)
		n, err := conn.WaitForNotification(wait)
		quiet := wait.Err() != nil
		cancel()
		switch {
		case err == nil:
			last, _ := strconv.ParseInt(n.Payload, 10, 64)
			heard(last)
			continue
		case ctx.Err() != nil || !quiet:
			return err
		}
		ping, cancel := context.WithTimeout(ctx, closeTime)
		err = conn.Ping(ping)
		cancel()
		if err != nil {
			return err
		}
	}
}
