/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#pragma once
#include "fib.h"
#include "flow_state.h"
#include "hop.h"
#include "nat.h"

/*
 * The way around the node's stack between two pods of one node: from the hook at one's veth right into the other's
 * namespace. What stands in between does not see such packets, conntrack for one; so a flow goes this way in both directions
 * or in none. That is settled when it begins (FLOW_BYPASS), and for each packet both devices are asked again, so that both
 * directions leave it together. The translation of the reply happens where it enters, since it passes no to_pod.
 */

/* The way that was found lies in skb->cb: the stack has no room for it. */
enum {
	WAY_MACS = 0, /* three words: destination, source */
	WAY_DEVICE = 3,
};

PURE bool takes_bypass(__u32 ifindex)
{
	return bpf_map_lookup_elem(&pods, &ifindex);
}

/* The pod's device that leads to where `fib` asks for, if its neighbour is known; else 0. */
PURE __u32 pod_at(struct __sk_buff *skb, struct bpf_fib_lookup *fib)
{
	if (bpf_fib_lookup(skb, fib, sizeof(*fib), 0) != BPF_FIB_LKUP_RET_SUCCESS || !takes_bypass(fib->ifindex))
		return 0;
	return fib->ifindex;
}

/*
 * Finds the way to a pod of this node. 0: there is none, or the packet does not fit it. `length`: bytes of IP that must fit;
 * 0: any. `known`: the packet is its flow's client's, whose row says at which device that is; of others the source must lead
 * back to where they came from, else a pod could send in another's name, past who watches over that.
 */
static __noinline int bypass_way(struct __sk_buff *skb, const struct packet *packet, const struct address *destination,
				 __u32 length, bool known)
{
	struct bpf_fib_lookup fib = {};
	struct address source;
	__u32 device;

	if (!packet || !destination || !takes_bypass(skb->ifindex))
		return 0;
	fib_question(packet, destination, &fib);
	fib.ifindex = skb->ifindex;
	fib.tot_len = length;
	device = pod_at(skb, &fib);
	if (!device || device == skb->ifindex)
		return 0;
	skb->cb[WAY_DEVICE] = device;
	skb->cb[WAY_MACS] = *(__u16 *)&fib.dmac[0] | (__u32) * (__u16 *)&fib.dmac[2] << 16;
	skb->cb[WAY_MACS + 1] = *(__u16 *)&fib.dmac[4] | (__u32) * (__u16 *)&fib.smac[0] << 16;
	skb->cb[WAY_MACS + 2] = *(__u16 *)&fib.smac[2] | (__u32) * (__u16 *)&fib.smac[4] << 16;
	if (known)
		return device;
	source = packet->tuple.source;
	__builtin_memset(&fib, 0, sizeof(fib));
	fib_question(packet, &source, &fib);
	if (packet->ipv6)
		__builtin_memcpy(fib.ipv6_src, destination, sizeof(fib.ipv6_src));
	else
		fib.ipv4_src = destination->words[3];
	fib.ifindex = device;
	return pod_at(skb, &fib) == skb->ifindex ? device : 0;
}

/* May a new flow go around? Its first packet tells. */
PURE bool may_bypass(struct __sk_buff *skb, const struct packet *packet, const struct flow *flow)
{
	return !packet->piece && !(flow->flags & FLOW_HAIRPIN) &&
	       bypass_way(skb, packet, &flow->destination, segment_length(skb, packet), false);
}

/*
 * Rewrites a packet and puts it into the other pod's namespace, on the way that was found. GOES_ON: its hop limit ends
 * here, which is for the node to say, and it is untouched.
 */
__noinline int leave_to_pod(struct __sk_buff *skb, const struct packet *packet, const struct flow *flow)
{
	__u32 macs[3];

	if (!packet || !flow)
		return TC_ACT_SHOT;
	if (hop_limit(skb, packet) <= 1)
		return GOES_ON;
	macs[0] = skb->cb[WAY_MACS];
	macs[1] = skb->cb[WAY_MACS + 1];
	macs[2] = skb->cb[WAY_MACS + 2];
	if (rewrite(skb, packet, flow) || decrement_hop_limit(skb, packet) ||
	    bpf_skb_store_bytes(skb, 0, macs, sizeof(macs), 0))
		return drop(&packet->tuple, flow->service_port, REASON_DROP_MALFORMED);
	return bpf_redirect_peer(skb->cb[WAY_DEVICE], 0);
}

/* Makes of a packet that is at its sender's hook what it is at the hook of the pod it goes to: a reply's flow is there. */
PURE void enter_other_hook(struct __sk_buff *skb, struct packet *packet)
{
	packet->tuple.hook = HOOK_TO_POD;
	packet->tuple.device = skb->cb[WAY_DEVICE];
}

PURE void leave_other_hook(struct __sk_buff *skb, struct packet *packet)
{
	packet->tuple.hook = HOOK_FROM_POD;
	packet->tuple.device = skb->ifindex;
}
