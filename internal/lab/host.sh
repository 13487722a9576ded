# The first process of a lab host, in process, mount, network, host name and IPC
# namespaces of its own. Arguments: the host's name, its UUID, and the address at
# which other hosts reach it, empty for none. It prints
# "ready" when libvirt answers, "failed" when it will not, and lives until its
# standard input ends. With it the kernel ends every other process of the host
# and drops its mounts and its network.

setup() {
	set -e
	mount --make-rslave /
	mount -t proc proc /proc
	mount -t sysfs sysfs /sys
	hostname "$1"
	ip link set lo up

	for dir in /var/lib/libvirt /var/cache/libvirt /var/log/libvirt /run; do
		mkdir -p "$dir"
		mount -t tmpfs -o mode=755 lab "$dir"
	done
	mkdir -p /run/lock /run/lab/qemu

	# A nested KVM may be slower than TCG by orders of magnitude: hide it behind a
	# file that cannot be written, or libvirt asks QEMU about it at every turn.
	if [ -e /dev/kvm ]; then
		: >/run/lab/kvm
		mount --bind /run/lab/kvm /dev/kvm
		mount -o remount,bind,ro /dev/kvm
	fi

	[ ! -d /etc/libvirt/nwfilter ] || cp -a /etc/libvirt/nwfilter /run/lab/
	mkdir -p /etc/libvirt
	mount --bind /run/lab /etc/libvirt

	cat >/etc/libvirt/libvirtd.conf <<-END
		host_uuid = "$2"
		auth_unix_rw = "none"
	END
	cat >/etc/libvirt/qemu.conf <<-END
		security_driver = "none"
		user = "root"
		group = "root"
		remember_owner = 0
		cgroup_controllers = [ ]
		namespaces = [ ]
	END
	[ -z "$3" ] || echo "migration_host = \"$3\"" >>/etc/libvirt/qemu.conf
	virtlogd -d
	libvirtd -d
	virsh -q -c qemu:///system uri >/dev/null
}

# In the background, so that the end of standard input is noticed meanwhile. The
# shell honours set -e only where nothing depends on the status at once.
{
	(setup "$@")
	[ $? = 0 ] && echo ready || echo failed
} </dev/null &
cat >/dev/null
exit
