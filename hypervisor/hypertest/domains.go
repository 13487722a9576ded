package hypertest

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/occid/occid/hypervisor"
)

func (s *suite) info() {
	i, err := s.drv.Info(s.ctx())
	s.ok("info", err)
	if i.Hostname == "" || i.Hypervisor == "" || i.Version == "" || i.ManagerVersion == "" || i.Arch == "" || i.CPUs < 1 || i.MemoryBytes < 1<<20 {
		s.Errorf("the host is not described: %+v", i)
	}
}

// step is a call and the state it must lead to. Each is made twice.
type step struct {
	name string
	call func(context.Context, uuid.UUID) error
	want hypervisor.State
}

func (s *suite) steps(id uuid.UUID, steps []step) {
	s.Helper()
	for _, st := range steps {
		for _, time := range []string{"", " again"} {
			s.ok(st.name+time, st.call(s.ctx(), id))
			s.wantState(st.name+time, id, st.want)
		}
	}
}

func (s *suite) suspend(mode hypervisor.SuspendMode) func(context.Context, uuid.UUID) error {
	return func(ctx context.Context, id uuid.UUID) error { return s.drv.SuspendDomain(ctx, id, mode) }
}

func (s *suite) powerOff(ctx context.Context, id uuid.UUID) error {
	return s.drv.StopDomain(ctx, id, hypervisor.StopMode{Force: true})
}

func (s *suite) lifecycle() {
	d := s.spec()
	s.steps(d.ID, []step{
		{"define", func(ctx context.Context, _ uuid.UUID) error { return s.drv.DefineDomain(ctx, d) }, hypervisor.Stopped},
		{"stop what is stopped", s.powerOff, hypervisor.Stopped},
		{"start", s.drv.StartDomain, hypervisor.Running},
		{"define while it runs", func(ctx context.Context, _ uuid.UUID) error { return s.drv.DefineDomain(ctx, d) }, hypervisor.Running},
		{"suspend", s.suspend(hypervisor.SuspendRAM), hypervisor.Paused},
		{"resume", s.drv.StartDomain, hypervisor.Running},
		{"hibernate", s.suspend(hypervisor.SuspendDisk), hypervisor.Saved},
		{"restore", s.drv.StartDomain, hypervisor.Running},
		{"suspend before hibernating", s.suspend(hypervisor.SuspendRAM), hypervisor.Paused},
		{"hibernate what is suspended", s.suspend(hypervisor.SuspendDisk), hypervisor.Saved},
		{"suspend what hibernates", s.suspend(hypervisor.SuspendRAM), hypervisor.Saved},
		{"restore what was suspended", s.drv.StartDomain, hypervisor.Running},
		{"power off", s.powerOff, hypervisor.Stopped},
	})
	if got := s.look(d.ID); got != nil && (!got.Managed || got.VCPUs != d.VCPUs || got.MemoryBytes != d.MemoryBytes) {
		s.Errorf("the domain is not as defined: %+v", got)
	}
	s.listed(d.ID)
	for _, mode := range []hypervisor.SuspendMode{hypervisor.SuspendRAM, hypervisor.SuspendDisk} {
		if err := s.drv.SuspendDomain(s.ctx(), d.ID, mode); err == nil {
			s.Errorf("a stopped domain was suspended (%s)", mode)
		}
	}
	s.ok("delete", s.drv.DeleteDomain(s.ctx(), d.ID))
	s.ok("delete again", s.drv.DeleteDomain(s.ctx(), d.ID))
	if s.look(d.ID) != nil {
		s.Error("the deleted domain is still there")
	}
}

// listed checks that the host lists a domain as it describes it alone.
func (s *suite) listed(id uuid.UUID) {
	s.Helper()
	all, err := s.drv.Domains(s.ctx())
	s.ok("list domains", err)
	i := slices.IndexFunc(all, func(d hypervisor.DomainStatus) bool { return d.ID == id })
	if i < 0 {
		s.Fatal("the domain is not listed")
	}
	if diff := cmp.Diff(*s.look(id), all[i]); diff != "" {
		s.Errorf("the domain is not listed as it is (-alone +listed):\n%s", diff)
	}
}

