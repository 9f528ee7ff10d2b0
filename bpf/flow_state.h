/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#pragma once
#include "flow.h"

/* What a packet changes in the flow that it belongs to. Mostly nothing. */

#define NEXT_HOP_SECONDS 10 /* replies stopped for this long: ask the routing again where the backend is */
#define ONE_WAY_SECONDS 20  /* less than any lifetime of a flow that is not closing */

/*
 * The client has answered the backend: both rows go where a flood of new flows cannot evict them. Those in half_open
 * stay until others need the room: deleted, they would be missed by a reader that looked into `flows` a moment ago.
 */
__noinline int flow_promote(const struct flow_key *of, const struct flow *flow)
{
	struct flow_key key, reply;
	struct flow row, back;

	if (!of || !flow)
		return done();
	key = *of;
	row = *flow;
	row.state |= FLOW_PROMOTED;
	twin_key(&key, &row, &reply);
	twin_row(&key, &row, &reply, &back);
	/* refused, the flow stays where it is and the next packet tries again */
	if (!bpf_map_update_elem(&flows, &reply, &back, BPF_ANY))
		bpf_map_update_elem(&flows, &key, &row, BPF_ANY);
	return done();
}

PURE bool same_mac(const __u8 *a, const __u8 *b)
{
	return !((a[0] ^ b[0]) | (a[1] ^ b[1]) | (a[2] ^ b[2]) | (a[3] ^ b[3]) | (a[4] ^ b[4]) | (a[5] ^ b[5]));
}

PURE bool is_zero_mac(const __u8 *mac)
{
	return !(mac[0] | mac[1] | mac[2] | mac[3] | mac[4] | mac[5]);
}

/* `row` is live: a reader between the two writes finds it unstable and reads again. */
PURE void set_next_hop(const struct flow_key *key, struct flow *row, const __u8 *mac)
{
	struct flow copy = *row;

	__builtin_memcpy(copy.next_hop, mac, ETH_ALEN);
	copy.check = flow_check(key, &copy);
	__builtin_memcpy(row->next_hop, mac, ETH_ALEN);
	row->check = copy.check;
}

/* What this packet adds to the state of its flow. */
PURE __u8 news_of(const struct packet *packet, const struct flow *flow)
{
	bool is_reply = flow->flags & FLOW_REPLY;
	__u8 state = is_reply ? FLOW_REPLIED : 0;

	if (packet->tcp_flags & TCP_FLAG_RST_BIT)
		state |= FLOW_RESET;
	if (packet->tcp_flags & TCP_FLAG_FIN_BIT)
		state |= is_reply ? FLOW_BACKEND_FIN : FLOW_CLIENT_FIN;
	return state & ~flow->state;
}

/* A row is written at most once a second, and when there is news: a write takes the cache line from the other
 * CPUs. */
PURE bool flow_is_due(const struct packet *packet, const struct flow *flow, __u32 age)
{
	return age || news_of(packet, flow);
}

/* A row as it is in the map now, to be written in place. NULL: evicted. */
PURE struct flow *live_row(const struct flow_key *key, bool tentative)
{
	return tentative ? find_row(half_open, key) : find_row(flows, key);
}

/* The client answered the backend's answer: a TCP ACK after its SYN-ACK, a second datagram after the first
 * reply. */
PURE bool is_confirmed(const struct packet *packet, const struct flow *flow)
{
	return flow->state & FLOW_REPLIED && !(flow->flags & FLOW_REPLY) &&
	       !(packet->tcp_flags & (TCP_FLAG_SYN_BIT | TCP_FLAG_RST_BIT));
}

/*
 * A backend answers a SYN with SYN or RST. With anything else it speaks of a connection it has already with this very
 * client port, one that we have no row of: made directly, at a socket, or by netfilter for a pod. The packet is that
 * connection's.
 */
PURE bool is_anothers_answer(const struct packet *packet, const struct flow *flow)
{
	return is_tcp(packet) && (flow->flags & ~(FLOW_BYPASS | FLOW_MASQUERADE | FLOW_COUNTED)) == FLOW_REPLY &&
	       !(flow->state & FLOW_REPLIED) && !(packet->tcp_flags & (TCP_FLAG_SYN_BIT | TCP_FLAG_RST_BIT));
}

/* Tells it if this packet closes its flow. `news`: what it adds to the state. */
PURE void tell_closing(const struct packet *packet, const struct flow *flow, __u8 news)
{
	if (is_closing(flow->state) || !is_closing(flow->state | news))
		return;
	use(tell(&packet->tuple, flow, flow->service_port, news & FLOW_RESET ? REASON_ENDED_RESET : REASON_ENDED_FIN));
	if (flow->flags & FLOW_COUNTED)
		use(flow_count(&packet->tuple, flow, -1));
}

/* The bookkeeping of a packet that is due. `source_mac`: of a reply to a pod, where it came from. */
__noinline int flow_touch(const struct packet *packet, const struct flow *flow, bool tentative, __u64 source_mac)
{
	struct flow_key key, other;
	struct flow *row, *twin;
	__u32 now = now_seconds();
	__u8 news;

	if (!packet || !flow)
		return done();
	news = news_of(packet, flow);
	tell_closing(packet, flow, news);
	key = packet->tuple;
	twin_key(&key, flow, &other);
	if (flow->seen != now)
		flow_hint_both(&key, &other, tentative);
	twin = live_row(&other, tentative);
	if (!twin) { /* evicted alone: the way back would be lost */
		struct flow lost;

		twin_row(&key, flow, &other, &lost);
		lost.state |= news;
		if (tentative)
			bpf_map_update_elem(&half_open, &other, &lost, BPF_NOEXIST);
		else
			bpf_map_update_elem(&flows, &other, &lost, BPF_NOEXIST);
	}
	row = live_row(&key, tentative);
	if (!row)
		return done();
	row->state |= news;
	row->seen = now;
	if (!twin)
		return done();
	if (!is_twin_of(twin, &key)) {
		flow_delete(&key); /* the way back is another flow's: this one is over */
		return done();
	}
	twin->state |= news;
	/* Traffic one way keeps the way back alive, without looking like a reply. */
	if (seconds_between(twin->seen, now) > ONE_WAY_SECONDS)
		twin->seen = now - NEXT_HOP_SECONDS - 1;
	/* Bridge without br_netfilter: the SYN is routed, the reply switched past conntrack. Sent to the MAC that the
	 * reply came from, later packets travel as a direct frame would. UDP without replies for a while asks routing
	 * again, since the backend may have moved; TCP must not, its routed packets would be INVALID to conntrack. */
	if (flow->flags & FLOW_REPLY) {
		if (source_mac && is_zero_mac(twin->next_hop))
			set_next_hop(&other, twin, (__u8 *)&source_mac);
	} else if (!is_tcp(packet) && !is_zero_mac(row->next_hop) &&
		   seconds_between(twin->seen, now) > NEXT_HOP_SECONDS) {
		__u8 unknown[ETH_ALEN] = {};

		set_next_hop(&key, row, unknown);
	}
	return done();
}
