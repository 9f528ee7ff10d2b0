/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#pragma once
#include "flow.h"

/* How a flow gets its two rows, fresh ones in half_open. */

#define PORT_ATTEMPTS 8

/*
 * Is the key of a new flow's way back taken by another flow that lives? What is dead or our own from before, goes. `old`: room
 * for that row, the caller's: the stack is short, and not every clang lets two rows that follow each other share a place.
 */
PURE bool reply_key_is_taken(const struct flow_key *reply, const struct flow_key *forward, struct flow *old)
{
	int result = flow_find(reply, old, IN_FLOWS | IN_HALF_OPEN, NULL);

	if (result == NONE)
		return false;
	if (result == UNSTABLE)
		return true;
	/* the old row's result turned around is the key of its forward row */
	if (result != EXPIRED && result != LAPSED && !is_closing(old->state) &&
	    (!same_address(&old->destination, &forward->source) || !same_address(&old->source, &forward->destination) ||
	     old->destination_port != forward->source_port || old->source_port != forward->destination_port))
		return true;
	tell_end(reply, old, result);
	use(flow_forget(reply, old));
	return false;
}

/* Below the range that kernels choose from by themselves: a direct connection of the client is not likely there. */
PURE __be16 other_source_port(void)
{
	return bpf_htons(1024 + bpf_get_prandom_u32() % (32768 - 1024));
}

/* Takes the key of a new flow's way back, if it is free. */
PURE bool flow_reserve(const struct flow_key *key, const struct flow *flow, struct flow_key *reply)
{
	struct flow row = {};

	twin_key(key, flow, reply);
	if (reply_key_is_taken(reply, key, &row))
		return false;
	twin_row(key, flow, reply, &row);
	flow_hint_both(key, reply, true);
	return !bpf_map_update_elem(&half_open, reply, &row, BPF_NOEXIST);
}

/* The second half of what flow_reserve() began. */
PURE int flow_commit(const struct flow_key *key, struct flow *flow, const struct flow_key *reply)
{
	flow->check = flow_check(key, flow);
	if (!bpf_map_update_elem(&half_open, key, flow, BPF_ANY))
		return 0;
	delete_row(half_open, reply);
	return REASON_DROP_NO_FLOW_ROW;
}

/* A new flow that looks for a source port whose way back is free. */
struct port_search {
	const struct flow_key *key;
	struct flow *flow;
	struct flow_key reply;
	bool found;
};

/* One turn of bpf_loop(): the verifier looks at it once, and not at each attempt. */
static long try_port(__u64 attempt, struct port_search *search)
{
	if (attempt && search->key->protocol == IPPROTO_SCTP)
		return 1; /* its port cannot be rewritten */
	if (attempt)
		search->flow->source_port = other_source_port();
	search->found = flow_reserve(search->key, search->flow, &search->reply);
	return search->found;
}

/*
 * Remembers a new flow; its key has no row. `flow` says what the client's packet becomes. If another flow of the same
 * client port already has this backend (two VIPs over one backend), the backend must see another source port: one is
 * found and put into `flow`. 0, or the reason why the packet must be dropped.
 */
static __noinline int flow_remember(const struct flow_key *key, struct flow *flow)
{
	struct port_search search = {.key = key, .flow = flow};

	if (!key || !flow)
		return REASON_DROP_NO_FLOW_ROW;
	flow->seen = now_seconds();
	bpf_loop(PORT_ATTEMPTS, try_port, &search, 0);
	return search.found ? flow_commit(key, flow, &search.reply) : REASON_DROP_NO_SOURCE_PORT;
}

/* Gives a flow another source port, by its reply: the client's next SYN finds it. The reply's row is made the client's in place. */
static __noinline int flow_move(const struct packet *packet, struct flow *flow)
{
	struct flow_key forward;

	if (!packet || !flow)
		return done();
	twin_key(&packet->tuple, flow, &forward);
	use(flow_forget(&packet->tuple, flow));
	flow->source = packet->tuple.destination;
	flow->destination = packet->tuple.source;
	flow->source_port = other_source_port();
	flow->destination_port = packet->tuple.source_port;
	flow->flags ^= FLOW_REPLY;
	if (flow_remember(&forward, flow))
		return done();
	count(flow->service_port, REASON_CONNECTED_MOVED);
	return tell(&forward, flow, flow->service_port, REASON_CONNECTED_MOVED);
}

/* A row that stays spoilt would be in the way for good; its twin brings a good one back. */
PURE int drop_unstable(const struct packet *packet)
{
	flow_delete(&packet->tuple);
	return drop(&packet->tuple, 0, REASON_DROP_UNSTABLE_ROW);
}
