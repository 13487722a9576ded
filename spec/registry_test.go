package spec

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/occid/occid/occi"
)

const (
	infra = "http://schemas.ogf.org/occi/infrastructure#"
	crtp  = "http://schemas.ogf.org/occi/infrastructure/compute/template/1.1#"
	occid = "http://schemas.occid.org/occi/core#"
)

// standard is what the standards' tables say of each category: an attribute's
// name, type, and whether clients may change it (rw), give it at creation only
// (init), may not set it (ro) or must give it (req).
var standard = map[string][]string{
	occi.EntityKind:   {"occi.core.id string init", "occi.core.title string rw"},
	occi.ResourceKind: {"occi.core.summary string rw"},
	occi.LinkKind: {"occi.core.source string init", "occi.core.source.kind string init",
		"occi.core.target string init", "occi.core.target.kind string init"},
	infra + "compute": {"occi.compute.architecture string rw", "occi.compute.cores integer rw =1",
		"occi.compute.hostname string rw", "occi.compute.share integer rw", "occi.compute.speed number rw",
		"occi.compute.memory number rw =1.0", "occi.compute.state string ro", "occi.compute.state.message string ro", "occid.compute.pending string ro", "occid.compute.lost string ro",
		"occid.compute.image string ro", "occid.compute.disk.size number rw", "occid.compute.firmware string init",
		"occid.compute.graphics string rw", "occid.compute.imported string ro"},
	infra + "network": {"occi.network.vlan integer rw", "occi.network.label string rw",
		"occi.network.state string ro", "occi.network.state.message string ro",
		"occid.network.mode string rw", "occid.network.bridge string rw", "occid.network.domain string rw", "occid.network.imported string ro"},
	"http://schemas.occid.org/occi/network#ip6network": {"occid.network.address6 string rw", "occid.network.gateway6 string rw"},
	"http://schemas.ogf.org/occi/infrastructure/network#ipnetwork": {"occi.network.address string rw",
		"occi.network.gateway string rw", "occi.network.allocation string rw"},
	infra + "storage": {"occi.storage.size number req", "occi.storage.state string ro",
		"occi.storage.state.message string ro", "occid.storage.pool string init"},
	infra + "networkinterface": {"occi.networkinterface.interface string init", "occi.networkinterface.mac string rw",
		"occi.networkinterface.state string ro", "occi.networkinterface.state.message string ro"},
	"http://schemas.ogf.org/occi/infrastructure/networkinterface#ipnetworkinterface": {
		"occi.networkinterface.address string rw", "occi.networkinterface.gateway string rw",
		"occi.networkinterface.allocation string rw"},
	"http://schemas.occid.org/occi/networkinterface#ip6networkinterface": {
		"occid.networkinterface.address6 string rw", "occid.networkinterface.gateway6 string rw"},
	infra + "storagelink": {"occi.storagelink.deviceid string rw", "occi.storagelink.mountpoint string rw",
		"occi.storagelink.state string ro", "occi.storagelink.state.message string ro",
		"occid.storagelink.readonly boolean init", "occid.storagelink.serial string ro"},
	infra + "os_tpl":       nil,
	infra + "resource_tpl": nil,
	"http://schemas.ogf.org/occi/infrastructure/credentials#ssh_key": {"occi.credentials.ssh.publickey string rw"},
	"http://schemas.ogf.org/occi/infrastructure/compute#user_data": {"occi.compute.userdata string once",
		"occi.compute.user_data string once"},
	crtp + "small": {"occi.compute.cores integer rw =1", "occi.compute.memory number rw =1.0",
		"occi.compute.ephemeral_storage.size number init =10.0", "occi.compute.ephemeral_storage.deviceid string rw"},
	crtp + "medium": {"occi.compute.cores integer rw =2", "occi.compute.memory number rw =2.0",
		"occi.compute.ephemeral_storage.size number init =20.0", "occi.compute.ephemeral_storage.deviceid string rw"},
	crtp + "large": {"occi.compute.cores integer rw =4", "occi.compute.memory number rw =4.0",
		"occi.compute.ephemeral_storage.size number init =40.0", "occi.compute.ephemeral_storage.deviceid string rw"},
	crtp + "mem_small": {"occi.compute.cores integer rw =1", "occi.compute.memory number rw =4.0",
		"occi.compute.ephemeral_storage.size number init =10.0", "occi.compute.ephemeral_storage.deviceid string rw"},
	crtp + "mem_medium": {"occi.compute.cores integer rw =2", "occi.compute.memory number rw =8.0",
		"occi.compute.ephemeral_storage.size number init =20.0", "occi.compute.ephemeral_storage.deviceid string rw"},
	crtp + "mem_large": {"occi.compute.cores integer rw =4", "occi.compute.memory number rw =16.0",
		"occi.compute.ephemeral_storage.size number init =40.0", "occi.compute.ephemeral_storage.deviceid string rw"},
	"http://schemas.openstack.org/compute/instance#user_data": {"org.openstack.compute.user_data string once",
		"occi.compute.user_data string once"},
	"http://schemas.openstack.org/instance/credentials#public_key": {"org.openstack.credentials.publickey.name string rw",
		"org.openstack.credentials.publickey.data string rw"},
	occid + "audit": {"occid.audit.number integer ro", "occid.audit.time string ro", "occid.audit.what string ro", "occid.audit.user string ro", "occid.audit.login string ro",
		"occid.audit.project string ro", "occid.audit.address string ro", "occid.audit.request string ro", "occid.audit.method string ro", "occid.audit.path string ro",
		"occid.audit.status integer ro", "occid.audit.times integer ro", "occid.audit.entity string ro", "occid.audit.kind string ro", "occid.audit.owner string ro",
		"occid.audit.task string ro", "occid.audit.verb string ro", "occid.audit.message string ro", "occid.audit.before string ro", "occid.audit.after string ro"},
	occid + "task": {"occid.task.state string ro", "occid.task.verb string ro", "occid.task.progress integer ro", "occid.task.bytes integer ro", "occid.task.bytes.total integer ro",
		"occid.task.attempts integer ro", "occid.task.error string ro", "occid.task.entity string ro",
		"occid.task.who string ro", "occid.task.created string ro", "occid.task.started string ro",
		"occid.task.finished string ro"},
	"http://schemas.occid.org/occi/network#security_group": {"occid.security.rules string rw"},
	occid + "tasklink":                             nil,
	"http://schemas.occid.org/occi/storage#copy":   {"occid.copy.of string ro", "occid.copy.taken string ro"},
	"http://schemas.occid.org/occi/storage#backup": nil,
	"http://schemas.occid.org/occi/storage#image": {"occid.storage.readonly boolean init =true", "occid.image.source string init",
		"occid.image.checksum string init", "occid.image.file string ro", "occid.image.stamp string ro"},
	"http://schemas.occid.org/occi/storage#snapshot": nil,
	"http://schemas.occid.org/occi/compute#guest": {"occid.guest.metadata string rw", "occid.guest.readable string rw",
		"occid.guest.writable string rw", "occid.guest.token string rw", "occid.guest.drive string rw", "occid.guest.ready boolean rw"},
	"http://schemas.occid.org/occi/storage#usage": {"occid.storage.allocated number ro", "occid.storage.observed string ro"},
	"http://schemas.occid.org/occi/compute#statistics": {"occid.statistics.state string ro", "occid.statistics.reason string ro",
		"occid.statistics.addresses array ro", "occid.statistics.agent string ro", "occid.statistics.cpu.time number ro",
		"occid.statistics.memory.available number ro", "occid.statistics.memory.used number ro",
		"occid.statistics.disk.allocated number ro", "occid.statistics.disk.read integer ro", "occid.statistics.disk.reads integer ro",
		"occid.statistics.disk.written integer ro", "occid.statistics.disk.writes integer ro",
		"occid.statistics.network.received integer ro", "occid.statistics.network.sent integer ro", "occid.statistics.at string ro"},
	occi.HostKind: {"occid.host.uri string init", "occid.host.cores.offered integer rw", "occid.host.memory.offered number rw", "occid.host.state string ro", "occid.host.state.message string ro", "occid.host.hostname string ro",
		"occid.host.uuid string ro", "occid.host.architecture string ro", "occid.host.hypervisor string ro",
		"occid.host.hypervisor.version string ro", "occid.host.manager.version string ro", "occid.host.cores integer ro",
		"occid.host.memory number ro", "occid.host.cores.allocated integer ro", "occid.host.memory.allocated number ro",
		"occid.host.computes integer ro", "occid.host.cores.overcommit number rw", "occid.host.memory.overcommit number rw",
		"occid.host.labels string rw", "occid.host.fenced string ro", "occid.host.moved string ro"},
	occi.UserKind: {"occid.user.name string req", "occid.user.secret string rw", "occid.user.administrator boolean rw",
		"occid.user.disabled boolean rw", "occid.user.secret.changed string ro", "occid.user.by string ro"},
	occi.ProjectKind:    nil,
	occi.MembershipKind: {"occid.membership.role string rw =member", "occid.membership.hosts string rw", "occid.membership.by string ro"},
	occi.TokenKind:      {"occid.token.project string init", "occid.token.expires string init", "occid.token.secret string ro"},
	occi.SessionKind:    {"occid.session.expires string init"},
	occi.IdentityKind:   {"occid.identity.mechanism string req", "occid.identity.subject string req", "occid.identity.user string req"},
	occi.SharedMixin:    nil,
	occi.QuotaKind: {"occid.quota.of string ro", "occid.quota.computes integer rw", "occid.quota.computes.used integer ro",
		"occid.quota.cores integer rw", "occid.quota.cores.used integer ro", "occid.quota.memory number rw", "occid.quota.memory.used number ro",
		"occid.quota.storage number rw", "occid.quota.storage.used number ro", "occid.quota.addresses integer rw", "occid.quota.addresses.used integer ro",
		"occid.quota.images integer rw", "occid.quota.images.used integer ro", "occid.quota.requests number rw"},
	"http://schemas.occid.org/occi/placement#host_labels":    {"occid.placement.labels string init"},
	"http://schemas.occid.org/occi/infrastructure#host_pool": nil,
	"http://schemas.occid.org/occi/infrastructure#poolhost":  nil,
	"http://schemas.occid.org/occi/infrastructure#domain": {"occid.domain.uuid string ro", "occid.domain.name string ro", "occid.domain.state string ro", "occid.domain.state.message string ro",
		"occid.domain.cores integer ro", "occid.domain.memory number ro", "occid.domain.disks array ro", "occid.domain.interfaces array ro", "occid.domain.host string ro",
		"occid.domain.importable boolean ro", "occid.domain.obstacles array ro"},
	"http://schemas.occid.org/occi/infrastructure#storage_pool": {"occid.storagepool.name string req", "occid.storagepool.type string req", "occid.storagepool.source string req",
		"occid.storagepool.target string init", "occid.storagepool.capacity.offered number rw", "occid.storagepool.overcommit number rw", "occid.storagepool.shared boolean rw", "occid.storagepool.state string ro",
		"occid.storagepool.state.message string ro", "occid.storagepool.capacity number ro", "occid.storagepool.allocated number ro", "occid.storagepool.used number ro",
		"occid.storagepool.free number ro", "occid.storagepool.default boolean ro", "occid.storagepool.configured boolean ro"},
	"http://schemas.occid.org/occi/infrastructure#compute_pool":      {"occid.computepool.members integer ro", "occid.computepool.active integer ro"},
	"http://schemas.occid.org/occi/infrastructure#computepoolmember": nil,
	"http://schemas.occid.org/occi/infrastructure#poolmember":        nil,
	"http://schemas.occid.org/occi/placement#in_pool":                {"occid.placement.pool string init", "occid.placement.pool.id string ro"},
	"http://schemas.occid.org/occi/placement#restart_elsewhere":      {"occid.placement.restart boolean rw =true"},
	"http://schemas.occid.org/occi/placement#affinity":               {"occid.placement.affinity string init"},
	"http://schemas.occid.org/occi/placement#anti_affinity":          {"occid.placement.anti_affinity string init"},
	occid + "direct_boot": {"occid.boot.kernel string rw", "occid.boot.initrd string rw", "occid.boot.cmdline string rw"},
}

