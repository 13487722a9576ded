package occi

import "time"

// Watch tells which server watches a host: it follows the host's events, compares it
// with the rows and says whether it is up.
type Watch struct {
	Host, Worker string
	// Reaches tells whether the server reaches the host. If it does not, any that does
	// may take its place.
	Reaches bool
	// For is how long that has been so, whichever server it was.
	For time.Duration
	// Left is how long its lease has left; none if that has ended.
	Left time.Duration
}
