/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#pragma once
#include <linux/pkt_cls.h>
#include "config.h"
#include "maps.h"

/*
 * What a hook answers. Not ours is TC_ACT_UNSPEC, so that another program on the hook still runs; so is a
 * packet that was rewritten and goes on through the stack. Each drop and each rejection has a reason and is
 * counted.
 */

#define GOES_ON TC_ACT_OK /* between our own functions: no verdict yet. Never leaves a program */

PURE void count(__u32 service_port, enum reason reason)
{
	struct counter_key key = {.service_port = service_port, .reason = reason};
	struct counter one = {.packets = 1};
	struct counter *counter = bpf_map_lookup_elem(&counters, &key);

	if (counter)
		counter->packets++;
	else if (bpf_map_update_elem(&counters, &key, &one, BPF_NOEXIST)) {
		/* another CPU made the row in between: it has a slot of ours */
		counter = bpf_map_lookup_elem(&counters, &key);
		if (counter)
			counter->packets++;
	}
}

PURE int drop(__u32 service_port, enum reason reason)
{
	count(service_port, reason);
	return TC_ACT_SHOT;
}
