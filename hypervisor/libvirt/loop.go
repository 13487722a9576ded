package libvirt

import (
	"log/slog"
	"sync"
	"time"

	"libvirt.org/go/libvirt"
)

// eventLoop starts libvirt's event loop, of which a process has one, before its
// first connection. It runs until the process ends: libvirt cannot stop it.
var eventLoop = sync.OnceValue(func() error {
	if err := libvirt.EventRegisterDefaultImpl(); err != nil {
		return err
	}
	go func() {
		for {
			if err := libvirt.EventRunDefaultImpl(); err != nil {
				slog.Error("libvirt's event loop faltered", "error", err)
				time.Sleep(time.Second)
			}
		}
	}()
	return nil
})
