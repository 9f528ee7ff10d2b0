/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The packet path between the node and the world, on every device that leads out of the node.
 *
 *   from_wire  ingress
 *   to_wire    egress
 *
 * The programs whose names end in _l3 are the same for devices without a link header (tun, ipip, wireguard).
 */
#include "frontend.h"
#include "packet.h"

PURE int from_wire_at(struct __sk_buff *skb, __u32 l3)
{
	struct packet packet = {};

	if (parse_transport(skb, l3, HOOK_FROM_WIRE, &packet))
		return TC_ACT_UNSPEC;
	return TC_ACT_UNSPEC;
}

SEC("tc")
int from_wire(struct __sk_buff *skb)
{
	return from_wire_at(skb, ETH_HLEN);
}

SEC("tc")
int from_wire_l3(struct __sk_buff *skb)
{
	return from_wire_at(skb, 0);
}

/*
 * A service address that nobody translated must not leave: here and not earlier, because another proxy may
 * own it. A veth that is not attached yet, a protocol that Services do not know and fragments end here.
 */
PURE int to_wire_at(struct __sk_buff *skb, __u32 l3)
{
	struct cidr_key cidr = {.prefix_length = 128};
	struct frontend frontend = {};
	struct packet packet = {};

	if (parse_ip(skb, l3, &packet))
		return TC_ACT_UNSPEC;
	switch (address_find(&packet.tuple.destination, &frontend)) {
	case FOUND:
		return drop(frontend.service_port, REASON_DROP_UNTRANSLATED);
	case UNSTABLE:
		return drop(0, REASON_DROP_UNSTABLE_ROW);
	}
	cidr.address = packet.tuple.destination;
	if (bpf_map_lookup_elem(&service_cidrs, &cidr))
		return drop(0, REASON_DROP_UNALLOCATED);
	return TC_ACT_UNSPEC;
}

SEC("tc")
int to_wire(struct __sk_buff *skb)
{
	return to_wire_at(skb, ETH_HLEN);
}

SEC("tc")
int to_wire_l3(struct __sk_buff *skb)
{
	return to_wire_at(skb, 0);
}

char _license[] SEC("license") = "Dual BSD/GPL";
