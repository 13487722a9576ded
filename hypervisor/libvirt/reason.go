package libvirt

import "libvirt.org/go/libvirt"

// reasons say in a few words why a domain is in a state. What nobody knows is left
// out.
var (
	runningReasons = map[libvirt.DomainRunningReason]string{
		libvirt.DOMAIN_RUNNING_BOOTED:             "booted",
		libvirt.DOMAIN_RUNNING_MIGRATED:           "migrated from another host",
		libvirt.DOMAIN_RUNNING_RESTORED:           "restored",
		libvirt.DOMAIN_RUNNING_FROM_SNAPSHOT:      "restored from a snapshot",
		libvirt.DOMAIN_RUNNING_UNPAUSED:           "resumed",
		libvirt.DOMAIN_RUNNING_MIGRATION_CANCELED: "its migration was cancelled",
		libvirt.DOMAIN_RUNNING_SAVE_CANCELED:      "saving it was cancelled",
		libvirt.DOMAIN_RUNNING_WAKEUP:             "woken up",
		libvirt.DOMAIN_RUNNING_CRASHED:            "resumed after a crash",
		libvirt.DOMAIN_RUNNING_POSTCOPY:           "being migrated",
		libvirt.DOMAIN_RUNNING_POSTCOPY_FAILED:    "its migration failed",
	}
	pausedReasons = map[libvirt.DomainPausedReason]string{
		libvirt.DOMAIN_PAUSED_USER:            "by request",
		libvirt.DOMAIN_PAUSED_MIGRATION:       "being migrated",
		libvirt.DOMAIN_PAUSED_SAVE:            "being saved",
		libvirt.DOMAIN_PAUSED_DUMP:            "its memory is being dumped",
		libvirt.DOMAIN_PAUSED_IOERROR:         "disk I/O error",
		libvirt.DOMAIN_PAUSED_WATCHDOG:        "watchdog",
		libvirt.DOMAIN_PAUSED_FROM_SNAPSHOT:   "restored from a snapshot",
		libvirt.DOMAIN_PAUSED_SHUTTING_DOWN:   "shutting down",
		libvirt.DOMAIN_PAUSED_SNAPSHOT:        "a snapshot is being taken",
		libvirt.DOMAIN_PAUSED_CRASHED:         "crashed",
		libvirt.DOMAIN_PAUSED_STARTING_UP:     "starting",
		libvirt.DOMAIN_PAUSED_POSTCOPY:        "being migrated",
		libvirt.DOMAIN_PAUSED_POSTCOPY_FAILED: "its migration failed",
	}
	shutoffReasons = map[libvirt.DomainShutoffReason]string{
		libvirt.DOMAIN_SHUTOFF_SHUTDOWN:      "shut down",
		libvirt.DOMAIN_SHUTOFF_DESTROYED:     "powered off",
		libvirt.DOMAIN_SHUTOFF_CRASHED:       "crashed",
		libvirt.DOMAIN_SHUTOFF_MIGRATED:      "migrated to another host",
		libvirt.DOMAIN_SHUTOFF_SAVED:         "saved",
		libvirt.DOMAIN_SHUTOFF_FAILED:        "the emulator failed",
		libvirt.DOMAIN_SHUTOFF_FROM_SNAPSHOT: "restored from a snapshot",
		libvirt.DOMAIN_SHUTOFF_DAEMON:        "stopped as the host's daemon restarted",
	}
	crashedReasons = map[libvirt.DomainCrashedReason]string{
		libvirt.DOMAIN_CRASHED_UNKNOWN:  "crashed",
		libvirt.DOMAIN_CRASHED_PANICKED: "its kernel panicked",
	}
)

// reasonOf says why a domain is in a state of libvirt's; "" if nobody knows.
func reasonOf(st libvirt.DomainState, reason int) string {
	switch st {
	case libvirt.DOMAIN_RUNNING:
		return runningReasons[libvirt.DomainRunningReason(reason)]
	case libvirt.DOMAIN_PAUSED:
		return pausedReasons[libvirt.DomainPausedReason(reason)]
	case libvirt.DOMAIN_SHUTOFF:
		return shutoffReasons[libvirt.DomainShutoffReason(reason)]
	case libvirt.DOMAIN_CRASHED:
		return crashedReasons[libvirt.DomainCrashedReason(reason)]
	case libvirt.DOMAIN_PMSUSPENDED:
		return "put to sleep by the guest"
	case libvirt.DOMAIN_SHUTDOWN:
		return "shutting down"
	}
	return ""
}
