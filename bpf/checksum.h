/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#pragma once
#include "config.h"

/* The Internet checksum, as arithmetic. `check` as it stands in a header, sums and changes in no order of bytes. */

PURE __u16 fold(__u64 sum)
{
	sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32 & 0xffff);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/* What the checksum becomes where what it covers changes by this. */
PURE __u16 check_after(__u16 check, __u64 change)
{
	return ~fold((__u64)(__u16)~check + change);
}

/* What a sum gains when a word changes, as bpf_csum_diff() has it; here without the 20 ns of that call. */
PURE __u64 word_change(__be32 old, __be32 new)
{
	return (__u64)(__u32)~old + new;
}

PURE __u64 address_change(const struct address *old, const struct address *new)
{
	return word_change(old->words[0], new->words[0]) + word_change(old->words[1], new->words[1]) +
	       word_change(old->words[2], new->words[2]) + word_change(old->words[3], new->words[3]);
}

PURE __u32 fold_to_32(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	return (sum & 0xffffffff) + (sum >> 32);
}

struct ports {
	__be16 source;
	__be16 destination;
};
