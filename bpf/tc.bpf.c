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
#include "bypass.h"
#include "choose.h"
#include "flow_replace.h"
#include "masquerade.h"
#include "nat.h"
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
	return set_destination_mac(skb, flow->next_hop)
		   ? drop(&packet->tuple, flow->service_port, REASON_DROP_MALFORMED)
		   : TC_ACT_UNSPEC;
}

/* Rewrites a packet of a flow and sends it on its way. */
__noinline int translate(struct __sk_buff *skb, const struct packet *packet, const struct flow *flow)
{
	if (!packet || !flow)
		return TC_ACT_SHOT;
	mark(skb, flow);
	if (rewrite(skb, packet, flow))
		return drop(&packet->tuple, flow->service_port, REASON_DROP_MALFORMED);
	return send_on(skb, packet, flow);
}

/* No flow yet, or with `again` one that is over. `flow` is room for a new one, all zero. */
PURE int begin(struct __sk_buff *skb, const struct packet *packet, struct flow *flow, bool again)
{
	int reason = choose(packet, flow), refusal = 0;
	bool remembered;

	if (config.bypass && reason == REASON_CONNECTED_POD && may_bypass(skb, packet, flow))
		flow->flags |= FLOW_BYPASS;
	remembered = again && flow_replace(&packet->tuple, is_connected(reason) ? flow : NULL);
	if (!reason)
		return TC_ACT_UNSPEC;
	if (is_drop(reason))
		return drop(&packet->tuple, flow->service_port, reason);
	if (!is_connected(reason))
		return reject(skb, packet, flow->service_port, reason);
	if (!remembered)
		refusal = flow_remember(&packet->tuple, flow);
	if (refusal)
		return drop(&packet->tuple, flow->service_port, refusal);
	connected(&packet->tuple, flow, reason);
	return GOES_ON;
}

/* A packet of a flow from its client. The way around is looked for anew: what it leads by may have changed. */
PURE int send(struct __sk_buff *skb, const struct packet *packet, const struct flow *flow)
{
	if (config.bypass && flow->flags & FLOW_BYPASS && !packet->piece &&
	    bypass_way(skb, packet, &flow->destination, segment_length(skb, packet), true)) {
		int verdict = leave_to_pod(skb, packet, flow);

		if (verdict != GOES_ON)
			return verdict;
	}
	return translate(skb, packet, flow);
}

/* Is it a reply of a flow that goes around the stack? Then it is dealt with here; GOES_ON: no, and it is untouched. */
PURE int send_reply(struct __sk_buff *skb, struct packet *packet, struct flow *flow)
{
	int found, verdict = GOES_ON;
	__u32 age = 0;

	if (packet->piece || is_start(packet) ||
	    !bypass_way(skb, packet, &packet->tuple.destination, segment_length(skb, packet), false))
		return GOES_ON;
	enter_other_hook(skb, packet);
	found = flow_find(&packet->tuple, flow, IN_FLOWS | IN_HALF_OPEN, &age);
	if ((found == FOUND || found == TENTATIVE) && flow->flags & FLOW_BYPASS && !is_anothers_answer(packet, flow)) {
		if (flow_is_due(packet, flow, age))
			use(flow_touch(packet, flow, found == TENTATIVE, 0));
		verdict = leave_to_pod(skb, packet, flow);
	}
	leave_other_hook(skb, packet);
	return verdict;
}

/* Is there a frontend, or may there be one at a NodePort? Out of line: the row has no room beside what goes on from here. */
static __noinline int may_be_served(const struct address *address)
{
	struct frontend frontend = {};

	if (!address)
		return true;
	return address_find(address, &frontend) != NONE || is_node_address(address);
}

PURE int find_from_pod(const struct packet *packet, struct flow *flow, __u32 *age)
{
	int result;

	if (is_tcp(packet))
		return flow_find(&packet->tuple, flow, IN_FLOWS | IN_HALF_OPEN, age);
	/* a datagram to no Service is the usual case, and this look-up tells sooner */
	result = flow_find(&packet->tuple, flow, IN_FLOWS, age);
	if (result != NONE)
		return result;
	if (!config.masquerade_mark && !may_be_served(&packet->tuple.destination))
		return NOT_OURS;
	return flow_find(&packet->tuple, flow, IN_HALF_OPEN, age);
}

/* Of what parse_transport() found ODD: a verdict, or GOES_ON with `packet` complete. `flow`: room for one. */
__noinline int odd_at_pod(struct __sk_buff *skb, struct packet *packet, struct flow *flow)
{
	struct frontend frontend = {};

	if (!packet || !flow)
		return TC_ACT_UNSPEC;
	switch (parse_odd(skb, packet)) {
	case ODD_TUPLE:
		return GOES_ON;
	case ODD_ERROR:
		switch (translate_error(skb, packet, flow)) {
		case ERROR_TRANSLATED:
			return send_on(skb, packet, flow);
		case ERROR_DAMAGED:
			return drop(&packet->tuple, flow->service_port, REASON_DROP_MALFORMED);
		}
		break;
	case ODD_UNKNOWN_PIECE:
		/* all UDP to a Service is ours; TCP may be kube-proxy's, and to_wire is where that is known */
		if (packet->tuple.hook == HOOK_FROM_POD && !is_tcp(packet) &&
		    address_find(&packet->tuple.destination, &frontend) == FOUND)
			return drop(&packet->tuple, frontend.service_port, REASON_DROP_FRAGMENT_UNKNOWN);
	}
	return TC_ACT_UNSPEC;
}

SEC("tc")
int from_pod(struct __sk_buff *skb)
{
	struct packet packet = {};
	struct flow flow = {};
	bool again = false;
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
	if (config.bypass && (found == NOT_OURS || found == NONE)) {
		int verdict = send_reply(skb, &packet, &flow);

		if (verdict != GOES_ON)
			return verdict;
	}
	if (found == NOT_OURS)
		return TC_ACT_UNSPEC;
	if (!goes_on(&packet, &flow, found, age, &again)) {
		if (!may_begin(&packet))
			return TC_ACT_UNSPEC;
		__builtin_memset(&flow, 0, sizeof(flow));
		found = begin(skb, &packet, &flow, again);
		if (found != GOES_ON)
			return found;
	}
	return send(skb, &packet, &flow);
}

/* What a client sends to this pod, its backend, from the node's address: a flow that goes on, or begins. */
PURE int exit_to_pod(struct __sk_buff *skb, const struct packet *packet, struct flow *flow, int found, __u32 age)
{
	bool again = false;

	if (!goes_on(packet, flow, found, age, &again)) {
		if (again)
			use(flow_forget(&packet->tuple, flow));
		found = is_marked(skb) && may_begin(packet) ? begin_exit(skb, packet, flow) : TC_ACT_UNSPEC;
		if (found != GOES_ON)
			return found;
	}
	return translate(skb, packet, flow);
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
	if (found == UNSTABLE)
		return drop_unstable(&packet);
	if (is_marked(skb) || (found != NONE && (flow.flags & (FLOW_EXIT | FLOW_REPLY)) == FLOW_EXIT))
		return exit_to_pod(skb, &packet, &flow, found, age);
	if (found == NONE || found == EXPIRED || found == LAPSED)
		return TC_ACT_UNSPEC;
	if (is_anothers_answer(&packet, &flow)) {
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
