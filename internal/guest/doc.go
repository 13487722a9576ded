// Package guest is what a virtual machine sees of itself.
//
// A guest asks 169.254.169.254 (or fe80::a9fe:a9fe, fd00:ec2::254) on the network it is in. Bridges
// listens there on the host, and tells who asks by the bridge, the source address
// and the MAC address that the host's neighbour table has for it: a Peer. What it
// asks is answered by a Handler, in the same process or, through a Proxy and a Gate
// that share a Key, in another.
//
// A Handler speaks four dialects of one Machine: OCCI, EC2's metadata tree,
// OpenStack's and NoCloud's files. The last are also the content of the disk that a
// machine is given at its start.
package guest
