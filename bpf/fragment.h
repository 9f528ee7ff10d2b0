/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#pragma once
#include "maps.h"
#include "packet.h"

/*
 * Datagrams and segments in pieces, at most hooks still in pieces. The first piece is translated as a whole packet would
 * be, and its ports are remembered; the later ones find with them the flow that says their addresses. A later piece that
 * comes before the first one has no row: to a service address it is dropped.
 */

PURE void fragment_key_of(const struct packet *packet, struct fragment_key *key)
{
	key->source = packet->tuple.source;
	key->destination = packet->tuple.destination;
	key->id = packet->id;
	key->protocol = packet->tuple.protocol;
	key->hook = packet->tuple.hook;
	key->device = packet->tuple.device;
}

/* Of a first piece that is translated, by the addresses that it came with. */
__noinline int fragment_remember(const struct packet *packet)
{
	struct fragment_key key = {};
	struct fragment ports = {};

	if (!packet)
		return done();
	fragment_key_of(packet, &key);
	ports.source_port = packet->tuple.source_port;
	ports.destination_port = packet->tuple.destination_port;
	bpf_map_update_elem(&fragments, &key, &ports, BPF_ANY);
	return done();
}

/* The ports of a later piece. */
PURE bool fragment_find(struct packet *packet)
{
	struct fragment_key key = {};
	const struct fragment *row;

	fragment_key_of(packet, &key);
	row = bpf_map_lookup_elem(&fragments, &key);
	if (!row)
		return false;
	packet->tuple.source_port = row->source_port;
	packet->tuple.destination_port = row->destination_port;
	return true;
}
