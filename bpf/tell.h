/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#pragma once
#include "address.h"
#include "maps.h"

/*
 * Counting, and telling whoever listens: `trace_filter` says what it wants to hear. It is looked at only where a flow
 * begins or ends and where a packet does, never for a packet that goes on. An event is made in the memory of the ring
 * right away, since the stack has no room for it.
 */

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

PURE __u32 kind_of(__u32 reason)
{
	if (reason < REASON_REJECT_NO_ENDPOINT)
		return EVENT_MADE;
	if (reason < REASON_DROP_NO_LOCAL_ENDPOINT)
		return EVENT_REFUSED;
	return reason < REASON_ENDED_FIN ? EVENT_DROPPED : EVENT_ENDED;
}

/* Is this the port of the Service that is asked for? By its name: it may have several, and those may change. */
PURE bool is_of_service(const struct trace_filter *filter, __u32 service_port)
{
	const __u64 *wanted = (const __u64 *)filter, *is;

	if (!filter->service[0])
		return true;
	is = bpf_map_lookup_elem(&names, &service_port);
	if (!is)
		return false;
#pragma unroll
	for (int i = 0; i < 16; i++) {
		if (is[i] != wanted[i])
			return false;
	}
	return true;
}

/* The filter, if it lets such an event through; of the addresses it knows nothing yet. */
PURE const struct trace_filter *listener(__u32 service_port, __u32 reason)
{
	__u32 zero = 0;
	const struct trace_filter *filter = bpf_map_lookup_elem(&trace_filter, &zero);

	if (!filter || !(filter->kinds & kind_of(reason)) || (__s32)(filter->until - now_seconds()) < 0 ||
	    (filter->reason && filter->reason != reason) || !is_of_service(filter, service_port))
		return NULL;
	return filter;
}

/* Room for an event, of which the tuples are still to be filled in. */
PURE struct event *event_reserve(__u32 service_port, __u32 reason)
{
	struct event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);

	if (!event) {
		count(0, REASON_EVENT_LOST);
		return NULL;
	}
	event->time = bpf_ktime_get_ns();
	event->service_port = service_port;
	event->kind = kind_of(reason);
	event->reason = reason;
	event->process = 0;
	__builtin_memset(event->command, 0, sizeof(event->command));
	return event;
}

PURE bool concerns(const struct trace_filter *filter, const struct flow_key *asked, const struct flow *becomes)
{
	const struct address *address = &filter->address;

	if (is_zero_address(address) || same_address(&asked->source, address) ||
	    same_address(&asked->destination, address))
		return true;
	return becomes && (same_address(&becomes->source, address) || same_address(&becomes->destination, address));
}

/* The tuple of a packet, or of a flow's row with what it becomes: that of a reply is turned around. */
PURE void fill_tuples(struct event *event, const struct flow_key *asked, const struct flow *becomes)
{
	if (asked)
		event->asked = *asked;
	else
		__builtin_memset(&event->asked, 0, sizeof(event->asked));
	if (!becomes) {
		__builtin_memset(&event->source, 0, 2 * sizeof(struct address) + 2 * sizeof(__be16));
		return;
	}
	if (!(becomes->flags & FLOW_REPLY)) {
		event->source = becomes->source;
		event->destination = becomes->destination;
		event->source_port = becomes->source_port;
		event->destination_port = becomes->destination_port;
		return;
	}
	event->source = asked->destination;
	event->destination = asked->source;
	event->source_port = asked->destination_port;
	event->destination_port = asked->source_port;
	event->asked.source = becomes->destination;
	event->asked.destination = becomes->source;
	event->asked.source_port = becomes->destination_port;
	event->asked.destination_port = becomes->source_port;
}

/* Tells of a packet or flow. `becomes`: NULL where nothing comes of it. */
__noinline int tell(const struct flow_key *asked, const struct flow *becomes, __u32 service_port, __u32 reason)
{
	const struct trace_filter *filter = listener(service_port, reason);
	struct event *event;

	if (!filter || !asked || !concerns(filter, asked, becomes))
		return done();
	event = event_reserve(service_port, reason);
	if (!event)
		return done();
	fill_tuples(event, asked, becomes);
	bpf_ringbuf_submit(event, 0);
	return done();
}
