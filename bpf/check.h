/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#pragma once
#include "config.h"

/*
 * A hash map may hand a row's memory to another key while a program still reads it: update recycles the replaced
 * element at once, and an LRU recycles without any grace period. So a row carries a hash of the key it was written for
 * and of its own content; a reader copies it to its stack and compares. src/plan/check.ts is the same function.
 *
 * The high half of the sum of w[i] * P^(i+1), 64 bits wide, over the 32 bit words of key and value. In 32 bits a
 * difference in the high bits of a word, as between two ports of one address, would have half as many ways to show. The
 * powers are constants after unrolling, so the products do not wait for each other.
 */
#define CHECK_FACTOR 0x9e3779b97f4a7c15ull

struct checksum {
	__u64 sum;
	__u64 power;
};

#define CHECK_START ((struct checksum){.sum = 0, .power = CHECK_FACTOR})

PURE void check_word(struct checksum *checksum, __u32 word)
{
	checksum->sum += word * checksum->power;
	checksum->power *= CHECK_FACTOR;
}

/* A macro, since the loop is unrolled only while its bound is a literal. */
#define check_words(checksum, from, bytes)                                                                             \
	({                                                                                                             \
		const __u32 *_words = (const void *)(from);                                                            \
		_Pragma("clang loop unroll(full)") for (int _i = 0; _i < (int)(bytes) / 4; _i++)                       \
		    check_word(checksum, _words[_i]);                                                                  \
	})

PURE __u32 check_end(const struct checksum *checksum)
{
	return checksum->sum >> 32;
}
