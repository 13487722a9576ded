package server_test

import "github.com/occid/occid/hypervisor"

// host is a host whose driver can be taken away.
type host struct{ hypervisor.Driver }