func (s *suite) stop() {
	graceful := hypervisor.StopMode{ACPI: true, Force: true, Timeout: time.Minute}
	acpi := hypervisor.StopMode{ACPI: true, Timeout: time.Minute}
	off := hypervisor.StopMode{Force: true}
	tests := []struct {
		name   string
		before func(context.Context, uuid.UUID) error
		mode   hypervisor.StopMode
	}{
		{"graceful", nil, graceful},
		{"acpi", nil, acpi},
		{"off", nil, off},
		{"graceful, paused", s.suspend(hypervisor.SuspendRAM), graceful},
		{"off, paused", s.suspend(hypervisor.SuspendRAM), off},
		{"acpi, saved", s.suspend(hypervisor.SuspendDisk), acpi},
		{"off, saved", s.suspend(hypervisor.SuspendDisk), off},
	}
	d := s.domain()
	for _, tt := range tests {
		s.ok(tt.name+": start", s.drv.StartDomain(s.ctx(), d.ID))
		if tt.before != nil {
			s.ok(tt.name+": before", tt.before(s.ctx(), d.ID))
		}
		s.ok(tt.name, s.drv.StopDomain(s.ctx(), d.ID, tt.mode))
		s.wantState(tt.name, d.ID, hypervisor.Stopped)
	}
	s.is("stop in no way", s.drv.StopDomain(s.ctx(), d.ID, hypervisor.StopMode{}), hypervisor.ErrInvalid)
}

func (s *suite) restart() {
	d := s.running()
	for _, mode := range []hypervisor.RestartMode{hypervisor.RestartGraceful, hypervisor.RestartWarm, hypervisor.RestartCold} {
		s.ok(string(mode), s.drv.RestartDomain(s.ctx(), d.ID, mode))
		s.wantState(string(mode), d.ID, hypervisor.Running)
		s.ok("suspend", s.drv.SuspendDomain(s.ctx(), d.ID, hypervisor.SuspendRAM))
		s.ok(string(mode)+" of a paused domain", s.drv.RestartDomain(s.ctx(), d.ID, mode))
		s.wantState(string(mode)+" of a paused domain", d.ID, hypervisor.Running)
		s.ok("stop", s.powerOff(s.ctx(), d.ID))
		s.ok(string(mode)+" of a stopped domain", s.drv.RestartDomain(s.ctx(), d.ID, mode))
		s.wantState(string(mode)+" of a stopped domain", d.ID, hypervisor.Running)
	}
	s.is("restart in no way", s.drv.RestartDomain(s.ctx(), d.ID, "gently"), hypervisor.ErrInvalid)
	s.is("suspend in no way", s.drv.SuspendDomain(s.ctx(), d.ID, "gently"), hypervisor.ErrInvalid)
}

func (s *suite) redefine() {
	d := s.spec()
	d.Name, d.CPUShares = "first", 10
	s.ok("define", s.drv.DefineDomain(s.ctx(), d))
	name := s.look(d.ID).Name
	d.Name, d.Title, d.VCPUs, d.MemoryBytes, d.CPUShares = "second", "other", 2, 96<<20-5, 0
	s.ok("define", s.drv.DefineDomain(s.ctx(), d))
	got := s.look(d.ID)
	if got.VCPUs != 2 || got.MemoryBytes != 96<<20 || got.Name != name || !got.Managed {
		s.Errorf("redefined as %+v, want 2 processors, 96 MiB and the name %s", got, name)
	}
}

