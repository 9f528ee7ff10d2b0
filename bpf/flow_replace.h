/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#pragma once
#include "flow_begin.h"

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
	if (flow_check(key, &old) != old.check)
		goto clear;
	if (!flow)
		goto forget;
	twin_key(key, &old, &before);
	twin = find_row(flows, &before);
	if (!twin || !is_twin_of(twin, key))
		goto forget;
	flow->seen = now_seconds();
	twin_key(key, flow, &reply);
	flow_hint_both(key, &reply, false);
	if (same_key(&before, &reply)) {
		twin_row(key, flow, &reply, twin);
	} else {
		delete_row(flows, &before);
		if (old.state & FLOW_PROMOTED)
			delete_row(half_open, &before);
		/* in `flows` the insertion will tell, and mostly nothing lives in half_open: two cold look-ups less */
		if (half_open_is_hinted(&reply) && reply_key_is_taken(&reply, key, &old))
			goto clear;
		twin_row(key, flow, &reply, &old);
		if (bpf_map_update_elem(&flows, &reply, &old, BPF_NOEXIST))
			goto clear;
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
clear:
	flow_delete(key);
	return false;
forget:
	use(flow_forget(key, &old));
	return false;
}
