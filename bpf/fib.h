/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#pragma once
#include "packet.h"

#define AF_INET 2
#define AF_INET6 10
#define FIB_LOOKUP_SRC (1 << 4) /* of kernel 6.7 */

/* Which way does a packet of this source take to `destination`? `fib` is all zero; the device and the length are the caller's to say. */
PURE void fib_question(const struct packet *packet, const struct address *destination, struct bpf_fib_lookup *fib)
{
	fib->l4_protocol = packet->tuple.protocol;
	if (packet->ipv6) {
		fib->family = AF_INET6;
		__builtin_memcpy(fib->ipv6_src, &packet->tuple.source, sizeof(fib->ipv6_src));
		__builtin_memcpy(fib->ipv6_dst, destination, sizeof(fib->ipv6_dst));
		return;
	}
	fib->family = AF_INET;
	fib->ipv4_src = packet->tuple.source.words[3];
	fib->ipv4_dst = destination->words[3];
}
