/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#pragma once
#include "frontend.h"
#include "packet.h"
#include "state.h"

/*
 * A flow is a remembered choice, in two rows, twins. Each row says what its own tuple becomes, and the hook
 * in its key is the only one that may use it: un-translating a reply at the backend's veth instead of the
 * client's cuts local connections. Rows hold the backend's address, not a number: a change of the Service
 * never breaks a flow.
 *
 * A flow begins in `half_open` and moves to `flows` when the client has answered the backend. Time is a stamp
 * judged at look-up; no sweep has to run for any of this to be right.
 */

PURE __u32 hash_of_flow(const struct flow_key *key, const struct flow *flow)
{
	struct checksum checksum = CHECK_START;
	const __u32 *words = (const __u32 *)flow;

	check_words(&checksum, key, sizeof(*key));
	check_words(&checksum, flow, __builtin_offsetof(struct flow, state));
	/* `state` is the low byte of this word and changes in place */
	check_word(&checksum, words[__builtin_offsetof(struct flow, state) / 4] & ~0xffu);
	check_word(&checksum, words[__builtin_offsetof(struct flow, state) / 4 + 1]);
	return check_end(&checksum);
}

/* For where no packet of a known flow passes: out of line, since it is long. */
static __noinline __u32 flow_check(const struct flow_key *key, const struct flow *flow)
{
	return hash_of_flow(key, flow);
}

PURE bool is_closing(__u8 state)
{
	__u8 both = FLOW_CLIENT_FIN | FLOW_BACKEND_FIN;

	return state & FLOW_RESET || (state & both) == both;
}

PURE bool is_expired(const struct flow *flow, __u8 protocol, bool tentative, __u32 age)
{
	__u32 lifetime;

	if (protocol != IPPROTO_TCP)
		lifetime = config.udp_seconds;
	else if (is_closing(flow->state))
		lifetime = config.tcp_closing_seconds;
	else if (tentative || !(flow->state & FLOW_REPLIED))
		lifetime = config.half_open_seconds;
	else if (flow->state & (FLOW_CLIENT_FIN | FLOW_BACKEND_FIN))
		lifetime = config.tcp_half_closed_seconds;
	else
		lifetime = config.tcp_established_seconds;
	return age > lifetime;
}

/* Without the ports: what a pod has to do with another is one slot, however many connections, and stays in the cache. */
PURE __u32 flow_hint_slot(const struct flow_key *key)
{
	__u32 place = (__u32)key->device << 8 | key->hook;
	__u32 mix = (key->source.words[3] ^ key->source.words[1]) * 0x9e3779b1;

	mix ^= (key->destination.words[3] ^ key->destination.words[1]) * 0x85ebca6b;
	mix ^= place * 0xc2b2ae35;
	return mix >> 16;
}

PURE struct flow_hint *flow_hint(const struct flow_key *key)
{
	__u32 slot = flow_hint_slot(key);

	return bpf_map_lookup_elem(&flow_hints, &slot);
}

PURE void extend(__u32 *until, __u32 later)
{
	if ((__s32)(later - *until) > 0)
		*until = later;
}

/* Rows with this key may exist from now on, for as long as a flow of this protocol may be idle; `tentative`: in half_open. */
PURE void flow_hint_set(const struct flow_key *key, bool tentative)
{
	struct flow_hint *hint = flow_hint(key);
	bool tcp = key->protocol == IPPROTO_TCP;
	__u32 soon = now_seconds() + 1;

	if (!hint)
		return;
	extend(&hint->until, soon + (tcp ? config.tcp_established_seconds : config.udp_seconds));
	if (tentative)
		extend(&hint->half_open_until, soon + (tcp ? config.half_open_seconds : config.udp_seconds));
}

/* Before the rows are there. */
PURE void flow_hint_both(const struct flow_key *forward, const struct flow_key *reply, bool tentative)
{
	flow_hint_set(reply, tentative);
	flow_hint_set(forward, tentative);
}

/* May a row of `half_open` have this key and be alive? */
PURE bool half_open_is_hinted(const struct flow_key *key)
{
	const struct flow_hint *hint = flow_hint(key);

	return !hint || (__s32)(hint->half_open_until - now_seconds()) > 0;
}

PURE bool flow_is_hinted(const struct flow_key *key, __u32 *now)
{
	const struct flow_hint *hint = flow_hint(key);

	if (hint && !hint->until)
		return false;
	*now = now_seconds();
	return !hint || (__s32)(hint->until - *now) > 0;
}

