package engine

import (
	"github.com/occid/occid/occi"
)

// Uses tells what an entity uses of what is charged for, by a registry: a machine
// its cores and its memory while it is at work, and its disks and itself as long as it is
// there; a storage its size; an interface its addresses.
func Uses(model func() *occi.Model) func(*occi.Entity) occi.Use {
	return func(x *occi.Entity) (u occi.Use) {
		m := model()
		k := m.Kind(x.Kind)
		if k == nil {
			return u
		}
		switch k.Host {
		case "domain":
			u.Computes = 1
			u.Storage = bytesOf(role(m, x, roleEphemeral)) + bytesOf(role(m, x, roleDiskSize))
			if atWork(m, x) {
				u.Cores, u.Memory = int64(role(m, x, roleVCPUs).Num), bytesOf(role(m, x, roleMemory))
			}
		case "volume":
			u.Storage = bytesOf(role(m, x, roleSize))
		case "nic":
			for _, f := range families {
				if role(m, x, f.address).Text != "" {
					u.Addresses++
				}
			}
		}
		return u
	}
}
