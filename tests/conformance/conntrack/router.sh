#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# The router between 'client' and 'server': a network namespace whose two ends are TUN devices. What conntrack says of a
# packet goes out in its DSCP: 1 new, 2 established, 3 related, 4 invalid, 5 untracked.
set -e
ip link set lo up
for dev in client server; do
	echo 0 > /proc/sys/net/ipv4/conf/$dev/rp_filter
	ip link set $dev mtu 9000 up
done
echo 0 > /proc/sys/net/ipv4/conf/all/rp_filter
echo 1 > /proc/sys/net/ipv4/ip_forward
echo 1 > /proc/sys/net/ipv6/conf/all/forwarding
ip route add 10.1.0.0/16 dev client
ip route add 10.2.0.0/16 dev server
ip route add fd01::/64 dev client
ip route add fd02::/64 dev server
# An address to send errors from: without one the router would be no router.
ip address add 10.3.0.1/32 dev lo
ip address add fd03::1/128 dev lo
nft -f - << 'RULES'
table inet judge {
	chain forward {
		type filter hook forward priority 0; policy accept;
		meta nfproto ipv4 ct state vmap { new : goto new4, established : goto est4, related : goto rel4, invalid : goto inv4, untracked : goto unt4 }
		meta nfproto ipv6 ct state vmap { new : goto new6, established : goto est6, related : goto rel6, invalid : goto inv6, untracked : goto unt6 }
	}
	chain new4 { ip dscp set 1; }
	chain est4 { ip dscp set 2; }
	chain rel4 { ip dscp set 3; }
	chain inv4 { ip dscp set 4; }
	chain unt4 { ip dscp set 5; }
	chain new6 { ip6 dscp set 1; }
	chain est6 { ip6 dscp set 2; }
	chain rel6 { ip6 dscp set 3; }
	chain inv6 { ip6 dscp set 4; }
	chain unt6 { ip6 dscp set 5; }
}
RULES
