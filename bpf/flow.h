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

#define PORT_ATTEMPTS 8

static __noinline __u32 flow_check(const struct flow_key *key, const struct flow *flow)
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
	else if (tentative)
		lifetime = config.half_open_seconds;
	else if (flow->state & (FLOW_CLIENT_FIN | FLOW_BACKEND_FIN))
		lifetime = config.tcp_half_closed_seconds;
	else
		lifetime = config.tcp_established_seconds;
	return age > lifetime;
}

PURE __u32 flow_hint_slot(const struct flow_key *key)
{
	__u32 ports = (__u32)key->source_port << 16 | key->destination_port;
	__u32 place = (__u32)key->device << 8 | key->hook;
	__u32 mix = (key->source.words[3] ^ key->source.words[1]) * 0x9e3779b1;

	mix ^= (key->destination.words[3] ^ key->destination.words[1]) * 0x85ebca6b;
	mix ^= (ports ^ place) * 0xc2b2ae35;
	return mix >> 16;
}

/* Rows with this key may exist from now on, for as long as a flow of this protocol may be idle. */
PURE void flow_hint_set(const struct flow_key *key)
{
	__u32 slot = flow_hint_slot(key);
	struct flow_hint *hint = bpf_map_lookup_elem(&flow_hints, &slot);
	__u32 until =
	    now_seconds() + 1 + (key->protocol == IPPROTO_TCP ? config.tcp_established_seconds : config.udp_seconds);

	if (hint && (__s32)(until - hint->until) > 0)
		hint->until = until;
}

PURE bool flow_is_hinted(const struct flow_key *key, __u32 *now)
{
	__u32 slot = flow_hint_slot(key);
	const struct flow_hint *hint = bpf_map_lookup_elem(&flow_hints, &slot);

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
 * The flow that `key` belongs to, copied and proved. FOUND: it stands in `flows`; TENTATIVE: in `half_open`; EXPIRED: its
 * rows are to be forgotten. `tables`: where to look; `age`: seconds since the flow's last packet.
 */
static __noinline int flow_find(const struct flow_key *key, struct flow *copy, __u32 tables, __u32 *age)
{
	const struct flow *row;
	__u32 now = 0;

	if (!key || !copy || !age)
		return UNSTABLE;
	if (!flow_is_hinted(key, &now))
		return NONE;
	if (tables & IN_FLOWS) {
		for (int attempt = 0; attempt < 2; attempt++) {
			row = find_row(flows, key);
			if (!row)
				goto half_open;
			*copy = *row;
			if (flow_check(key, copy) == copy->check) {
				*age = seconds_between(copy->seen, now);
				return is_expired(copy, key->protocol, false, *age) ? EXPIRED : FOUND;
			}
		}
		return UNSTABLE;
	}
half_open:
	if (tables & IN_HALF_OPEN) {
		for (int attempt = 0; attempt < 2; attempt++) {
			row = find_row(half_open, key);
			if (!row)
				return NONE;
			*copy = *row;
			if (flow_check(key, copy) == copy->check) {
				*age = seconds_between(copy->seen, now);
				return is_expired(copy, key->protocol, true, *age) ? EXPIRED : TENTATIVE;
			}
		}
		return UNSTABLE;
	}
	return NONE;
}

/* The key of the other row. A hairpin flow has both at from_pod. */
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
	twin->hook = flow->flags & FLOW_HAIRPIN ? key->hook : ((key->hook - 1) ^ 1) + 1;
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

PURE void flow_delete(const struct flow_key *key)
{
	delete_row(half_open, key);
	delete_row(flows, key);
}

/* Deletes a row and its twin. */
static __noinline int flow_forget(const struct flow_key *key, const struct flow *flow)
{
	struct flow_key twin;

	if (!key || !flow)
		return done();
	twin_key(key, flow, &twin);
	flow_delete(&twin);
	flow_delete(key);
	return done();
}

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
	if (result != EXPIRED && !is_closing(old.state) &&
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

/*
 * Remembers a new flow; its key has no row. `flow` says what the client's packet becomes. If another flow of the same client port
 * already has this backend (two VIPs over one backend), the backend must see another source port: one is
 * found and put into `flow`. 0, or the reason why the packet must be dropped.
 */
static __noinline int flow_remember(const struct flow_key *key, struct flow *flow)
{
	struct flow_key reply;
	int attempt;

	if (!key || !flow)
		return REASON_DROP_NO_FLOW_ROW;
	flow->seen = now_seconds();
	for (attempt = 0; attempt < PORT_ATTEMPTS; attempt++) {
		twin_key(key, flow, &reply);
		if (!reply_key_is_taken(&reply, key)) {
			/* in here it shares its place with another: 6.1 has 512 bytes for to_pod and all it calls */
			struct flow row;

			twin_row(key, flow, &reply, &row);
			flow_hint_set(&reply);
			if (!bpf_map_update_elem(&half_open, &reply, &row, BPF_NOEXIST))
				break;
		}
		flow->source_port = other_source_port();
	}
	if (attempt == PORT_ATTEMPTS)
		return REASON_DROP_NO_SOURCE_PORT;

	flow->check = flow_check(key, flow);
	flow_hint_set(key);
	if (bpf_map_update_elem(&half_open, key, flow, BPF_ANY)) {
		bpf_map_delete_elem(&half_open, &reply);
		return REASON_DROP_NO_FLOW_ROW;
	}
	return 0;
}
