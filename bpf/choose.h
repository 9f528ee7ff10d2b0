/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#pragma once
#include "flow_state.h"
#include "pool.h"

/* What to do with a packet that begins something, at a pod's veth and at the wire alike. */

/*
 * What a packet to this destination asks for: an exact service address goes before a NodePort at the same address, and
 * only of clusterIPs all ports are ours. FOUND: `frontend` is its row. UNDEFINED_PORT: `frontend` is the address's row.
 */
__noinline int frontend_of(const struct flow_key *tuple, struct frontend *frontend)
{
	struct frontend_key key = {};
	struct address any;
	bool of_service;
	int owner, result;

	if (!tuple || !frontend)
		return UNSTABLE;
	key.address = tuple->destination;
	key.port = tuple->destination_port;
	key.protocol = tuple->protocol;
	any = tuple->destination;
	to_any_address(&any);
	if (same_address(&any, &key.address)) /* NodePorts stand there, but nobody can send to it */
		return NONE;
	/* most connections that begin are to a Service */
	if (tuple->protocol == IPPROTO_TCP) {
		result = frontend_find(&key, frontend);
		if (result != NONE)
			return result;
	}
	/* no address of a Service has frontends without a row of its own: most packets are told apart by it */
	owner = address_find(&key.address, frontend);
	if (owner == UNSTABLE)
		return UNSTABLE;
	of_service = owner == FOUND && frontend->flags & FRONTEND_ADDRESS;
	if (owner == FOUND && tuple->protocol != IPPROTO_TCP) {
		result = frontend_find(&key, frontend);
		if (result != NONE)
			return result;
	}
	if (is_node_address(&key.address)) {
		key.address = any;
		result = frontend_find(&key, frontend);
		if (result != NONE)
			return result;
	}
	if (!of_service)
		return NONE;
	return address_find(&tuple->destination, frontend) == FOUND ? UNDEFINED_PORT : UNSTABLE;
}

/*
 * A SYN straight to a backend. If a flow of ours has the way back that this connection needs, its replies would
 * be taken for that flow's: a dead flow is forgotten; beside a living one this connection gets rows too, and
 * so another source port.
 */
PURE int choose_direct(const struct packet *packet, struct flow *flow)
{
	struct flow_key reply;
	struct flow old = {};
	__u32 age = 0;
	int found;

	flow->destination = packet->tuple.destination;
	flow->destination_port = packet->tuple.destination_port;
	twin_key(&packet->tuple, flow, &reply);
	found = flow_find(&reply, &old, IN_FLOWS | IN_HALF_OPEN, &age);
	switch (found) {
	case NONE:
		return 0;
	case UNSTABLE:
		return REASON_DROP_UNSTABLE_ROW;
	case EXPIRED:
	case LAPSED:
		break;
	default:
		if (!is_closing(old.state))
			return REASON_CONNECTED_DIRECT;
	}
	tell_end(&reply, &old, found);
	use(flow_forget(&reply, &old));
	return 0;
}

/* May this source ask? loadBalancerSourceRanges go before everything else that a Service says. */
PURE bool is_in_source_ranges(const struct frontend *frontend, const struct address *source)
{
	struct source_range_key key = {.prefix_length = 32 + 128};

	if (!(frontend->flags & FRONTEND_SOURCE_RANGES))
		return true;
	key.service_port = frontend->service_port;
	key.source = *source;
	return bpf_map_lookup_elem(&source_ranges, &key);
}

/* enum source_class of a packet that begins something, as the client sent it. */
__noinline int source_class(const struct packet *packet)
{
	struct cidr_key key = {.prefix_length = 128};
	const __u32 *class;

	if (!packet)
		return SOURCE_OUTSIDE;
	if (packet->tuple.hook == HOOK_FROM_POD || packet->of_pods)
		return SOURCE_OWN_POD;
	key.address = packet->tuple.source;
	class = bpf_map_lookup_elem(&source_classes, &key);
	return class ? *class : SOURCE_OUTSIDE;
}

PURE bool is_outside(const struct packet *packet)
{
	return source_class(packet) == SOURCE_OUTSIDE;
}

/*
 * Does this backend see the client's address, wherever it is? The replies to a pod of this node come by here, unless it is its own
 * backend; and of the local set all are on this node, whatever the routes say.
 */
PURE bool keeps_source(int class, const struct packet *packet, const struct frontend *frontend,
		       const struct backend *backend)
{
	if (class == SOURCE_OWN_POD)
		return !is_masqueraded_always(frontend) && !same_address(&backend->address, &packet->tuple.source);
	return class == SOURCE_OUTSIDE && frontend->flags & FRONTEND_LOCAL_OUTSIDE;
}