enum flow_table {
	IN_FLOWS = 1 << 0,
	IN_HALF_OPEN = 1 << 1,
};

/*
 * The flow that `key` belongs to, copied and proved. FOUND: it stands in `flows`; TENTATIVE: in `half_open`; EXPIRED and
 * LAPSED: it stood there, but its time is over. `tables`: where to look; `age`: seconds since the flow's last packet, or NULL.
 */
static __noinline int flow_find(const struct flow_key *key, struct flow *copy, __u32 tables, __u32 *age)
{
	__u32 now = 0, idle;

	if (!key || !copy)
		return UNSTABLE;
	if (!flow_is_hinted(key, &now))
		return NONE;
	for (int attempt = 0; attempt < 2; attempt++) {
		const struct flow *row = tables & IN_FLOWS ? find_row(flows, key) : NULL;
		bool tentative = !row;

		if (tentative && tables & IN_HALF_OPEN)
			row = find_row(half_open, key);
		if (!row)
			return NONE;
		*copy = *row;
		asm volatile("" ::
				 : "memory"); /* read anew from the stack: kept in registers, it all would be spilled */
		if (hash_of_flow(key, copy) != copy->check)
			continue;
		idle = seconds_between(copy->seen, now);
		if (age)
			*age = idle;
		if (is_expired(copy, key->protocol, tentative, idle))
			return tentative ? LAPSED : EXPIRED;
		return tentative ? TENTATIVE : FOUND;
	}
	return UNSTABLE;
}

/* The key of the other row. A hairpin flow has both at from_pod, a masqueraded one at from_wire. */
PURE void twin_key(const struct flow_key *key, const struct flow *flow, struct flow_key *twin)
{
	__builtin_memset(twin, 0, sizeof(*twin));
	twin->source = flow->destination;
	twin->destination = flow->source;
	twin->source_port = flow->destination_port;
	twin->destination_port = flow->source_port;
	twin->protocol = key->protocol;
	twin->device = key->device;
	/* from_pod <-> to_pod, from_wire <-> to_wire */
	twin->hook = flow->flags & (FLOW_HAIRPIN | FLOW_MASQUERADE) ? key->hook : ((key->hook - 1) ^ 1) + 1;
}

/* The row of the other key, as if it were new. */
PURE void twin_row(const struct flow_key *key, const struct flow *flow, const struct flow_key *twin, struct flow *row)
{
	__builtin_memset(row, 0, sizeof(*row));
	row->source = key->destination;
	row->destination = key->source;
	row->source_port = key->destination_port;
	row->destination_port = key->source_port;
	row->service_port = flow->service_port;
	row->state = flow->state;
	row->flags = flow->flags ^ FLOW_REPLY;
	row->seen = flow->seen;
	row->check = flow_check(twin, row);
}

/* After an eviction the key of a twin may have become another flow's. */
PURE bool is_twin_of(const struct flow *row, const struct flow_key *key)
{
	return same_address(&row->source, &key->destination) && same_address(&row->destination, &key->source) &&
	       row->source_port == key->destination_port && row->destination_port == key->source_port;
}

PURE bool same_key(const struct flow_key *a, const struct flow_key *b)
{
	return same_address(&a->source, &b->source) && same_address(&a->destination, &b->destination) &&
	       a->source_port == b->source_port && a->destination_port == b->destination_port && a->hook == b->hook;
}

PURE void flow_delete(const struct flow_key *key)
{
	delete_row(half_open, key);
	delete_row(flows, key);
}

/* Tells that a flow is forgotten; `found`: as what it was. The end of one that was closed was told already. */
PURE void tell_end(const struct flow_key *key, const struct flow *flow, int found)
{
	bool idle = found == EXPIRED || found == LAPSED;

	if (is_closing(flow->state))
		return;
	use(tell(key, flow, flow->service_port, idle ? REASON_ENDED_IDLE : REASON_ENDED_REPLACED));
	/* of one that was idle the agent may know already */
	if (!idle && flow->flags & FLOW_COUNTED)
		use(flow_count(key, flow, -1));
}

/* Deletes a row and its twin, wherever they stand. */
static __noinline int flow_forget(const struct flow_key *key, const struct flow *flow)
{
	const struct flow *other;
	struct flow_key twin;

	if (!key || !flow)
		return done();
	twin_key(key, flow, &twin);
	other = find_row(flows, &twin);
	if (other && is_twin_of(other, key))
		delete_row(flows, &twin);
	other = find_row(half_open, &twin);
	if (other && is_twin_of(other, key))
		delete_row(half_open, &twin);
	flow_delete(key);
	return done();
}
