package pgtest

import "testing"

// Run starts a cluster that ends with the test; see Start.
func Run(t testing.TB, settings ...string) *Cluster {
	t.Helper()
	c, err := Start(settings...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// Empty gives the URL of a new database that nothing is in.
func (c *Cluster) Empty(t testing.TB) string {
	t.Helper()
	url, _, err := c.Create(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	return url
}
