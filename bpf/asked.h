/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#pragma once
#include "socket.h"

/* What a socket asks for, and whether it may. */

/*
 * Session affinity is the client's address, which a socket does not have yet. For the node's own sockets it
 * is the node's address. Pods with tc programs are left to those; without, their network namespace stands for
 * them, under a multicast prefix that no client's address has.
 */
PURE bool client_of(struct bpf_sock_addr *ctx, const struct call *call, const struct switches *node,
		    struct address *client)
{
	__u64 cookie;

	if (call->in_host) {
		*client = is_mapped(&call->frontend.address) ? node->node_ipv4 : node->node_ipv6;
		return !is_zero_address(client);
	}
	cookie = bpf_get_netns_cookie(ctx);
	client->words[0] = bpf_htonl(0xff000000);
	client->words[1] = 0;
	client->words[2] = cookie >> 32;
	client->words[3] = (__u32)cookie;
	return true;
}

/* Connected UDP of pods cannot be moved off a dead backend from here, and affinity and hashes of the client want an
 * address: tc has both. */
PURE bool is_left_to_tc(const struct call *call, const struct frontend *frontend, const struct switches *node)
{
	if (call->in_host || !node->pods_at_tc)
		return false;
	/* of a socket the source cannot be replaced */
	if (is_masqueraded_always(frontend))
		return true;
	return frontend->affinity_seconds || is_by_client(frontend) ||
	       (call->frontend.protocol == IPPROTO_UDP && (call->connected || call->has_peer));
}

/*
 * A pod that asks a Service and is its backend itself meets itself as the Service's address, and its answer goes to a port of that
 * which no Service has. Only tc knows the flow; it refuses what is of none. TCP answers without a hook.
 */
PURE bool may_answer_itself(const struct call *call, const struct switches *node)
{
	return !call->in_host && node->pods_at_tc && call->frontend.protocol == IPPROTO_UDP;
}

/* The NodePort that the asked port is on one of this node's addresses. A pod's loopback is its own. */
PURE int nodeport_find(const struct call *call, struct frontend *frontend)
{
	const struct node_address *row = bpf_map_lookup_elem(&node_addresses, &call->frontend.address);
	struct frontend_key key = {.address = call->frontend.address};

	if (!row || (!call->in_host && row->flags & NODE_ADDRESS_LOCALHOST))
		return NONE;
	to_any_address(&key.address);
	key.port = call->frontend.port;
	key.protocol = call->frontend.protocol;
	return frontend_find(&key, frontend);
}

/* What stands for the asked address and port: NONE is not ours, or `rejects`, where the address is a clusterIP. */
PURE int asked_frontend(const struct call *call, struct frontend *frontend, bool *rejects)
{
	struct frontend_key key = {};
	int found;

	key.address = call->frontend.address;
	key.port = call->frontend.port;
	key.protocol = call->frontend.protocol;
	found = frontend_find(&key, frontend);
	if (found == NONE)
		found = nodeport_find(call, frontend);
	if (found == NONE)
		*rejects =
		    address_find(&key.address, frontend) == FOUND && !(frontend->flags & FRONTEND_EXTERNAL_ADDRESS);
	return found;
}

/*
 * May this socket ask a Service with source ranges? It has no address yet: for the node's own it is the node's, those of
 * pods are left to tc. Who may not goes on untranslated, since a socket hook cannot drop in silence, and ends at to_wire.
 */
PURE bool may_ask(const struct call *call, const struct frontend *frontend, const struct switches *node)
{
	struct source_range_key key = {.prefix_length = 160, .service_port = frontend->service_port};

	if (!(frontend->flags & FRONTEND_SOURCE_RANGES))
		return true;
	key.source = is_mapped(&call->frontend.address) ? node->node_ipv4 : node->node_ipv6;
	return call->in_host && !is_zero_address(&key.source) && bpf_map_lookup_elem(&source_ranges, &key);
}

/* A socket of the node that is bound to loopback reaches what is on the node, and no further. */
PURE bool is_out_of_reach(const struct bpf_sock_addr *ctx, const struct call *call, const struct backend *backend,
			  const struct switches *node)
{
	const struct bpf_sock *sk = ctx->sk;

	if (!call->in_host || !sk)
		return false;
	if (is_mapped(&backend->address)
		? (bpf_ntohl(sk->src_ip4) >> 24) != 127
		: sk->src_ip6[0] || sk->src_ip6[1] || sk->src_ip6[2] || sk->src_ip6[3] != bpf_htonl(1))
		return false;
	return !same_address(&backend->address, &node->node_ipv4) &&
	       !same_address(&backend->address, &node->node_ipv6) &&
	       !bpf_map_lookup_elem(&node_addresses, &backend->address);
}
