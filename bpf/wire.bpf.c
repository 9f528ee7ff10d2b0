/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The packet path between the node and the world, on every device that leads out of the node.
 *
 *   from_wire  ingress: clients of NodePorts, load balancer IPs, externalIPs and routed clusterIPs; replies of backends on
 *              other nodes, and those of connections of the node that had to be given another port
 *   to_wire    egress: replies of backends on this node; and no service address leaves untranslated
 *
 * A backend on this node sees its client's address, and the packet goes on through the node's own routing and firewall. A
 * backend elsewhere sees the node's address there, so that its replies come back here.
 *
 * The programs whose names end in _l3 are the same for devices without a link header (tun, ipip, wireguard).
 */
#include "choose.h"
#include "cut.h"
#include "direct.h"
#include "icmp.h"
#include "route.h"

/* Rewrites a packet that goes on through the node's own routing. */
__noinline int translate(struct __sk_buff *skb, const struct packet *packet, const struct flow *flow)
{
	if (!packet || !flow)
		return TC_ACT_SHOT;
	mark(skb, flow);
	return rewrite(skb, packet, flow) ? drop(&packet->tuple, flow->service_port, REASON_DROP_MALFORMED)
					  : TC_ACT_UNSPEC;
}

/* The same for one that goes past it. */
PURE int masquerade(struct __sk_buff *skb, const struct packet *packet, const struct flow *flow)
{
	__u32 mtu = 0;
	int verdict = forward(skb, packet, flow, &mtu);

	if (verdict == TOO_BIG) {
		verdict = cut(skb, packet, mtu, flow->service_port);
		if (verdict == GOES_ON)
			verdict = forward(skb, packet, flow, &mtu);
	}
	if (verdict == HOPS_ENDED)
		return icmp_time_exceeded(skb, packet, flow->service_port);
	return verdict == TOO_BIG ? icmp_too_big(skb, packet, mtu, flow->service_port) : verdict;
}

/* Of what parse_transport() found ODD: a verdict, or GOES_ON with `packet` complete. `flow`: room for one. */
__noinline int odd_at_wire(struct __sk_buff *skb, struct packet *packet, struct flow *flow)
{
	if (!packet || !flow)
		return TC_ACT_UNSPEC;
	switch (parse_odd(skb, packet)) {
	case ODD_TUPLE:
		return GOES_ON;
	case ODD_ERROR:
		switch (translate_error(skb, packet, flow)) {
		case ERROR_TRANSLATED:
			return flow->flags & FLOW_MASQUERADE ? forward_error(skb, packet, flow) : TC_ACT_UNSPEC;
		case ERROR_DAMAGED:
			return drop(&packet->tuple, flow->service_port, REASON_DROP_MALFORMED);
		}
	}
	return TC_ACT_UNSPEC;
}

/* Of a flow that may be masqueraded: where its backend is decides. 0, or the reason why the packet must be dropped. */
static __noinline int choose_source(struct __sk_buff *skb, const struct packet *packet, struct flow *flow)
{
	struct route route = {};

	if (!packet || !flow)
		return REASON_DROP_NO_ROUTE;
	switch (route_find(skb, packet, &flow->destination, 0, &route)) {
	case WAY_LOCAL:
		flow->flags &= FLOW_EXIT | FLOW_COUNTED;
		return 0;
	case WAY_OUT:
		flow->source = route.source;
		flow->flags = FLOW_MASQUERADE | (flow->flags & FLOW_COUNTED);
		return 0;
	case WAY_NAMELESS:
		return REASON_DROP_NO_SOURCE_ADDRESS;
	}
	return REASON_DROP_NO_ROUTE;
}

/* No flow yet. `flow` is room for a new one, all zero: with GOES_ON it is one. */
static __noinline int begin(struct __sk_buff *skb, const struct packet *packet, struct flow *flow)
{
	int reason, refusal = 0;

	if (!packet || !flow)
		return TC_ACT_SHOT;
	reason = choose(packet, flow);
	if (!reason)
		return TC_ACT_UNSPEC;
	if (is_drop(reason))
		return drop(&packet->tuple, flow->service_port, reason);
	if (!is_connected(reason))
		return reject(skb, packet, flow->service_port, reason);
	if (flow->flags & FLOW_MASQUERADE)
		refusal = choose_source(skb, packet, flow);
	if (!refusal)
		refusal = flow->flags & FLOW_MASQUERADE ? masquerade_remember(skb, &packet->tuple, flow)
							: flow_remember(&packet->tuple, flow);
	if (refusal)
		return drop(&packet->tuple, flow->service_port, refusal);
	connected(&packet->tuple, flow, reason);
	return GOES_ON;
}

/* Are those behind this device pods of this node? Only where somebody said so does anybody look. */
PURE bool is_of_pods(__u32 ifindex)
{
	const struct wire *wire;

	if (!config.wires_of_pods)
		return false;
	wire = bpf_map_lookup_elem(&wires, &ifindex);
	return wire && wire->flags & WIRE_PODS;
}

