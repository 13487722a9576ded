#!/bin/busybox sh
# Runs QEMU's guest agent on its channel, which hangs from when there is an eth1. Until
# then it tells of an address that no network handed out. What is on a disk is overwritten.

await() {
	until "$@"; do
		usleep 50000
	done
}

port() {
	for name in /sys/class/virtio-ports/*/name; do
		if grep -q '^org.qemu.guest_agent.0$' "$name" 2>/dev/null; then
			name=${name%/name}
			port=/dev/${name##*/}
			return 0
		fi
	done
	return 1
}

mkdir -p /tmp /run
(
	await [ -e /run/address-eth0 ]
	ip addr add 192.0.2.77/32 dev eth0
) &
(
	await [ -b /dev/vda ]
	dd if=/dev/zero of=/dev/vda bs=64k count=4 conv=fsync 2>/dev/null
) &
(
	await port
	qemu-ga --method virtio-serial --path "$port" --statedir /tmp --pidfile /tmp/agent.pid &
	await [ -e /sys/class/net/eth1 ]
	kill -STOP $!
	echo "guest: agent hangs"
) &
