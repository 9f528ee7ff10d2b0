/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#pragma once
#include "address.h"
#include "connections.h"
#include "packet.h"

/*
 * Choosing by anything else than chance. A hash of an address does not depend on node or hook: the same client of the same
 * backends gets the same one everywhere. Up to COMPARED backends are compared, each by a hash of client and backend
 * (rendezvous): who loses his backend goes elsewhere, and nobody else. Of more, and for Maglev always, a table follows the
 * pool's segment, which src/plan/maglev.ts makes; its size follows from the pool's, here as there.
 */
#define COMPARED 64

PURE __u64 mix(__u64 x)
{
	x ^= x >> 32;
	x *= 0xd6e8feb86659fd93ull;
	x ^= x >> 32;
	x *= 0xd6e8feb86659fd93ull;
	return x ^ x >> 32;
}

PURE __u64 hash_address(const struct address *address, __u64 seed)
{
	__u64 hash = mix(seed ^ ((__u64)address->words[0] << 32 | address->words[1]));

	return mix(hash ^ ((__u64)address->words[2] << 32 | address->words[3]));
}

/* How many slots of the table follow a pool of so many backends. */
PURE __u32 table_size(__u32 scheduler, __u32 count)
{
	__u32 size = count - 1;

	if (scheduler == SCHEDULER_MAGLEV ? count < 2 : count <= COMPARED)
		return 0;
	size |= size >> 1;
	size |= size >> 2;
	size |= size >> 4;
	size |= size >> 8;
	size |= size >> 16;
	return (size + 1) * (count <= 1024 ? 64 : 16);
}

/* One pool while its backends are compared. */
struct search {
	struct connections_key key;
	__u64 seed;
	__u64 best;
	__u32 start;
	__u32 count;
	__u32 first; /* where to begin */
	__u32 slot;  /* the best one */
};

/* One turn of bpf_loop(). Of two that are equal the earlier one wins, and where to begin is chance: nodes do not all begin with the same. */
static long compare_connections(__u64 turn, struct search *search)
{
	__u32 at = search->first + (__u32)turn;
	__u32 slot = search->start + (at < search->count ? at : at - search->count);
	const struct backend *row = bpf_map_lookup_elem(&backends, &slot);
	__u64 load;

	if (!row)
		return 1;
	search->key.address = row->address;
	search->key.port = row->port;
	load =
	    (__u64)connections_in(&socket_connections, &search->key) + connections_in(&flow_connections, &search->key);
	if (load < search->best) {
		search->best = load;
		search->slot = slot;
	}
	return !load;
}

/* The same. Backends at one address differ by their place there and not by their ports: so all ports of a Service lead to one pod. */
static long compare_hashes(__u64 turn, struct search *search)
{
	__u32 slot = search->start + (__u32)turn;
	const struct backend *row = bpf_map_lookup_elem(&backends, &slot);
	__u64 hash;

	if (!row)
		return 1;
	search->first = same_address(&row->address, &search->key.address) ? search->first + 1 : 0;
	search->key.address = row->address;
	hash = hash_address(&row->address, search->seed + search->first);
	if (!turn || hash > search->best) {
		search->best = hash;
		search->slot = slot;
	}
	return 0;
}

/* Whose turn it is. The first one's is chance, and a pool that changes goes on somewhere, in its order. */
PURE __u32 next_in_round(const struct frontend *frontend, bool local, const struct segment *pool)
{
	struct round_key key = {.service_port = frontend->service_port, .local = local};
	const struct backend *row = bpf_map_lookup_elem(&backends, &pool->start);
	struct round *round, first = {};

	key.ipv6 = row && !is_mapped(&row->address);
	round = bpf_map_lookup_elem(&rounds, &key);
	if (!round) {
		first.turns = bpf_get_prandom_u32();
		bpf_map_update_elem(&rounds, &key, &first, BPF_NOEXIST);
		round = bpf_map_lookup_elem(&rounds, &key);
	}
	return pool->start + (round ? __sync_fetch_and_add(&round->turns, 1) % pool->count : 0);
}

PURE __u32 turns_of(const struct search *search)
{
	return search->count < COMPARED ? search->count : COMPARED;
}

/* Who has the fewest connections. Of more than COMPARED those that follow a random one are asked. */
PURE __u32 least_slot(const struct frontend *frontend, struct search *search)
{
	search->first = ((__u64)bpf_get_prandom_u32() * search->count) >> 32;
	search->key.service_port = frontend->service_port;
	search->best = ~0ull;
	bpf_loop(turns_of(search), compare_connections, search, 0);
	return search->slot;
}

PURE __u32 hashed_slot(const struct frontend *frontend, const struct address *hashed, struct search *search)
{
	__u32 size = table_size(frontend->scheduler, search->count);

	search->seed = hash_address(hashed, 0);
	if (size)
		return search->start + search->count + (((search->seed >> 32) * size) >> 32);
	bpf_loop(turns_of(search), compare_hashes, search, 0);
	return search->slot;
}

PURE bool backend_at(__u32 slot, struct backend *backend)
{
	const struct backend *row = bpf_map_lookup_elem(&backends, &slot);

	if (!row)
		return false;
	*backend = *row;
	return true;
}

/* Uniform over the pool, which is not empty. */
PURE bool pick_any(const struct segment *pool, struct backend *backend)
{
	return backend_at(pool->start + (__u32)(((__u64)bpf_get_prandom_u32() * pool->count) >> 32), backend);
}

/*
 * The next backend of the pool, which is not empty. `hashed`: the address that a hash is of; NULL: none is known, and chance
 * decides.
 */
__noinline int schedule(const struct frontend *frontend, bool local, const struct address *hashed,
			struct backend *backend)
{
	struct search search = {};
	struct segment pool;

	if (!frontend || !backend)
		return false;
	pool = local ? frontend->local : frontend->any;
	search.start = pool.start;
	search.count = pool.count;
	if (frontend->scheduler == SCHEDULER_RR)
		return backend_at(next_in_round(frontend, local, &pool), backend);
	if (is_by_connections(frontend))
		return backend_at(least_slot(frontend, &search), backend);
	if (hashed)
		return backend_at(hashed_slot(frontend, hashed, &search), backend);
	return pick_any(&pool, backend);
}
