/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#pragma once
#include "check.h"
#include "verdict.h"

/* What a look-up of a row that proves itself can give. */
enum found {
	FOUND,
	NONE,
	UNSTABLE,	/* it changed twice while it was read */
	TENTATIVE,	/* a flow in half_open */
	EXPIRED,	/* a flow whose time is over, in `flows` */
	LAPSED,		/* one in half_open */
	NOT_OURS,	/* neither a flow nor a service address */
	UNDEFINED_PORT, /* a clusterIP, but none of its ports */
};

PURE __u32 frontend_check(const struct frontend_key *key, const struct frontend *frontend)
{
	struct checksum checksum = CHECK_START;

	check_words(&checksum, key, sizeof(*key));
	check_words(&checksum, frontend, __builtin_offsetof(struct frontend, check));
	return check_end(&checksum);
}

/* Copies the row of `key`. NONE: not a frontend of ours. */
static __noinline int frontend_find(const struct frontend_key *key, struct frontend *copy)
{
	if (!key || !copy)
		return UNSTABLE;
	for (int attempt = 0; attempt < 2; attempt++) {
		const struct frontend *row = bpf_map_lookup_elem(&frontends, key);

		if (!row)
			return NONE;
		*copy = *row;
		if (frontend_check(key, copy) == copy->check)
			return FOUND;
	}
	return UNSTABLE;
}

/* Is this the address of a Service? Then `copy` is its port-0 row. */
PURE int address_find(const struct address *address, struct frontend *copy)
{
	struct frontend_key key = {.address = *address};

	return frontend_find(&key, copy);
}

/* --masquerade-all: of all but Services that are there to show the client's address. */
PURE bool is_masqueraded_always(const struct frontend *frontend)
{
	return config.masquerade_mark && !(frontend->flags & FRONTEND_LOCAL_OUTSIDE);
}

/* Does the node offer its NodePorts to packets at this address? */
PURE bool is_node_address(const struct address *address)
{
	const struct node_address *row = bpf_map_lookup_elem(&node_addresses, address);

	return row && !(row->flags & NODE_ADDRESS_LOCALHOST);
}

/* Where the NodePorts of the address's family stand in `frontends`. */
PURE void to_any_address(struct address *address)
{
	if (address->words[0] | address->words[1] || address->words[2] != bpf_htonl(0xffff))
		address->words[0] = address->words[1] = address->words[2] = 0;
	address->words[3] = 0;
}
