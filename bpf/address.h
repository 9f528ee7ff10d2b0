/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#pragma once
#include "config.h"

PURE bool same_address(const struct address *a, const struct address *b)
{
	return a->words[0] == b->words[0] && a->words[1] == b->words[1] && a->words[2] == b->words[2] &&
	       a->words[3] == b->words[3];
}

PURE bool is_zero_address(const struct address *a)
{
	return !(a->words[0] | a->words[1] | a->words[2] | a->words[3]);
}
