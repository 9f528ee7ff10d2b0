/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#pragma once
#include "state.h"

/*
 * How many connections a backend has, for schedulers that ask. A socket is counted from its choice until it is closed, whoever
 * closes it: exact. A flow from its first packet until both sides closed it or one broke it off; those that are idle for too
 * long or that the table evicts end unseen, and the agent's next recount finds them.
 */

PURE bool is_by_connections(const struct frontend *frontend)
{
	return frontend->scheduler >= SCHEDULER_LC && frontend->scheduler <= SCHEDULER_NQ;
}

/* Does the choice follow from the client's address? */
PURE bool is_by_client(const struct frontend *frontend)
{
	return frontend->scheduler == SCHEDULER_SH || frontend->scheduler == SCHEDULER_MAGLEV;
}

/* The row of a count, made if it is not there. NULL: the map is full. */
PURE struct connections *connections_take(void *map, const struct connections_key *key)
{
	struct connections *row = bpf_map_lookup_elem(map, key);
	struct connections none = {};

	if (row)
		return row;
	bpf_map_update_elem(map, key, &none, BPF_NOEXIST); /* refused, if another CPU was faster */
	return bpf_map_lookup_elem(map, key);
}

/* Two that end one flow at a time may both count that: below zero is none. */
PURE __u32 connections_in(void *map, const struct connections_key *key)
{
	const struct connections *row = bpf_map_lookup_elem(map, key);

	return row && (__s32)row->count > 0 ? row->count : 0;
}

/* A flow with FLOW_COUNTED begins (`change` 1) or ends (-1); `of` and `flow`: either of its rows. */
__noinline int flow_count(const struct flow_key *of, const struct flow *flow, int change)
{
	struct connections_key key = {};
	struct connections *row;

	if (!of || !flow)
		return done();
	key.service_port = flow->service_port;
	key.address = flow->flags & FLOW_REPLY ? of->source : flow->destination;
	key.port = flow->flags & FLOW_REPLY ? of->source_port : flow->destination_port;
	row = change > 0 ? connections_take(&flow_connections, &key) : bpf_map_lookup_elem(&flow_connections, &key);
	if (row)
		__sync_fetch_and_add(&row->count, change);
	return done();
}