func describeAttr(a *occi.Attribute) string {
	mode := "init"
	switch {
	case a.Internal:
		mode = "ro"
	case a.Required:
		mode = "req"
	case a.Once:
		mode = "once"
	case a.Mutable:
		mode = "rw"
	}
	s := fmt.Sprintf("%s %s %s", a.Name, a.Type, mode)
	if !a.Default.IsZero() {
		s += " =" + a.Default.String()
	}
	return s
}

func builtinModel(t *testing.T) *occi.Model {
	t.Helper()
	m, err := Builtin()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestRegistry(t *testing.T) {
	m := builtinModel(t)
	seen := map[string]bool{}
	check := func(c *occi.Category) {
		id := c.ID()
		if seen[id] {
			t.Errorf("%s is there twice", id)
		}
		seen[id] = true
		if c.Title == "" || strings.ContainsAny(c.Title, ",;") {
			t.Errorf("%s: title %q", id, c.Title)
		}
		want, ok := standard[id]
		if !ok {
			t.Errorf("%s is not in the table", id)
		}
		var got []string
		for _, a := range c.Attributes {
			got = append(got, describeAttr(a))
			if a.Internal && a.Mutable {
				t.Errorf("%s is internal and mutable", a.Name)
			}
			if a.Description == "" {
				t.Errorf("%s has no description", a.Name)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s:\n got %q\nwant %q", id, got, want)
		}
	}
	for _, k := range m.Kinds {
		check(&k.Category)
	}
	for _, x := range m.Mixins {
		check(&x.Category)
	}
	for id := range standard {
		if !seen[id] {
			t.Errorf("%s is missing", id)
		}
	}
	for _, a := range m.Actions {
		if seen[a.ID()] {
			t.Errorf("%s is there twice", a.ID())
		}
		seen[a.ID()] = true
		if strings.ContainsAny(a.Title, ",;") || a.Do == "" {
			t.Errorf("%s: title %q, do %q", a.ID(), a.Title, a.Do)
		}
	}
	for _, name := range []string{"occi.compute.state", "occi.compute.cores", "occi.compute.memory", "occi.compute.hostname",
		"occi.compute.architecture", "occi.storage.size", "occi.network.vlan", "occi.network.label", "occi.network.address",
		"occi.networkinterface.address", "occi.networkinterface.mac"} {
		if !m.Indexed(name) {
			t.Errorf("%s is not indexed", name)
		}
	}
}

func TestKinds(t *testing.T) {
	m := builtinModel(t)
	for _, want := range []string{
		"entity / abstract",
		"resource /resource/ abstract <entity",
		"link /link/ link <entity",
		"compute /compute/ domain <resource",
		"network /network/ network <resource",
		"storage /storage/ volume <resource",
		"networkinterface /networkinterface/ link nic >network <link",
		"storagelink /storagelink/ link disk >storage <link",
		"task /task/ <resource",
		"tasklink /tasklink/ link >task <link",
		"host /host/ node <resource",
		"host_pool /pool/ pool <resource",
		"poolmember /poolmember/ link poolmember >host_pool <link",
		"domain /domain/ stray <resource",
		"storage_pool /storagepool/ storepool <resource",
		"poolhost /poolhost/ link poolhost >host <link",
		"compute_pool /computepool/ set <resource",
		"computepoolmember /computepoolmember/ link setmember >compute_pool <link",
		"user /user/ user <resource",
		"project /project/ project <resource",
		"membership /membership/ link membership >project <link",
		"token /token/ token <resource",
		"session /session/ session <resource",
		"identity /identity/ identity <resource",
	} {
		k := m.KindNamed(strings.Fields(want)[0])
		got := k.Term + " " + k.Location
		if k.Abstract {
			got += " abstract"
		}
		if k.Link {
			got += " link"
		}
		if k.Host != "" {
			got += " " + k.Host
		}
		if k.TargetKind != "" {
			got += " >" + m.Kind(k.TargetKind).Term
		}
		if k.Parent != "" {
			got += " <" + m.Kind(k.Parent).Term
		}
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	var order []string
	for _, k := range m.Kinds {
		order = append(order, k.Term)
	}
	if got := strings.Join(order, " "); !strings.HasPrefix(got, "entity resource link compute network storage networkinterface storagelink") {
		t.Errorf("order %s", got)
	}
	for alias, term := range map[string]string{"server": "compute", "drive": "storage", "volume": "storage", "nic": "networkinterface", "pool": "host_pool"} {
		if k := m.KindNamed(alias); k == nil || k.Term != term {
			t.Errorf("%s is %v", alias, k)
		}
	}
}

func TestStates(t *testing.T) {
	m := builtinModel(t)
	transitions := map[string]string{
		"domain":       "inactive->active active->suspended active->error inactive-import>inactive active-import>active suspended-import>suspended error-import>error",
		"storage_pool": "down->up up->down up-disable>disabled down-disable>disabled disabled-enable>up",
		"compute": "inactive-start>active active-stop>inactive active-restart>active active-suspend>suspended " +
			"inactive-save>inactive active-save>active suspended-start>active suspended-stop>inactive error-start>active error-stop>inactive " +
			"inactive->error active->error suspended->error inactive-migrate>inactive active-migrate>active suspended-migrate>suspended",
		"network": "inactive-up>active active-down>inactive error-up>active error-down>inactive",
		"storage": "offline-online>online online-offline>offline error-online>online error-offline>offline " +
			"offline-resize>offline online-resize>online " +
			"offline-backup>offline online-backup>online offline-snapshot>offline online-snapshot>online online-template>online",
		"networkinterface": "inactive->active active->inactive error->active error->inactive",
		"storagelink":      "inactive->active active->inactive error->active error->inactive",
		"host":             "down->up up->down up-drain>maintenance down-drain>maintenance maintenance-drain>maintenance maintenance-activate>up",
	}
	for _, k := range m.Kinds {
		s := k.States
		if s == nil {
			if transitions[k.Term] != "" {
				t.Errorf("%s has no states", k.Term)
			}
			continue
		}
		if a := k.Attribute(s.Attribute); !slices.Equal(sorted(a.Enum), sorted(s.Values)) {
			t.Errorf("%s: states %v, enumeration %v", k.Term, s.Values, a.Enum)
		}
		var got []string
		for _, tr := range s.Transitions {
			got = append(got, tr.From+"-"+tr.Action+">"+tr.To)
			if !has(s.Values, tr.From) || !has(s.Values, tr.To) {
				t.Errorf("%s: %+v names a state that is not there", k.Term, tr)
			}
			if tr.Through == "" {
				t.Errorf("%s: %+v says nothing on its way", k.Term, tr)
			}
			if tr.Action != "" && m.ActionOf(k, nil, tr.Action) == nil {
				t.Errorf("%s: %+v names an action that is not there", k.Term, tr)
			}
		}
		if j := strings.Join(got, " "); j != transitions[k.Term] {
			t.Errorf("%s:\n got %s\nwant %s", k.Term, j, transitions[k.Term])
		}
		reached := reachable(s)
		for _, v := range s.Values {
			if !reached[v] {
				t.Errorf("%s: %s cannot be reached", k.Term, v)
			}
		}
	}
	s := m.KindNamed("compute").States
	for alias, v := range map[string]string{"stopped": "inactive", "running": "active", "paused": "suspended"} {
		if s.Canonical(alias) != v {
			t.Errorf("%s stands for %q", alias, s.Canonical(alias))
		}
	}
	e := &occi.Entity{Kind: infra + "compute"}
	e.Attributes.Set("occi.compute.state", occi.Str("inactive"))
	if p := m.Possible(e); len(p) != 3 || p[0].Term != "start" || p[1].Term != "save" || p[2].Term != "migrate" {
		t.Errorf("an inactive compute can %v", p)
	}
}

func TestMixins(t *testing.T) {
	m := builtinModel(t)
	for _, x := range m.Mixins {
		if len(x.Applies) != 1 && x.Term != "security_group" && x.Term != "shared" && x.Scheme != "http://schemas.occid.org/occi/placement#" {
			t.Errorf("%s applies to %v", x.ID(), x.Applies)
		}
		wantDeps := 0
		if x.Scheme == crtp || x.Term == "backup" || x.Term == "snapshot" || x.Term == "image" {
			wantDeps = 1
		}
		if len(x.Depends) != wantDeps {
			t.Errorf("%s depends on %v", x.ID(), x.Depends)
		}
		if base := x.ID() == infra+"os_tpl" || x.ID() == infra+"resource_tpl"; x.Exclusive != base {
			t.Errorf("%s: exclusive is %v", x.ID(), x.Exclusive)
		}
	}
}

func TestShortNames(t *testing.T) {
	m := builtinModel(t)
	for kind, names := range map[string]map[string]string{
		"compute": {"cores": "occi.compute.cores", "cpu": "occi.compute.speed", "memory": "occi.compute.memory",
			"state": "occi.compute.state", "status": "occi.compute.state", "speed": "occi.compute.speed", "message": "occi.compute.state.message", "share": "occi.compute.share",
			"architecture": "occi.compute.architecture", "hostname": "occi.compute.hostname",
			"publickey": "occi.credentials.ssh.publickey", "userdata": "occi.compute.userdata",
			"kernel": "occid.boot.kernel", "initrd": "occid.boot.initrd", "cmdline": "occid.boot.cmdline"},
		"storage": {"size": "occi.storage.size", "state": "occi.storage.state"},
		"network": {"vlan": "occi.network.vlan", "label": "occi.network.label", "address": "occi.network.address",
			"gateway": "occi.network.gateway", "allocation": "occi.network.allocation"},
		"networkinterface": {"interface": "occi.networkinterface.interface", "mac": "occi.networkinterface.mac",
			"address": "occi.networkinterface.address"},
		"storagelink": {"deviceid": "occi.storagelink.deviceid", "mountpoint": "occi.storagelink.mountpoint"},
	} {
		k := m.KindNamed(kind)
		for short, long := range names {
			if got := m.Long(k, short); got != long {
				t.Errorf("%s of %s is %s", short, kind, got)
			}
		}
	}
	for name, role := range map[string]string{"occi.compute.cores": "domain.vcpus", "occi.compute.memory": "domain.memory",
		"occi.compute.architecture": "domain.arch", "occi.compute.share": "domain.shares",
		"occi.compute.hostname": "domain.hostname", "occi.storage.size": "volume.size", "occi.network.vlan": "network.vlan",
		"occi.network.label": "network.label", "occi.network.address": "network.cidr",
		"occi.network.gateway": "network.gateway", "occi.network.allocation": "network.allocation",
		"occid.network.mode": "network.mode", "occid.network.bridge": "network.bridge", "occid.network.domain": "network.dns",
		"occid.network.address6": "network.cidr6", "occid.network.gateway6": "network.gateway6",
		"occi.networkinterface.mac": "nic.mac", "occi.networkinterface.interface": "nic.interface",
		"occi.networkinterface.address": "nic.address", "occi.networkinterface.gateway": "nic.gateway",
		"occi.networkinterface.allocation": "nic.allocation", "occid.networkinterface.address6": "nic.address6",
		"occid.networkinterface.gateway6": "nic.gateway6", "occi.storagelink.deviceid": "disk.target",
		"occid.security.rules": "nic.rules", "occid.boot.kernel": "domain.kernel", "occid.boot.initrd": "domain.initrd", "occid.boot.cmdline": "domain.cmdline"} {
		if a := m.Attribute(name); a == nil || a.Role != role {
			t.Errorf("%s: %+v", name, a)
		}
	}
}

func sorted(list []string) []string {
	return slices.Sorted(slices.Values(list))
}
