/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#pragma once
#include "choose.h"
#include "masquerade.h"

/*
 * Masqueraded flows beside connections that have the node's address too: its own ones, and those of pods that netfilter
 * masquerades. Neither side's tables know the other's ports, and at one backend one port is one connection's. Whoever comes later
 * gets another one.
 */

/* What masquerade_move() begins with: the flow is forgotten, and both become what is to be remembered instead of it. */
static __noinline int masquerade_leave(struct packet *packet, struct flow *flow)
{
	struct flow_key forward;
	struct flow moved;

	if (!packet || !flow)
		return done();
	twin_key(&packet->tuple, flow, &forward);
	twin_row(&packet->tuple, flow, &forward, &moved);
	use(flow_forget(&packet->tuple, flow));
	moved.source_port = masquerade_port();
	packet->tuple = forward;
	*flow = moved;
	return done();
}

/* flow_move() of a masqueraded flow, by its reply. Both are used up: their frame is the only one that has room for this. */
PURE void masquerade_move(struct __sk_buff *skb, struct packet *packet, struct flow *flow)
{
	use(masquerade_leave(packet, flow));
	if (masquerade_remember(skb, &packet->tuple, flow))
		return;
	count(flow->service_port, REASON_CONNECTED_MOVED);
	use(tell(&packet->tuple, flow, flow->service_port, REASON_CONNECTED_MOVED));
}

/* A frame of its own, since the verifier adds up those of a way. */
static __noinline int choose_other_port(const struct packet *packet, struct flow *flow)
{
	return packet && flow ? choose_direct(packet, flow) : 0;
}

/*
 * The node itself asks a backend, or a pod as which netfilter made it look: its answers would be taken for those of a flow
 * that has this very source. Dead flows are forgotten, beside a living one this gets another port. `flow` is room for one:
 * with GOES_ON it is one.
 */
__noinline int begin_direct(const struct packet *packet, struct flow *flow)
{
	struct flow_key key;
	struct flow new = {};
	int reason, refusal;

	if (!packet || !flow)
		return TC_ACT_SHOT;
	key = packet->tuple;
	new.source = key.source;
	new.source_port = key.source_port;
	reason = choose_other_port(packet, &new);
	if (!reason)
		return TC_ACT_UNSPEC;
	if (is_drop(reason))
		return drop(&packet->tuple, 0, reason);
	refusal = flow_remember(&key, &new);
	if (refusal)
		return drop(&packet->tuple, 0, refusal);
	connected(&key, &new, reason);
	*flow = new;
	return GOES_ON;
}

/* Was it sent by a socket of this very port? What a tun device brought is a socket's too, but not of any port. */
PURE bool is_sockets(struct __sk_buff *skb, const struct packet *packet)
{
	const struct bpf_sock *sk = skb->sk;

	return sk && sk->src_port == bpf_ntohs(packet->tuple.source_port);
}

/* Packets of masqueraded flows have the node's address too, but they have come in by a wire. */
PURE bool is_of_node(struct __sk_buff *skb, const struct packet *packet)
{
	__u32 ifindex = skb->ingress_ifindex;

	return is_sockets(skb, packet) || (ifindex && !bpf_map_lookup_elem(&wires, &ifindex));
}