// adjust changes the size of a domain that runs.
func (s *suite) adjust() {
	host, err := s.drv.Info(s.ctx())
	s.ok("describe the host", err)
	d := s.running()
	s.wantLive("starting", d, d)
	small := d
	d.VCPUs, d.MemoryBytes = d.VCPUs+1, 2*d.MemoryBytes
	s.ok("define", s.drv.DefineDomain(s.ctx(), d))
	s.wantLive("defining", d, small)
	for range 2 {
		s.ok("adjust", s.drv.AdjustDomain(s.ctx(), d.ID))
		live := small
		if host.CPUs >= d.VCPUs {
			live.VCPUs = d.VCPUs
		}
		s.wantLive("adjusting", d, live)
	}
	s.ok("suspend", s.drv.SuspendDomain(s.ctx(), d.ID, hypervisor.SuspendRAM))
	s.ok("adjust what is paused", s.drv.AdjustDomain(s.ctx(), d.ID))
	s.ok("stop", s.powerOff(s.ctx(), d.ID))
	s.ok("adjust what is stopped", s.drv.AdjustDomain(s.ctx(), d.ID))
	s.wantLive("stopping", d, hypervisor.Domain{})
	s.ok("start", s.drv.StartDomain(s.ctx(), d.ID))
	s.wantLive("starting again", d, d)
	if s.traits.Simulated {
		small.VCPUs, small.MemoryBytes = 1, d.MemoryBytes-(8<<20)
		s.ok("define as less", s.drv.DefineDomain(s.ctx(), small))
		s.ok("adjust", s.drv.AdjustDomain(s.ctx(), d.ID))
		s.wantLive("adjusting to less", small, small)
	}
	s.is("adjust what is missing", s.drv.AdjustDomain(s.ctx(), uuid.New()), hypervisor.ErrNotFound)
}

// wantLive checks the definition of a domain and what it has now.
func (s *suite) wantLive(what string, defined, live hypervisor.Domain) {
	s.Helper()
	got := s.look(defined.ID)
	if got == nil || got.VCPUs != defined.VCPUs || got.MemoryBytes != defined.MemoryBytes || got.LiveVCPUs != live.VCPUs || got.LiveMemoryBytes != live.MemoryBytes {
		s.Errorf("after %s: it is %+v, want it defined with %d processors and %d bytes and to have %d and %d", what, got,
			defined.VCPUs, defined.MemoryBytes, live.VCPUs, live.MemoryBytes)
	}
}

// hostile is what clients may write where people read it.
var hostile = []string{
	`"><&]]>`,
	`<title>x</title></domain><domain type='kvm'>`,
	"\x00\x01\x1b[31m\u0085\u2028\ufffe\uffff",
	"two\nlines\tand\ra return",
	"\xff\xfe not UTF-8 \xc0\xaf",
	"&lt;&#0;&undefined;<![CDATA[ x ]]><!-- - --><?pi ?>",
	"../../etc/passwd",
	"unicode ÄÖ 漢字 🚀 \u202e",
	strings.Repeat("long ", 1000),
}

func (s *suite) hostileText() {
	for _, text := range hostile {
		d := s.spec()
		d.Name, d.Title = text, text
		s.ok("define a domain", s.drv.DefineDomain(s.ctx(), d))
		s.ok("define it again", s.drv.DefineDomain(s.ctx(), d))
		if got := s.look(d.ID); got == nil || !got.Managed || got.VCPUs != d.VCPUs || len(got.Disks)+len(got.NICs) != 0 {
			s.Errorf("the domain with title %q is %+v", text, got)
		}
		n := s.networkSpec()
		n.Name, n.Title = text, text
		s.ok("define a network", s.drv.DefineNetwork(s.ctx(), n))
		s.ok("define it again", s.drv.DefineNetwork(s.ctx(), n))
		if got := s.lookNetwork(n.ID); got == nil || !got.Managed {
			s.Errorf("the network with title %q is %+v", text, got)
		}
	}
}

