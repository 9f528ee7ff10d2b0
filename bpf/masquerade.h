/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#pragma once
#include "flow_begin.h"

/*
 * Flows whose source becomes the node's: their replies come to the node's address, where sockets of the node and NodePorts
 * have ports of their own.
 */

#define MASQUERADE_ATTEMPTS 8

/* Does a socket of the node speak with this peer, or wait on this port for anybody? It would lose its replies to us. */
__noinline int socket_has(struct __sk_buff *skb, const struct flow_key *reply)
{
	struct bpf_sock_tuple tuple = {};
	__u32 size = sizeof(tuple.ipv6);
	struct bpf_sock *sk;

	if (!reply)
		return true;
	if (is_mapped(&reply->source)) {
		tuple.ipv4.saddr = reply->source.words[3];
		tuple.ipv4.daddr = reply->destination.words[3];
		tuple.ipv4.sport = reply->source_port;
		tuple.ipv4.dport = reply->destination_port;
		size = sizeof(tuple.ipv4);
	} else {
		__builtin_memcpy(tuple.ipv6.saddr, &reply->source, sizeof(tuple.ipv6.saddr));
		__builtin_memcpy(tuple.ipv6.daddr, &reply->destination, sizeof(tuple.ipv6.daddr));
		tuple.ipv6.sport = reply->source_port;
		tuple.ipv6.dport = reply->destination_port;
	}
	if (reply->protocol == IPPROTO_SCTP) /* no help to look for one */
		return false;
	if (reply->protocol == IPPROTO_TCP)
		sk = bpf_skc_lookup_tcp(skb, &tuple, size, BPF_F_CURRENT_NETNS, 0);
	else
		sk = bpf_sk_lookup_udp(skb, &tuple, size, BPF_F_CURRENT_NETNS, 0);
	if (!sk)
		return false;
	bpf_sk_release(sk);
	return true;
}

/* A reply to a NodePort's number could be taken for a client's packet. */
PURE bool is_node_port(const struct flow_key *reply)
{
	struct frontend_key key = {.address = reply->destination};

	to_any_address(&key.address);
	key.port = reply->destination_port;
	key.protocol = reply->protocol;
	return bpf_map_lookup_elem(&frontends, &key);
}

PURE __be16 masquerade_port(void)
{
	return bpf_htons(1024 + bpf_get_prandom_u32() % (65536 - 1024));
}

struct masquerade_search {
	struct port_search ports;
	struct __sk_buff *skb;
};

static long try_masquerade_port(__u64 attempt, struct masquerade_search *search)
{
	struct flow *flow = search->ports.flow;

	if (attempt && search->ports.key->protocol == IPPROTO_SCTP)
		return 1; /* its port cannot be rewritten */
	if (attempt)
		flow->source_port = masquerade_port();
	twin_key(search->ports.key, flow, &search->ports.reply);
	search->ports.found = bpf_ntohs(flow->source_port) >= 1024 && !is_node_port(&search->ports.reply) &&
			      !socket_has(search->skb, &search->ports.reply) &&
			      flow_reserve(search->ports.key, flow, &search->ports.reply);
	return search->ports.found;
}

/*
 * Remembers a new flow under its own source port, or else another one that is free: nobody's among flows, sockets of the
 * node and NodePorts. 0, or the reason why the packet must be dropped.
 */
static __noinline int masquerade_remember(struct __sk_buff *skb, const struct flow_key *key, struct flow *flow)
{
	struct masquerade_search search = {.ports = {.key = key, .flow = flow}, .skb = skb};

	if (!key || !flow)
		return REASON_DROP_NO_FLOW_ROW;
	flow->seen = now_seconds();
	bpf_loop(MASQUERADE_ATTEMPTS, try_masquerade_port, &search, 0);
	return search.ports.found ? flow_commit(key, flow, &search.ports.reply) : REASON_DROP_NO_SOURCE_PORT;
}

/* --masquerade-all: must the flow of this packet begin anew here, on its way out to the backend, from the node's address? */
PURE bool is_marked(const struct __sk_buff *skb)
{
	return config.masquerade_mark && skb->mark & config.masquerade_mark;
}

/* A translated packet of a flow that is masqueraded at its exit says so to the hook there. */
PURE void mark(struct __sk_buff *skb, const struct flow *flow)
{
	if (config.masquerade_mark && (flow->flags & (FLOW_EXIT | FLOW_REPLY)) == FLOW_EXIT)
		skb->mark |= config.masquerade_mark;
}

/* What the node is called by this device: at a wire as its row says, towards a pod by its own address. */
PURE bool exit_source(const struct __sk_buff *skb, const struct packet *packet, struct address *source)
{
	__u32 ifindex = skb->ifindex, zero = 0;
	const struct wire *wire = bpf_map_lookup_elem(&wires, &ifindex);
	const struct switches *node = bpf_map_lookup_elem(&switches, &zero);

	if (wire)
		*source = packet->ipv6 ? wire->ipv6 : wire->ipv4;
	else if (node)
		*source = packet->ipv6 ? node->node_ipv6 : node->node_ipv4;
	return !is_zero_address(source);
}

/*
 * The packet goes to a backend, whose replies shall come back to the node: a flow of its own, between the backend and here,
 * beside the one at the client's edge. `flow` is room for it: with GOES_ON it is one, else a verdict.
 */
static __noinline int begin_exit(struct __sk_buff *skb, const struct packet *packet, struct flow *flow)
{
	int refusal = REASON_DROP_NO_SOURCE_ADDRESS;

	if (!packet || !flow)
		return TC_ACT_SHOT;
	__builtin_memset(flow, 0, sizeof(*flow));
	flow->destination = packet->tuple.destination;
	flow->source_port = packet->tuple.source_port;
	flow->destination_port = packet->tuple.destination_port;
	flow->flags = FLOW_EXIT;
	if (exit_source(skb, packet, &flow->source))
		refusal = masquerade_remember(skb, &packet->tuple, flow);
	return refusal ? drop(&packet->tuple, 0, refusal) : GOES_ON;
}
