/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The packet path at the pods. A packet is rewritten where its client enters the node and un-rewritten where it goes back
 * to that client, so everything in between (routing, the CNI's overlay, NetworkPolicy, conntrack) sees a
 * plain pod-to-pod flow.
 *
 *   from_pod  ingress of a pod's veth, host side: what a pod sends
 *   to_pod    egress of the same: what a pod is sent
 *
 * wire.bpf.c has what passes between the node and the world.
 */
#include "flow_state.h"
#include "nat.h"
#include "pool.h"
#include "reject.h"

/* The learnt next hop, if there is one. On a routed veth it is what stands there already. */
PURE long set_destination_mac(struct __sk_buff *skb, const __u8 *mac)
{
	struct ethhdr *eth = data_of(skb);

	if (is_zero_mac(mac) || (void *)(eth + 1) > end_of(skb) || same_mac(eth->h_dest, mac))
		return 0;
	return bpf_skb_store_bytes(skb, 0, mac, ETH_ALEN, 0);
}

/* A rewritten packet goes on its way. */
PURE int send_on(struct __sk_buff *skb, const struct packet *packet, const struct flow *flow)
{
	if (flow->flags & FLOW_HAIRPIN)
		return turn_around(skb, packet);
	return set_destination_mac(skb, flow->next_hop) ? drop(flow->service_port, REASON_DROP_MALFORMED)
							: TC_ACT_UNSPEC;
}

/* Rewrites a packet of a flow and sends it on its way. */
static __noinline int translate(struct __sk_buff *skb, const struct packet *packet, const struct flow *flow)
{
	if (!packet || !flow)
		return TC_ACT_SHOT;
	if (rewrite(skb, packet, flow))
		return drop(flow->service_port, REASON_DROP_MALFORMED);
	return send_on(skb, packet, flow);
}

/*
 * A SYN straight to a pod. If a flow of ours has the way back that this connection needs, its replies would
 * be taken for that flow's: a dead flow is forgotten; beside a living one this connection gets rows too, and
 * so another source port.
 */
PURE int choose_direct(const struct packet *packet, struct flow *flow)
{
	struct flow_key reply;
	struct flow old = {};
	__u32 age = 0;

	flow->destination = packet->tuple.destination;
	flow->destination_port = packet->tuple.destination_port;
	twin_key(&packet->tuple, flow, &reply);
	switch (flow_find(&reply, &old, IN_FLOWS | IN_HALF_OPEN, &age)) {
	case NONE:
		return 0;
	case UNSTABLE:
		return REASON_DROP_UNSTABLE_ROW;
	case EXPIRED:
		break;
	default:
		if (!is_closing(old.state))
			return REASON_CONNECTED_DIRECT;
	}
	use(flow_forget(&reply, &old));
	return 0;
}

PURE int choose_service(const struct packet *packet, const struct frontend *frontend, struct flow *flow)
{
	struct backend backend = {};

	flow->service_port = frontend->service_port;
	if (!pool_of(frontend).count)
		return frontend->flags & FRONTEND_HAS_ENDPOINT ? REASON_DROP_NO_LOCAL_ENDPOINT
							       : REASON_REJECT_NO_ENDPOINT;
	if (!choose_backend(frontend, &packet->tuple.source, &backend))
		return REASON_DROP_UNSTABLE_ROW;
	flow->destination = backend.address;
	flow->destination_port = backend.port;
	if (same_address(&backend.address, &packet->tuple.source)) {
		/* a pod drops what comes from its own address: let it come from the Service's */
		flow->source = packet->tuple.destination;
		flow->flags = FLOW_HAIRPIN;
	}
	return REASON_CONNECTED_POD;
}

/*
 * What to do with a packet that begins something: 0 if it is not ours, else the reason that says it. With
 * REASON_CONNECTED_... `flow` tells what the packet becomes.
 */
static __noinline int choose(const struct packet *packet, struct flow *flow)
{
	struct frontend_key key = {};
	struct frontend frontend = {};

	if (!packet || !flow)
		return REASON_DROP_MALFORMED;
	flow->source = packet->tuple.source;
	flow->source_port = packet->tuple.source_port;
	key.address = packet->tuple.destination;
	key.port = packet->tuple.destination_port;
	key.protocol = packet->tuple.protocol;
	switch (frontend_find(&key, &frontend)) {
	case FOUND:
		return choose_service(packet, &frontend, flow);
	case UNSTABLE:
		return REASON_DROP_UNSTABLE_ROW;
	}
	switch (address_find(&key.address, &frontend)) {
	case FOUND:
		flow->service_port = frontend.service_port;
		return REASON_REJECT_UNDEFINED_PORT;
	case UNSTABLE:
		return REASON_DROP_UNSTABLE_ROW;
	}
	return is_tcp(packet) ? choose_direct(packet, flow) : 0;
}

/* No flow yet. `flow` is room for a new one, all zero. */
PURE int begin(struct __sk_buff *skb, const struct packet *packet, struct flow *flow)
{
	int reason = choose(packet, flow), refusal;

	if (!reason)
		return TC_ACT_UNSPEC;
	if (reason >= REASON_DROP_NO_LOCAL_ENDPOINT)
		return drop(flow->service_port, reason);
	if (reason < REASON_REJECT_NO_ENDPOINT) {
		refusal = flow_remember(&packet->tuple, flow);
		if (refusal)
			return drop(flow->service_port, refusal);
	}
	if (reason >= REASON_REJECT_NO_ENDPOINT)
		return reject(skb, packet, flow->service_port, reason);
	count(flow->service_port, reason);
	return translate(skb, packet, flow);
}

/* May this flow's backend no longer be chosen? */
PURE bool backend_left(const struct packet *packet, const struct flow *flow)
{
	struct backend backend = {.address = flow->destination, .port = flow->destination_port};
	struct frontend_key key = {};
	struct frontend frontend = {};
	struct segment pool;

	key.address = packet->tuple.destination;
	key.port = packet->tuple.destination_port;
	key.protocol = packet->tuple.protocol;
	if (frontend_find(&key, &frontend) != FOUND)
		return true;
	pool = pool_of(&frontend);
	return !pool_contains(pool.start, pool.count, &backend);
}

/*
 * Must this packet choose anew, although a row exists? A SYN whose row is closing or whose backend left the pool (the
 * source port is used again); a datagram whose backend no longer serves.
 */
static __noinline int is_stale(const struct packet *packet, const struct flow *flow)
{
	if (!packet || !flow || flow->flags & FLOW_REPLY)
		return false;
	if (!is_tcp(packet))
		return is_removed(flow->service_port, &flow->destination, flow->destination_port);
	if (flow->state & (FLOW_CLIENT_FIN | FLOW_BACKEND_FIN | FLOW_RESET))
		return true;
	return flow->service_port && backend_left(packet, flow);
}

PURE bool may_be_stale(const struct packet *packet)
{
	return is_tcp(packet) ? is_tcp_start(packet) : packet->piece != LATER_PIECE && has_removed_backends();
}

/* The client answered the backend's answer: a TCP ACK after its SYN-ACK, a second datagram after the first
 * reply. */
PURE bool is_confirmed(const struct packet *packet, const struct flow *flow)
{
	return flow->state & FLOW_REPLIED && !(flow->flags & FLOW_REPLY) &&
	       !(packet->tcp_flags & (TCP_FLAG_SYN_BIT | TCP_FLAG_RST_BIT));
}

PURE int find_from_pod(const struct packet *packet, struct flow *flow, __u32 *age)
{
	struct frontend frontend = {};
	int result;

	if (is_tcp(packet))
		return flow_find(&packet->tuple, flow, IN_FLOWS | IN_HALF_OPEN, age);
	/* a datagram to no Service is the usual case, and this look-up tells sooner */
	result = flow_find(&packet->tuple, flow, IN_FLOWS, age);
	if (result != NONE)
		return result;
	if (address_find(&packet->tuple.destination, &frontend) == NONE)
		return NOT_OURS;
	return flow_find(&packet->tuple, flow, IN_HALF_OPEN, age);
}

/* A row that stays spoilt would be in the way for good; its twin brings a good one back. */
PURE int drop_unstable(const struct packet *packet)
{
	flow_delete(&packet->tuple);
	return drop(0, REASON_DROP_UNSTABLE_ROW);
}

/*
 * A backend answers a SYN with SYN or RST. With anything else it speaks of a connection it has already with this very
 * client port, one that we have no row of: made directly, or at a socket. The packet is that connection's.
 */
PURE bool is_anothers_answer(const struct packet *packet, const struct flow *flow)
{
	return is_tcp(packet) && flow->flags == FLOW_REPLY && !(flow->state & FLOW_REPLIED) &&
	       !(packet->tcp_flags & (TCP_FLAG_SYN_BIT | TCP_FLAG_RST_BIT));
}

/* Gives a flow another source port, by its reply: the client's next SYN finds it. */
static __noinline int flow_move(const struct packet *packet, const struct flow *flow)
{
	struct flow_key forward;
	struct flow moved;

	twin_key(&packet->tuple, flow, &forward);
	twin_row(&packet->tuple, flow, &forward, &moved);
	use(flow_forget(&packet->tuple, flow));
	moved.source_port = other_source_port();
	return flow_remember(&forward, &moved);
}

/* A connection whose beginning was not ours is not ours: kube-proxy's live on in conntrack. */
PURE bool may_begin(const struct packet *packet)
{
	return is_tcp(packet) ? is_tcp_start(packet) : packet->piece != LATER_PIECE;
}

#define GOES_ON TC_ACT_OK /* as any other packet; no verdict of ours */

/* Of what parse_transport() found ODD: a verdict, or GOES_ON with `packet` complete. `flow`: room for one. */
static __noinline int odd_at_pod(struct __sk_buff *skb, struct packet *packet, struct flow *flow)
{
	struct frontend frontend = {};

	if (!packet || !flow)
		return TC_ACT_UNSPEC;
	switch (parse_odd(skb, packet)) {
	case ODD_TUPLE:
		return GOES_ON;
	case ODD_ICMP:
		switch (translate_error(skb, packet, flow)) {
		case ERROR_TRANSLATED:
			return send_on(skb, packet, flow);
		case ERROR_DAMAGED:
			return drop(flow->service_port, REASON_DROP_MALFORMED);
		}
		break;
	case ODD_UNKNOWN_PIECE:
		/* all UDP to a Service is ours; TCP may be kube-proxy's, and to_wire is where that is known */
		if (packet->tuple.hook == HOOK_FROM_POD && !is_tcp(packet) &&
		    address_find(&packet->tuple.destination, &frontend) == FOUND)
			return drop(frontend.service_port, REASON_DROP_FRAGMENT_UNKNOWN);
	}
	return TC_ACT_UNSPEC;
}

SEC("tc")
int from_pod(struct __sk_buff *skb)
{
	struct packet packet = {};
	struct flow flow = {};
	__u32 age = 0;
	int found;

	found = parse_transport(skb, ETH_HLEN, HOOK_FROM_POD, &packet);
	if (found) {
		found = found == ODD ? odd_at_pod(skb, &packet, &flow) : TC_ACT_UNSPEC;
		if (found != GOES_ON)
			return found;
	}
	found = find_from_pod(&packet, &flow, &age);
	if (found == UNSTABLE)
		return drop_unstable(&packet);
	if (found == EXPIRED) {
		use(flow_forget(&packet.tuple, &flow));
		found = NONE;
	}
	if (found == NOT_OURS || (found == NONE && !may_begin(&packet)))
		return TC_ACT_UNSPEC;
	if (found != NONE && may_be_stale(&packet) && is_stale(&packet, &flow)) {
		use(flow_forget(&packet.tuple, &flow));
		found = NONE;
	}
	if (found == NONE) {
		__builtin_memset(&flow, 0, sizeof(flow));
		return begin(skb, &packet, &flow);
	}
	if (found == TENTATIVE && is_confirmed(&packet, &flow)) {
		flow.state |= news_of(&packet, &flow);
		flow.seen = now_seconds();
		use(flow_promote(&packet.tuple, &flow));
	} else if (flow_is_due(&packet, &flow, age)) {
		use(flow_touch(&packet, &flow, found == TENTATIVE, 0));
	}
	return translate(skb, &packet, &flow);
}

SEC("tc")
int to_pod(struct __sk_buff *skb)
{
	struct packet packet = {};
	struct flow flow = {};
	__u32 age = 0;
	int found;

	found = parse_transport(skb, ETH_HLEN, HOOK_TO_POD, &packet);
	if (found) {
		found = found == ODD ? odd_at_pod(skb, &packet, &flow) : TC_ACT_UNSPEC;
		if (found != GOES_ON)
			return found;
	}
	found = flow_find(&packet.tuple, &flow, IN_FLOWS | IN_HALF_OPEN, &age);
	if (found == NONE || found == EXPIRED)
		return TC_ACT_UNSPEC;
	if (found == UNSTABLE)
		return drop_unstable(&packet);
	if (found == TENTATIVE && is_anothers_answer(&packet, &flow)) {
		use(flow_move(&packet, &flow));
		return TC_ACT_UNSPEC;
	}
	if (flow_is_due(&packet, &flow, age)) {
		__u64 mac = 0;

		bpf_skb_load_bytes(skb, ETH_ALEN, &mac, ETH_ALEN);
		use(flow_touch(&packet, &flow, found == TENTATIVE, mac));
	}
	return translate(skb, &packet, &flow);
}

char _license[] SEC("license") = "Dual BSD/GPL";
