package libvirt

import (
	"context"
	"errors"
	"fmt"

	"libvirt.org/go/libvirt"

	"github.com/occid/occid/hypervisor"
)

// kinds gives the class of libvirt's error codes; others are refusals.
var kinds = map[libvirt.ErrorNumber]error{
	libvirt.ERR_NO_DOMAIN:       hypervisor.ErrNotFound,
	libvirt.ERR_NO_NETWORK:      hypervisor.ErrNotFound,
	libvirt.ERR_NO_STORAGE_VOL:  hypervisor.ErrNotFound,
	libvirt.ERR_NO_STORAGE_POOL: hypervisor.ErrNotFound,

	libvirt.ERR_NO_CONNECT:        hypervisor.ErrUnavailable,
	libvirt.ERR_INVALID_CONN:      hypervisor.ErrUnavailable,
	libvirt.ERR_RPC:               hypervisor.ErrUnavailable,
	libvirt.ERR_OPERATION_TIMEOUT: hypervisor.ErrUnavailable, // another job holds the domain
	libvirt.ERR_RESOURCE_BUSY:     hypervisor.ErrUnavailable,

	libvirt.ERR_XML_ERROR:          hypervisor.ErrInvalid,
	libvirt.ERR_XML_DETAIL:         hypervisor.ErrInvalid,
	libvirt.ERR_XML_INVALID_SCHEMA: hypervisor.ErrInvalid,
	libvirt.ERR_INVALID_ARG:        hypervisor.ErrInvalid,
	libvirt.ERR_CONFIG_UNSUPPORTED: hypervisor.ErrInvalid,
	libvirt.ERR_OS_TYPE:            hypervisor.ErrInvalid,
}

// code reports whether err is libvirt's with one of the codes.
func code(err error, codes ...libvirt.ErrorNumber) bool {
	for _, c := range codes {
		if errors.Is(err, c) {
			return true
		}
	}
	return false
}

// unsupported reports whether err says that the host cannot do such a thing at
// all.
func unsupported(err error) bool {
	return code(err, libvirt.ERR_NO_SUPPORT, libvirt.ERR_OPERATION_UNSUPPORTED)
}

// translate names what was asked and gives err the class that driver's callers
// know; libvirt's own errors do not leave this package.
func translate(what string, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return fmt.Errorf("%s: %w: %w", what, hypervisor.ErrUnavailable, err)
	}
	if errors.Is(err, hypervisor.ErrUnavailable) || errors.Is(err, hypervisor.ErrInvalid) || errors.Is(err, hypervisor.ErrNotFound) {
		return fmt.Errorf("%s: %w", what, err)
	}
	e, ok := errors.AsType[libvirt.Error](err)
	if !ok {
		return fmt.Errorf("%s: %w", what, err)
	}
	kind := kinds[e.Code]
	if kind == nil && transport(e) {
		kind = hypervisor.ErrUnavailable
	}
	if kind == nil {
		return fmt.Errorf("%s: %s", what, e.Message)
	}
	return fmt.Errorf("%s: %w: %s", what, kind, e.Message)
}

// transport reports whether an error arose on the way to the host: errors of the
// host itself keep the domain of the part of it that refused.
func transport(e libvirt.Error) bool {
	return (e.Domain == libvirt.FROM_RPC || e.Domain == libvirt.FROM_REMOTE) && !unsupported(e)
}
