package engine

import (
	"github.com/occid/occid/occi"
)

// Uses tells what an entity uses of what is billed for: all that quotas charge it with, but
// of a machine cores and memory only while it is at work.
func Uses(model func() *occi.Model) func(*occi.Entity) occi.Use {
	return func(x *occi.Entity) (u occi.Use) {
		for _, c := range x.Charges {
			u.Add(c)
		}
		if (u.Cores > 0 || u.Memory > 0) && !atWork(model(), x) {
			u.Cores, u.Memory = 0, 0
		}
		return u
	}
}