func (s *suite) invalidDomain() {
	tests := map[string]func(*hypervisor.Domain){
		"no processors":            func(d *hypervisor.Domain) { d.VCPUs = 0 },
		"no memory":                func(d *hypervisor.Domain) { d.MemoryBytes = 0 },
		"negative memory":          func(d *hypervisor.Domain) { d.MemoryBytes = -1 },
		"negative shares":          func(d *hypervisor.Domain) { d.CPUShares = -1 },
		"a kernel of the host":     func(d *hypervisor.Domain) { d.Kernel = "/etc/shadow" },
		"a kernel up the tree":     func(d *hypervisor.Domain) { d.Kernel = "/var/lib/libvirt/boot/../../../../etc/shadow" },
		"a relative kernel":        func(d *hypervisor.Domain) { d.Kernel = "vmlinuz" },
		"a command line only":      func(d *hypervisor.Domain) { d.Kernel, d.Cmdline = "", "quiet" },
		"a device of no such name": func(d *hypervisor.Domain) { d.NICs = []hypervisor.NIC{{ID: uuid.New(), MAC: "no address"}} },
	}
	network := s.newNetwork()
	for name, spoil := range tests {
		d := s.spec()
		spoil(&d)
		for i := range d.NICs {
			d.NICs[i].Network = network.ID
		}
		s.is(name, s.drv.DefineDomain(s.ctx(), d), hypervisor.ErrInvalid)
		if s.look(d.ID) != nil {
			s.Errorf("%s: the domain is there though it was refused", name)
		}
	}
}

func (s *suite) missingDomain() {
	id, ctx := uuid.New(), s.ctx()
	disk := hypervisor.Disk{ID: uuid.New(), Volume: s.newVolume().ID, Target: "vda"}
	nic := hypervisor.NIC{ID: uuid.New(), Network: s.newNetwork().ID, MAC: "02:00:00:00:00:01"}
	for name, err := range map[string]error{
		"start":       s.drv.StartDomain(ctx, id),
		"stop":        s.drv.StopDomain(ctx, id, hypervisor.StopMode{Force: true}),
		"restart":     s.drv.RestartDomain(ctx, id, hypervisor.RestartCold),
		"suspend":     s.drv.SuspendDomain(ctx, id, hypervisor.SuspendRAM),
		"attach disk": s.drv.AttachDisk(ctx, id, disk),
		"attach NIC":  s.drv.AttachNIC(ctx, id, nic),
	} {
		s.is(name, err, hypervisor.ErrNotFound)
	}
	s.ok("detach disk", s.drv.DetachDisk(ctx, id, disk.ID))
	s.ok("detach NIC", s.drv.DetachNIC(ctx, id, nic.ID))
	s.ok("delete", s.drv.DeleteDomain(ctx, id))
}

// foreign checks that what others made is listed and left alone.
func (s *suite) foreign() {
	id, ctx := s.traits.Foreign(s.T), s.ctx()
	before := s.look(id)
	if before == nil || before.Managed {
		s.Fatalf("the domain of others is listed as %+v", before)
	}
	own := s.spec()
	own.ID = id
	s.is("define", s.drv.DefineDomain(ctx, own), hypervisor.ErrInvalid)
	for name, err := range map[string]error{
		"start":   s.drv.StartDomain(ctx, id),
		"stop":    s.drv.StopDomain(ctx, id, hypervisor.StopMode{Force: true}),
		"restart": s.drv.RestartDomain(ctx, id, hypervisor.RestartCold),
		"suspend": s.drv.SuspendDomain(ctx, id, hypervisor.SuspendRAM),
	} {
		s.is(name, err, hypervisor.ErrNotFound)
	}
	s.ok("detach", s.drv.DetachDisk(ctx, id, uuid.New()))
	s.ok("delete", s.drv.DeleteDomain(ctx, id))
	if after := s.look(id); after == nil || after.State != before.State || after.Name != before.Name {
		s.Errorf("the domain of others was changed from %+v to %+v", before, after)
	}
}
