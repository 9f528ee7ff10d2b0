/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#pragma once
#include <linux/pkt_cls.h>
#include "connections.h"
#include "tell.h"

/*
 * What a hook answers. Not ours is TC_ACT_UNSPEC, so that another program on the hook still runs; so is a
 * packet that was rewritten and goes on through the stack. Each drop and each rejection has a reason, is counted
 * and told.
 */

#define GOES_ON TC_ACT_OK /* between our own functions: no verdict yet. Never leaves a program */

/* A packet ends here; `tuple` is its own. */
PURE int drop(const struct flow_key *tuple, __u32 service_port, enum reason reason)
{
	use(tell(tuple, NULL, service_port, reason));
	count(service_port, reason);
	return TC_ACT_SHOT;
}

/* A flow was made: what `asked` becomes. */
PURE void connected(const struct flow_key *asked, const struct flow *flow, enum reason reason)
{
	use(tell(asked, flow, flow->service_port, reason));
	count(flow->service_port, reason);
	if (flow->flags & FLOW_COUNTED)
		use(flow_count(asked, flow, 1));
	if (reason != REASON_CONNECTED_DIRECT && flow->source_port != asked->source_port)
		count(flow->service_port, REASON_CONNECTED_MOVED);
}