PURE int from_wire_at(struct __sk_buff *skb, __u32 l3)
{
	struct packet packet = {};
	struct flow flow = {};
	bool again = false;
	__u32 age = 0;
	int found;

	/* what a switch floods, or who listens to everything, is another's: it must not be answered twice */
	if (skb->pkt_type != PACKET_HOST)
		return TC_ACT_UNSPEC;
	found = parse_transport(skb, l3, HOOK_FROM_WIRE, &packet);
	if (found) {
		found = found == ODD ? odd_at_wire(skb, &packet, &flow) : TC_ACT_UNSPEC;
		if (found != GOES_ON)
			return found;
	}
	packet.of_pods = is_of_pods(skb->ifindex);
	found = flow_find(&packet.tuple, &flow, IN_FLOWS | IN_HALF_OPEN, &age);
	if (found == UNSTABLE)
		return drop_unstable(&packet);
	if ((found == FOUND || found == TENTATIVE) && is_anothers_answer(&packet, &flow)) {
		masquerade_move(skb, &packet, &flow);
		return TC_ACT_UNSPEC;
	}
	if (!goes_on(&packet, &flow, found, age, &again)) {
		if (again) /* its place is not taken over: the port at a backend elsewhere is to be tested anew */
			use(flow_forget(&packet.tuple, &flow));
		if (!may_begin(&packet))
			return TC_ACT_UNSPEC;
		__builtin_memset(&flow, 0, sizeof(flow));
		found = begin(skb, &packet, &flow);
		if (found != GOES_ON)
			return found;
	}
	return flow.flags & FLOW_MASQUERADE ? masquerade(skb, &packet, &flow) : translate(skb, &packet, &flow);
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

/* The service port that an untranslated packet asks for, in `frontend`: NONE, or FOUND, which must not leave. */
PURE int unserved(const struct packet *packet, struct frontend *frontend)
{
	struct frontend_key key = {};
	int found = address_find(&packet->tuple.destination, frontend);

	if (found != FOUND || frontend->flags & FRONTEND_ADDRESS)
		return found;
	/* of an external address only the service ports are ours. A piece does not tell its port: where the address is
	 * another node's own, whatever is sent there in pieces must pass. */
	if (packet->piece == LATER_PIECE)
		return NONE;
	key.address = packet->tuple.destination;
	key.port = packet->tuple.destination_port;
	key.protocol = packet->tuple.protocol;
	return frontend_find(&key, frontend);
}

/*
 * A service address that nobody translated must not leave: here and not earlier, because another proxy may own it. A veth
 * that is not attached yet, a protocol that Services do not know, pieces without a beginning, and connections that nobody
 * remembers end here; those last are told.
 */
__noinline int guard(struct __sk_buff *skb, const struct packet *packet)
{
	struct cidr_key cidr = {.prefix_length = 128};
	struct frontend frontend = {};

	if (!packet)
		return TC_ACT_SHOT;
	switch (unserved(packet, &frontend)) {
	case FOUND:
		if (packet->piece == LATER_PIECE)
			return drop(&packet->tuple, frontend.service_port, REASON_DROP_FRAGMENT_UNKNOWN);
		if (!is_in_source_ranges(&frontend, &packet->tuple.source))
			return drop(&packet->tuple, frontend.service_port, REASON_DROP_SOURCE_RANGE);
		if (is_tcp(packet) && !(packet->tcp_flags & (TCP_FLAG_SYN_BIT | TCP_FLAG_RST_BIT)))
			return reject(skb, packet, frontend.service_port, REASON_REJECT_NO_FLOW);
		return drop(&packet->tuple, frontend.service_port, REASON_DROP_UNTRANSLATED);
	case UNSTABLE:
		return drop(&packet->tuple, 0, REASON_DROP_UNSTABLE_ROW);
	}
	cidr.address = packet->tuple.destination;
	if (bpf_map_lookup_elem(&service_cidrs, &cidr))
		return drop(&packet->tuple, 0, REASON_DROP_UNALLOCATED);
	return TC_ACT_UNSPEC;
}

PURE int to_wire_at(struct __sk_buff *skb, __u32 l3)
{
	struct packet packet = {};
	struct flow flow = {};
	bool again = false;
	__u32 age = 0;
	int found;

	found = parse_transport(skb, l3, HOOK_TO_WIRE, &packet);
	if (found == ODD) {
		found = odd_at_wire(skb, &packet, &flow);
		if (found == TC_ACT_UNSPEC)
			return guard(skb, &packet);
	}
	if (found)
		return found;
	found = flow_find(&packet.tuple, &flow, IN_FLOWS | IN_HALF_OPEN, &age);
	if (found == UNSTABLE)
		return drop_unstable(&packet);
	/* of the node itself, but the packet is not: a masqueraded one beside it */
	if (found != NONE && !(flow.flags & (FLOW_REPLY | FLOW_EXIT)) && !is_of_node(skb, &packet))
		return TC_ACT_UNSPEC;
	if ((found == FOUND || found == TENTATIVE) && is_anothers_answer(&packet, &flow)) {
		use(flow_move(&packet, &flow));
		return TC_ACT_UNSPEC;
	}
	if (!goes_on(&packet, &flow, found, age, &again)) {
		if (again)
			use(flow_forget(&packet.tuple, &flow));
		found = TC_ACT_UNSPEC;
		if (is_marked(skb) && may_begin(&packet))
			found = begin_exit(skb, &packet, &flow);
		else if (may_begin(&packet) && !is_sctp(&packet) && is_of_node(skb, &packet))
			found = begin_direct(&packet, &flow);
		if (found != GOES_ON)
			return found == TC_ACT_UNSPEC ? guard(skb, &packet) : found;
	}
	return translate(skb, &packet, &flow);
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
