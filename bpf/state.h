/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#pragma once
#include "config.h"
#include "maps.h"

/*
 * Rows of the state maps, for programs that follow others whose map had another size (ARCHITECTURE.md, "Other sizes of
 * state maps"). For all others `takes_over` is 0, and the verifier removes what is behind it.
 */

#define find_row(map, key) take_row(&map, &map##_before, key)

/*
 * A row that only the generation before has is copied, and the copy counts from then on. The original stays: the older
 * programs may run at another hook for a moment. It may be recycled while it is copied; as ever, whoever reads proves.
 */

PURE void *take_row(void *map, void *before, const void *key)
{
	void *row = bpf_map_lookup_elem(map, key);

	if (row || !config.takes_over)
		return row;
	row = bpf_map_lookup_elem(before, key);
	if (!row)
		return NULL;
	bpf_map_update_elem(map, key, row, BPF_NOEXIST);
	return bpf_map_lookup_elem(map, key);
}

#define delete_row(map, key) drop_row(&map, &map##_before, key)

/* The original first: it must not come back. */
PURE void drop_row(void *map, void *before, const void *key)
{
	if (config.takes_over)
		bpf_map_delete_elem(before, key);
	bpf_map_delete_elem(map, key);
}
