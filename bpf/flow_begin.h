/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#pragma once
#include "flow.h"

/* How a flow gets its two rows: fresh ones in half_open, or those in `flows` of one that is over. */

#define PORT_ATTEMPTS 8

/* Is the key of a new flow's way back taken by another flow that lives? What is dead or our own from before, goes. */
PURE bool reply_key_is_taken(const struct flow_key *reply, const struct flow_key *forward)
{
	struct flow old = {};
	__u32 age = 0;
	int result = flow_find(reply, &old, IN_FLOWS | IN_HALF_OPEN, &age);

	if (result == NONE)
		return false;
	if (result == UNSTABLE)
		return true;
	/* the old row's result turned around is the key of its forward row */
	if (result != EXPIRED && result != LAPSED && !is_closing(old.state) &&
	    (!same_address(&old.destination, &forward->source) || !same_address(&old.source, &forward->destination) ||
	     old.destination_port != forward->source_port || old.source_port != forward->destination_port))
		return true;
	use(flow_forget(reply, &old));
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
	struct flow row;

	twin_key(key, flow, reply);
	if (reply_key_is_taken(reply, key))
		return false;
	twin_row(key, flow, reply, &row);
	flow_hint_both(key, reply);
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

/*
 * Remembers a new flow; its key has no row. `flow` says what the client's packet becomes. If another flow of the same client port
 * already has this backend (two VIPs over one backend), the backend must see another source port: one is
 * found and put into `flow`. 0, or the reason why the packet must be dropped.
 */
static __noinline int flow_remember(const struct flow_key *key, struct flow *flow)
{
	struct flow_key reply;

	if (!key || !flow)
		return REASON_DROP_NO_FLOW_ROW;
	flow->seen = now_seconds();
	for (int attempt = 0; attempt < PORT_ATTEMPTS; attempt++) {
		if (flow_reserve(key, flow, &reply))
			return flow_commit(key, flow, &reply);
		flow->source_port = other_source_port();
	}
	return REASON_DROP_NO_SOURCE_PORT;
}

/*
 * Puts a new flow in the place of one that is over and stands in `flows`: cheaper than to forget that one and to begin in
 * half_open, and it takes no row from anybody. NULL: only clears the place. false: the place is clear, and nothing is
 * remembered.
 */
static __noinline int flow_replace(const struct flow_key *key, struct flow *flow)
{
	struct flow_key before, reply;
	struct flow *row, *twin;
	struct flow old;

	if (!key)
		return false;
	row = find_row(flows, key);
	if (!row)
		return false;
	old = *row;
	if (flow_check(key, &old) != old.check) {
		flow_delete(key);
		return false;
	}
	if (!flow)
		goto forget;
	twin_key(key, &old, &before);
	twin = find_row(flows, &before);
	if (!twin || !is_twin_of(twin, key))
		goto forget;
	flow->seen = now_seconds();
	twin_key(key, flow, &reply);
	flow_hint_both(key, &reply);
	if (same_key(&before, &reply)) {
		twin_row(key, flow, &reply, twin);
	} else {
		delete_row(flows, &before);
		if (old.state & FLOW_PROMOTED)
			delete_row(half_open, &before);
		if (reply_key_is_taken(&reply, key))
			goto forget;
		twin_row(key, flow, &reply, &old);
		if (bpf_map_update_elem(&flows, &reply, &old, BPF_NOEXIST)) {
			flow_delete(key);
			return false;
		}
	}
	/* not the row from above: what was in the way may have been a remnant of this very flow */
	row = find_row(flows, key);
	if (!row) {
		delete_row(flows, &reply);
		return false;
	}
	flow->check = flow_check(key, flow);
	*row = *flow;
	return true;
forget:
	use(flow_forget(key, &old));
	return false;
}

/* Gives a flow another source port, by its reply: the client's next SYN finds it. */
static __noinline int flow_move(const struct packet *packet, const struct flow *flow)
{
	struct flow_key forward;
	struct flow moved;

	if (!packet || !flow)
		return done();
	twin_key(&packet->tuple, flow, &forward);
	twin_row(&packet->tuple, flow, &forward, &moved);
	use(flow_forget(&packet->tuple, flow));
	moved.source_port = other_source_port();
	return flow_remember(&forward, &moved);
}

/* A row that stays spoilt would be in the way for good; its twin brings a good one back. */
PURE int drop_unstable(const struct packet *packet)
{
	flow_delete(&packet->tuple);
	return drop(0, REASON_DROP_UNSTABLE_ROW);
}
