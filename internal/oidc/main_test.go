package oidc_test

import (
	"os"
	"testing"

	"github.com/occid/occid/internal/oidctest"
)

func TestMain(m *testing.M) {
	oidctest.Main()
	os.Exit(m.Run())
}
