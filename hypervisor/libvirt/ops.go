package libvirt

import "slices"

// The libvirt calls that change a host, as Config.Trace names them.
const (
	opDomainDefine   = "domain.define"
	opDomainUndefine = "domain.undefine"
	opDomainCreate   = "domain.create"
	opDomainResume   = "domain.resume"
	opDomainWake     = "domain.wake"
	opDomainSuspend  = "domain.suspend"
	opDomainSave     = "domain.save"
	opDomainRestore  = "domain.restore"
	opDomainDiscard  = "domain.discard" // a managed save image
	opDomainShutdown = "domain.shutdown"
	opDomainReboot   = "domain.reboot"
	opDomainReset    = "domain.reset"
	opDomainDestroy  = "domain.destroy"
	opDomainVCPUs    = "domain.vcpus"  // of a running domain
	opDomainMemory   = "domain.memory" // of a running domain
	opDomainAdopt    = "domain.adopt"
	opDomainRelease  = "domain.release"
	opDomainMigrate  = "domain.migrate"
	opDomainAbort    = "domain.abort" // a migration

	opDeviceAttach = "device.attach" // to a running domain
	opDeviceDetach = "device.detach" // from a running domain
	opDeviceDefine = "device.define" // in the definition
	opDeviceFilter = "device.filter" // of a running domain's interface

	opFilterDefine   = "filter.define"
	opFilterUndefine = "filter.undefine"

	opNetworkDefine    = "network.define"
	opNetworkUndefine  = "network.undefine"
	opNetworkCreate    = "network.create"
	opNetworkDestroy   = "network.destroy"
	opNetworkAutostart = "network.autostart"
	opNetworkReserve   = "network.reserve" // addresses of an interface
	opNetworkRelease   = "network.release"

	opPoolDefine    = "pool.define"
	opPoolBuild     = "pool.build"
	opPoolCreate    = "pool.create"
	opPoolAutostart = "pool.autostart"

	opVolumeCreate = "volume.create"
	opVolumeClone  = "volume.clone"
	opVolumeBackup = "volume.backup" // by the domain that runs with it
	opVolumeResize = "volume.resize"
	opVolumeDelete = "volume.delete"
	opVolumeUpload = "volume.upload"
)

var ops = []string{
	opDomainDefine, opDomainUndefine, opDomainCreate, opDomainResume, opDomainWake, opDomainSuspend, opDomainSave, opDomainRestore,
	opDomainDiscard, opDomainShutdown, opDomainReboot, opDomainReset, opDomainDestroy,
	opDomainVCPUs, opDomainMemory, opDomainAdopt, opDomainRelease, opDomainMigrate, opDomainAbort,
	opDeviceAttach, opDeviceDetach, opDeviceDefine, opDeviceFilter,
	opFilterDefine, opFilterUndefine,
	opNetworkDefine, opNetworkUndefine, opNetworkCreate, opNetworkDestroy, opNetworkAutostart,
	opNetworkReserve, opNetworkRelease,
	opPoolDefine, opPoolBuild, opPoolCreate, opPoolAutostart,
	opVolumeCreate, opVolumeClone, opVolumeBackup, opVolumeResize, opVolumeDelete, opVolumeUpload,
}

// Ops lists every name that Config.Trace may be called with.
func Ops() []string { return slices.Clone(ops) }
