/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#pragma once
#include "frontend.h"
#include "schedule.h"

/*
 * A pool is a segment of `backends`, sorted by the bytes of address and port; a table may follow it (schedule.h). A live segment is never
 * written: the agent fills a fresh one, flips the frontend row and frees the old one after an RCU grace
 * period. So whatever a program reads through one copy of a frontend row is one pool, whole.
 */

/* Do the policies give a client one of this node? `outside`: neither a pod nor the node itself. */
PURE bool has_local_pool(const struct frontend *frontend, bool outside)
{
	__u32 local = outside ? FRONTEND_LOCAL_ONLY | FRONTEND_LOCAL_OUTSIDE : FRONTEND_LOCAL_ONLY;

	return frontend->flags & local;
}

/* The backends that the policies allow to a client. */
PURE struct segment pool_of(const struct frontend *frontend, bool outside)
{
	return has_local_pool(frontend, outside) ? frontend->local : frontend->any;
}

/* <0, 0, >0 as memcmp of the two rows' bytes. */
PURE int backend_compare(const struct backend *a, const struct backend *b)
{
#pragma unroll
	for (int i = 0; i < 4; i++) {
		__u32 x = bpf_ntohl(a->address.words[i]), y = bpf_ntohl(b->address.words[i]);

		if (x != y)
			return x < y ? -1 : 1;
	}
	return (int)bpf_ntohs(a->port) - (int)bpf_ntohs(b->port);
}

/* Binary search; 2^20 backends in one pool at most. */
__noinline int pool_contains(__u32 start, __u32 count, const struct backend *wanted)
{
	__u32 low = 0, high = count;

	if (!wanted)
		return false;
	for (int i = 0; i < 21 && low < high; i++) {
		__u32 middle = low + (high - low) / 2, slot = start + middle;
		const struct backend *row = bpf_map_lookup_elem(&backends, &slot);
		int order;

		if (!row)
			return false;
		order = backend_compare(wanted, row);
		if (!order)
			return true;
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return false;
}

/* Is there any backend that flows must leave? Mostly not, and then nobody looks for one. */
PURE bool has_removed_backends(void)
{
	__u32 zero = 0;
	const struct switches *node = bpf_map_lookup_elem(&switches, &zero);

	return node && node->has_removed_backends;
}

/* Must a UDP flow of this service port leave this backend? */
PURE bool is_removed(__u32 service_port, const struct address *address, __be16 port)
{
	struct removed_backend_key key = {.address = *address, .service_port = service_port, .port = port};

	return has_removed_backends() && bpf_map_lookup_elem(&removed_backends, &key);
}

/*
 * The backend that this client had, if it is still in the pool and not too long ago. A row that was recycled for another client
 * is harmless: its backend counts only if it is in this pool.
 */
__noinline int affinity_find(const struct frontend *frontend, bool local, const struct address *client,
			     struct backend *backend)
{
	struct affinity_key key = {};
	struct backend wanted = {};
	struct segment pool;
	struct affinity *old;

	if (!frontend || !client || !backend)
		return false;
	key.service_port = frontend->service_port;
	key.client = *client;
	old = find_row(affinity, &key);
	if (!old)
		return false;
	wanted.address = old->backend;
	wanted.port = old->backend_port;
	pool = local ? frontend->local : frontend->any;
	if (seconds_since(old->seen) >= frontend->affinity_seconds || !pool_contains(pool.start, pool.count, &wanted))
		return false;
	old->seen = now_seconds();
	*backend = wanted;
	return true;
}

__noinline int affinity_set(__u32 service_port, const struct address *client, const struct backend *backend)
{
	struct affinity_key key = {};
	struct affinity fresh = {};

	if (!client || !backend)
		return done();
	key.service_port = service_port;
	key.client = *client;
	fresh.backend = backend->address;
	fresh.backend_port = backend->port;
	fresh.seen = now_seconds();
	bpf_map_update_elem(&affinity, &key, &fresh, BPF_ANY);
	return done();
}

/*
 * Chooses for a new connection: the backend this client had, if affinity asks for it, else as the scheduler has it. `client`:
 * NULL where the source is not known or does not matter; `asked`: the address that stands for the Service; `outside`: see
 * has_local_pool().
 */
PURE bool choose_backend(const struct frontend *frontend, bool outside, const struct address *client,
			 const struct address *asked, struct backend *backend)
{
	bool local = has_local_pool(frontend, outside), sticks = frontend->affinity_seconds && client;

	if (sticks && affinity_find(frontend, local, client, backend))
		return true;
	if (frontend->scheduler == SCHEDULER_RANDOM) {
		if (!pick_any(local ? &frontend->local : &frontend->any, backend))
			return false;
	} else if (!schedule(frontend, local, frontend->scheduler == SCHEDULER_DH ? asked : client, backend)) {
		return false;
	}
	if (sticks)
		use(affinity_set(frontend->service_port, client, backend));
	return true;
}