PURE int choose_service(const struct packet *packet, const struct frontend *frontend, struct flow *flow)
{
	int class = source_class(packet);
	bool outside = class == SOURCE_OUTSIDE;
	struct backend backend = {};

	flow->service_port = frontend->service_port;
	if (!is_in_source_ranges(frontend, &packet->tuple.source))
		return REASON_DROP_SOURCE_RANGE;
	if (!pool_of(frontend, outside).count)
		return frontend->flags & FRONTEND_HAS_ENDPOINT ? REASON_DROP_NO_LOCAL_ENDPOINT
							       : REASON_REJECT_NO_ENDPOINT;
	if (!choose_backend(frontend, outside, &packet->tuple.source, &packet->tuple.destination, &backend))
		return REASON_DROP_UNSTABLE_ROW;
	if (is_by_connections(frontend))
		flow->flags = FLOW_COUNTED;
	flow->destination = backend.address;
	flow->destination_port = backend.port;
	if (packet->tuple.hook != HOOK_FROM_POD) {
		if (!keeps_source(class, packet, frontend, &backend))
			flow->flags |= FLOW_MASQUERADE | (is_masqueraded_always(frontend) ? FLOW_EXIT : 0);
		return REASON_CONNECTED_WIRE;
	}
	if (same_address(&backend.address, &packet->tuple.source)) {
		/* a pod drops what comes from its own address: let it come from the Service's */
		flow->source = packet->tuple.destination;
		flow->flags |= FLOW_HAIRPIN;
	} else if (is_masqueraded_always(frontend)) {
		flow->flags |= FLOW_EXIT;
	}
	return REASON_CONNECTED_POD;
}

/*
 * What to do with a packet that begins something: 0 if it is not ours, else the reason that says it. With
 * REASON_CONNECTED_... `flow`, which is all zero before, tells what the packet becomes; with FLOW_MASQUERADE its source is to
 * be replaced if the backend is elsewhere.
 */
__noinline int choose(const struct packet *packet, struct flow *flow)
{
	struct frontend frontend = {};

	if (!packet || !flow)
		return REASON_DROP_MALFORMED;
	flow->source = packet->tuple.source;
	flow->source_port = packet->tuple.source_port;
	switch (frontend_of(&packet->tuple, &frontend)) {
	case FOUND:
		return choose_service(packet, &frontend, flow);
	case UNDEFINED_PORT:
		flow->service_port = frontend.service_port;
		return REASON_REJECT_UNDEFINED_PORT;
	case UNSTABLE:
		return REASON_DROP_UNSTABLE_ROW;
	}
	return is_tcp(packet) ? choose_direct(packet, flow) : 0;
}

PURE bool is_connected(int reason)
{
	return reason && reason < REASON_REJECT_NO_ENDPOINT;
}

PURE bool is_drop(int reason)
{
	return reason >= REASON_DROP_NO_LOCAL_ENDPOINT;
}

/* May this flow's backend no longer be chosen? */
PURE bool backend_left(const struct packet *packet, const struct flow *flow)
{
	struct backend backend = {.address = flow->destination, .port = flow->destination_port};
	struct frontend frontend = {};
	struct segment pool;

	if (frontend_of(&packet->tuple, &frontend) != FOUND)
		return true;
	pool = pool_of(&frontend, is_outside(packet));
	return !pool_contains(pool.start, pool.count, &backend);
}

/* Does what the client names stand for another service port by now, or for none? */
PURE bool has_new_owner(const struct packet *packet, const struct flow *flow)
{
	struct frontend frontend = {};

	return frontend_of(&packet->tuple, &frontend) != FOUND || frontend.service_port != flow->service_port;
}

/*
 * Must this packet choose anew, although a row exists? A SYN whose row is closing or whose backend left the pool (the
 * source port is used again); a datagram whose backend no longer serves or, looked at once a second, whose Service gave the
 * address away.
 */
__noinline int is_stale(const struct packet *packet, const struct flow *flow, __u32 age)
{
	if (!packet || !flow || flow->flags & FLOW_REPLY)
		return false;
	if (!is_connection(packet))
		return is_removed(flow->service_port, &flow->destination, flow->destination_port) ||
		       (age && flow->service_port && has_new_owner(packet, flow));
	if (flow->state & (FLOW_CLIENT_FIN | FLOW_BACKEND_FIN | FLOW_RESET))
		return true;
	return flow->service_port && backend_left(packet, flow);
}

PURE bool may_be_stale(const struct packet *packet, __u32 age)
{
	if (is_connection(packet))
		return is_start(packet);
	return packet->piece != LATER_PIECE && (age || has_removed_backends());
}

/* A connection whose beginning was not ours is not ours: kube-proxy's live on in conntrack. */
PURE bool may_begin(const struct packet *packet)
{
	return is_connection(packet) ? is_start(packet) : packet->piece != LATER_PIECE;
}

/*
 * The flow that was found for a client's packet: does it go on? Then the packet is entered in its rows. If not, the packet
 * begins something: what is left of the flow is forgotten, or with `again` stands in `flows` to be replaced.
 */
PURE bool goes_on(const struct packet *packet, struct flow *flow, int found, __u32 age, bool *again)
{
	if (found == NONE)
		return false;
	if (found == EXPIRED || found == LAPSED || (may_be_stale(packet, age) && is_stale(packet, flow, age))) {
		/* not while rows of an older map count: the one there would stay */
		*again = !config.takes_over && (found == EXPIRED || found == FOUND) && may_begin(packet);
		tell_end(&packet->tuple, flow, found);
		if (!*again)
			use(flow_forget(&packet->tuple, flow));
		return false;
	}
	if (found == TENTATIVE && is_confirmed(packet, flow)) {
		tell_closing(packet, flow, news_of(packet, flow));
		flow->state |= news_of(packet, flow);
		flow->seen = now_seconds();
		use(flow_promote(&packet->tuple, flow));
	} else if (flow_is_due(packet, flow, age)) {
		use(flow_touch(packet, flow, found == TENTATIVE, 0));
	}
	return true;
}
