/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#pragma once
#include "fib.h"
#include "hop.h"
#include "masquerade.h"
#include "reject.h"

/*
 * Packets whose source becomes the node's. They leave right from the hook, past the node's own routing, which would take
 * a packet from one of its own addresses for a forgery. So what routing does is done here: the hop limit, the way's MTU,
 * and the ICMP errors that say so.
 */

enum way {
	WAY_OUT,     /* by a device that carries our programs */
	WAY_LOCAL,   /* to the node itself, a pod of it, or nowhere: its own routing knows */
	WAY_NARROW,  /* does not fit: `mtu` */
	WAY_NONE,    /* forbidden, or by a tunnel that is no device */
	WAY_NAMELESS /* no source address there */
};

struct route {
	struct address source; /* what the node is called on that way */
	struct bpf_redir_neigh next_hop;
	__u32 ifindex;
	__u32 mtu;
};

/* The source that the agent knows for this device, where the kernel does not tell. */
PURE int known_source(const struct wire *wire, const struct packet *packet, struct route *route)
{
	route->source = packet->ipv6 ? wire->ipv6 : wire->ipv4;
	return is_zero_address(&route->source) ? WAY_NAMELESS : WAY_OUT;
}

/* Has the route an mtu that the kernel's own routing minds and bpf_fib_lookup() does not? */
__noinline int route_is_narrow(const struct packet *packet, const struct address *destination, __u32 length,
			       struct route *route)
{
	struct cidr_key key = {.prefix_length = 128};
	const __u32 *mtu;

	if (!packet || !destination || !route || packet->ipv6)
		return false;
	key.address = *destination;
	mtu = bpf_map_lookup_elem(&route_mtus, &key);
	if (!mtu || !*mtu || length <= *mtu)
		return false;
	route->mtu = *mtu;
	return true;
}

/* `length`: as route_find() has it. */
PURE int way_of(const struct packet *packet, const struct bpf_fib_lookup *fib, const struct address *destination,
		__u32 length, struct route *route)
{
	bool named = !length;
	const struct wire *wire = bpf_map_lookup_elem(&wires, &fib->ifindex);

	if (!wire)
		return WAY_LOCAL;
	route->ifindex = fib->ifindex;
	if (!named && wire->flags & WIRE_ROUTE_MTUS && route_is_narrow(packet, destination, length, route))
		return WAY_NARROW;
	route->mtu = fib->mtu_result;
	route->next_hop.nh_family = fib->family;
	if (fib->family == AF_INET6)
		__builtin_memcpy(route->next_hop.ipv6_nh, fib->ipv6_dst, sizeof(fib->ipv6_dst));
	else
		route->next_hop.ipv4_nh = fib->ipv4_dst;
	if (!named)
		return WAY_OUT;
	if (!config.fib_source || (!packet->ipv6 && !fib->ipv4_src))
		return known_source(wire, packet, route);
	if (packet->ipv6)
		__builtin_memcpy(&route->source, fib->ipv6_src, sizeof(route->source));
	else
		map_ipv4(&route->source, fib->ipv4_src);
	return WAY_OUT;
}

/*
 * The way that a packet of this source takes from here to `destination`. `length`: bytes of IP that must fit; 0: any, and
 * what the node is called there is asked too, which a flow that exists knows. `route` is all zero.
 */
__noinline int route_find(struct __sk_buff *skb, const struct packet *packet, const struct address *destination,
			  __u32 length, struct route *route)
{
	struct bpf_fib_lookup fib = {};
	bool named = !length;
	long result;

	if (!packet || !destination || !route)
		return WAY_NONE;
	fib_question(packet, destination, &fib);
	fib.ifindex = skb->ifindex;
	fib.tot_len = length;
	result = bpf_fib_lookup(skb, &fib, sizeof(fib), named && config.fib_source ? FIB_LOOKUP_SRC : 0);
	switch (result) {
	case BPF_FIB_LKUP_RET_SUCCESS:
	case BPF_FIB_LKUP_RET_NO_NEIGH:
		return way_of(packet, &fib, destination, length, route);
	case BPF_FIB_LKUP_RET_FRAG_NEEDED:
		route->mtu = fib.mtu_result;
		/* without a length it is the packet as it is that does not fit, and the device is known */
		return length ? WAY_NARROW : way_of(packet, &fib, destination, length, route);
	case BPF_FIB_LKUP_RET_NOT_FWDED:
	case BPF_FIB_LKUP_RET_FWD_DISABLED:
		return WAY_LOCAL;
	case BPF_FIB_LKUP_RET_NO_SRC_ADDR:
		return WAY_NAMELESS;
	}
	return WAY_NONE;
}

/* A rewritten packet leaves. */
PURE int leave(struct __sk_buff *skb, const struct packet *packet, struct route *route, __u32 service_port)
{
	/* the kernel frees in silence what has no room for a link header */
	if (decrement_hop_limit(skb, packet) || (!packet->l3 && bpf_skb_change_head(skb, ETH_HLEN, 0)))
		return drop(&packet->tuple, service_port, REASON_DROP_MALFORMED);
	return bpf_redirect_neigh(route->ifindex, &route->next_hop, sizeof(route->next_hop), 0);
}

/* What stands behind the packet in its frame goes where it would be too much for the next link. */
PURE long trim(struct __sk_buff *skb, const struct packet *packet, __u32 length, __u32 mtu)
{
	if (skb->gso_size || skb->len <= packet->l3 + mtu)
		return 0;
	return bpf_skb_change_tail(skb, packet->l3 + length, 0);
}

/*
 * Rewrites a packet of a masqueraded flow, either way, and sends it on its way. A verdict, or what the sender must be told
 * of the packet, which is untouched then: HOPS_ENDED, or TOO_BIG for `mtu`.
 */
#define HOPS_ENDED 0x100
#define TOO_BIG 0x101

__noinline int forward(struct __sk_buff *skb, const struct packet *packet, const struct flow *flow, __u32 *mtu)
{
	struct route route = {};
	__u32 length;

	if (!packet || !flow || !mtu)
		return TC_ACT_SHOT;
	if (hop_limit(skb, packet) <= 1)
		return HOPS_ENDED;
	length = segment_length(skb, packet);
	switch (route_find(skb, packet, &flow->destination, length, &route)) {
	case WAY_OUT:
		break;
	case WAY_NARROW:
		*mtu = route.mtu;
		return TOO_BIG;
	default:
		return drop(&packet->tuple, flow->service_port, REASON_DROP_NO_ROUTE);
	}
	if (trim(skb, packet, length, route.mtu) || rewrite(skb, packet, flow))
		return drop(&packet->tuple, flow->service_port, REASON_DROP_MALFORMED);
	return leave(skb, packet, &route, flow->service_port);
}

/* An ICMP error about such a packet, rewritten already. */
__noinline int forward_error(struct __sk_buff *skb, const struct packet *packet, const struct flow *flow)
{
	struct route route = {};

	if (!packet || !flow)
		return TC_ACT_SHOT;
	if (hop_limit(skb, packet) <= 1 || route_find(skb, packet, &flow->destination, 0, &route) != WAY_OUT)
		return drop(&packet->tuple, flow->service_port, REASON_DROP_NO_ROUTE);
	return leave(skb, packet, &route, flow->service_port);
}
