/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#pragma once
#include "frontend.h"
#include "state.h"

/*
 * A pool is a segment of `backends`, sorted by the bytes of address and port. A live segment is never
 * written: the agent fills a fresh one, flips the frontend row and frees the old one after an RCU grace
 * period. So whatever a program reads through one copy of a frontend row is one pool, whole.
 */

/* The backends that the policies allow to a client; `outside`: neither a pod nor the node itself. */
PURE struct segment pool_of(const struct frontend *frontend, bool outside)
{
	__u32 local = outside ? FRONTEND_LOCAL_ONLY | FRONTEND_LOCAL_OUTSIDE : FRONTEND_LOCAL_ONLY;

	return frontend->flags & local ? frontend->local : frontend->any;
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

/* Uniform over the pool, which is not empty. */
PURE bool pool_pick(struct segment pool, struct backend *backend)
{
	__u32 slot = pool.start + (__u32)(((__u64)bpf_get_prandom_u32() * pool.count) >> 32);
	const struct backend *row = bpf_map_lookup_elem(&backends, &slot);

	if (!row)
		return false;
	*backend = *row;
	return true;
}

/*
 * Chooses for a new connection: the backend this client had, if affinity asks for it, it is still in the pool
 * and not too long ago; else any. `client`: NULL where the source is not known or does not matter; `outside`: see pool_of().
 */
__noinline int choose_backend(const struct frontend *frontend, bool outside, const struct address *client,
			      struct backend *backend)
{
	struct affinity_key key = {};
	struct affinity fresh = {};
	struct affinity *old;
	struct segment pool;

	if (!frontend || !backend)
		return false;
	pool = pool_of(frontend, outside);
	if (!frontend->affinity_seconds || !client)
		return pool_pick(pool, backend);

	key.service_port = frontend->service_port;
	key.client = *client;
	old = find_row(affinity, &key);
	if (old) {
		/* a recycled row of another client is harmless: its backend counts only if it is in this pool
		 */
		struct backend wanted = {.address = old->backend, .port = old->backend_port};

		if (seconds_since(old->seen) < frontend->affinity_seconds &&
		    pool_contains(pool.start, pool.count, &wanted)) {
			old->seen = now_seconds();
			*backend = wanted;
			return true;
		}
	}
	if (!pool_pick(pool, backend))
		return false;
	fresh.backend = backend->address;
	fresh.backend_port = backend->port;
	fresh.seen = now_seconds();
	bpf_map_update_elem(&affinity, &key, &fresh, BPF_ANY);
	return true;
}
