/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Never shipped: it holds the compiler's idea of each row against the codecs'. Per map there are two programs. write_MAP
 * puts one row of known values in, which TypeScript must read. read_MAP looks for the row of these values, which
 * TypeScript wrote, and answers 0, or the number of the first wrong field (padding counts), or NO_ROW.
 * The same values, in people's form, stand in exchange.test.ts.
 */
#include <bpf/bpf_endian.h>
#include "maps.h"

#define NO_ROW 1000

#define SET(field, expected) .field = expected,
#define CHECK(field, expected)                                                                                         \
	number++;                                                                                                      \
	if (row->field != (expected))                                                                                  \
		return number;

#define EXCHANGE(map, key_type, KEY, value_type, VALUE)                                                                \
	SEC("tc")                                                                                                      \
	int write_##map(struct __sk_buff *skb)                                                                         \
	{                                                                                                              \
		key_type key = {KEY(SET)};                                                                             \
		value_type value = {VALUE(SET)};                                                                       \
                                                                                                                       \
		return bpf_map_update_elem(&map, &key, &value, BPF_ANY);                                               \
	}                                                                                                              \
	SEC("tc")                                                                                                      \
	int read_##map(struct __sk_buff *skb)                                                                          \
	{                                                                                                              \
		key_type key = {KEY(SET)};                                                                             \
		value_type *row = bpf_map_lookup_elem(&map, &key);                                                     \
		int number = 0;                                                                                        \
                                                                                                                       \
		if (!row)                                                                                              \
			return NO_ROW;                                                                                 \
		VALUE(CHECK)                                                                                           \
		return 0;                                                                                              \
	}

/* fd01:203:405:607:809:a0b:c0d:e0f and ::ffff:10.11.12.13: no two bytes alike, so none can change places */
#define IPV6(X, field)                                                                                                 \
	X(field.words[0], bpf_htonl(0xfd010203))                                                                       \
	X(field.words[1], bpf_htonl(0x04050607))                                                                       \
	X(field.words[2], bpf_htonl(0x08090a0b))                                                                       \
	X(field.words[3], bpf_htonl(0x0c0d0e0f))
#define IPV4(X, field)                                                                                                 \
	X(field.words[0], 0)                                                                                           \
	X(field.words[1], 0)                                                                                           \
	X(field.words[2], bpf_htonl(0xffff))                                                                           \
	X(field.words[3], bpf_htonl(0x0a0b0c0d))

/* A map with a plain number for a key or value: as if it were a struct without a name for its one field. */
struct number {
	__u32 number;
};

/* The same for an address. */
struct plain_address {
	struct address address;
};

#define SLOT_0(X) X(number, 0)
#define SLOT_5(X) X(number, 5)
#define BIG_ID(X) X(number, 0x81828384)

#define FRONTEND_KEY(X) IPV6(X, address) X(port, bpf_htons(0x8182)) X(protocol, 17) X(zero, 0)
#define FRONTEND(X)                                                                                                    \
	X(any.start, 0x81828384)                                                                                       \
	X(any.count, 0x11121314)                                                                                       \
	X(local.start, 0x21222324)                                                                                     \
	X(local.count, 0x31323334)                                                                                     \
	X(service_port, 0x41424344)                                                                                    \
	X(affinity_seconds, 0x51525354)                                                                                \
	X(flags, FRONTEND_LOCAL_ONLY | FRONTEND_HAS_ENDPOINT)                                                          \
	X(scheduler, SCHEDULER_MAGLEV) X(zero, 0) \
	X(check, 0xf1f2f3f4)
EXCHANGE(frontends, struct frontend_key, FRONTEND_KEY, struct frontend, FRONTEND)

#define BACKEND(X) IPV4(X, address) X(port, bpf_htons(8080)) X(flags, 0x83) X(zero, 0)
EXCHANGE(backends, struct number, SLOT_5, struct backend, BACKEND)

#define NAME(X)                                                                                                        \
	X(namespace[0], 'k')                                                                                           \
	X(namespace[1], '8')                                                                                           \
	X(namespace[2], 0)                                                                                             \
	X(namespace[63], 0)                                                                                            \
	X(service[0], 'd')                                                                                             \
	X(service[1], 'n')                                                                                             \
	X(service[2], 's')                                                                                             \
	X(service[3], 0)                                                                                               \
	X(port[0], 'x')                                                                                                \
	X(port[1], 0)                                                                                                  \
	X(number, bpf_htons(53))                                                                                       \
	X(protocol, 17)                                                                                                \
	X(zero, 0)
EXCHANGE(names, struct number, BIG_ID, struct service_port_name, NAME)

#define CIDR_KEY(X) X(prefix_length, 128) IPV4(X, address)
EXCHANGE(service_cidrs, struct cidr_key, CIDR_KEY, struct number, BIG_ID)
EXCHANGE(source_classes, struct cidr_key, CIDR_KEY, struct number, BIG_ID)
EXCHANGE(route_mtus, struct cidr_key, CIDR_KEY, struct number, BIG_ID)

#define SWITCHES(X)                                                                                                    \
	IPV4(X, node_ipv4) IPV6(X, node_ipv6) X(pods_at_tc, 1) X(has_removed_backends, 2) X(zero[0], 0) X(zero[1], 0)
EXCHANGE(switches, struct number, SLOT_0, struct switches, SWITCHES)

#define NODE_ADDRESS_KEY(X) IPV6(X, address)
#define NODE_ADDRESS(X) X(flags, 0x81828384)
EXCHANGE(node_addresses, struct plain_address, NODE_ADDRESS_KEY, struct node_address, NODE_ADDRESS)

EXCHANGE(pods, struct number, BIG_ID, struct number, BIG_ID)

#define SOURCE_RANGE_KEY(X) X(prefix_length, 160) X(service_port, 0x41424344) IPV4(X, source)
EXCHANGE(source_ranges, struct source_range_key, SOURCE_RANGE_KEY, struct number, BIG_ID)

#define WIRE(X)                                                                                                        \
	IPV4(X, ipv4)                                                                                                  \
	IPV6(X, ipv6)                                                                                                  \
	X(flags, WIRE_PODS | WIRE_TAKES_FRAMES)                                                                        \
	X(mac[0], 2)                                                                                                   \
	X(mac[1], 0x13)                                                                                                \
	X(mac[2], 0x24)                                                                                                \
	X(mac[3], 0x35)                                                                                                \
	X(mac[4], 0x46)                                                                                                \
	X(mac[5], 0x57)                                                                                                \
	X(zero, 0)
EXCHANGE(wires, struct number, BIG_ID, struct wire, WIRE)

#define REMOVED_BACKEND_KEY(X)                                                                                         \
	IPV6(X, address)                                                                                               \
	X(service_port, 0x41424344)                                                                                    \
	X(port, bpf_htons(0x8182))                                                                                     \
	X(zero, 0)
EXCHANGE(removed_backends, struct removed_backend_key, REMOVED_BACKEND_KEY, struct number, BIG_ID)

#define FLOW_KEY(X)                                                                                                    \
	IPV6(X, source)                                                                                                \
	IPV4(X, destination)                                                                                           \
	X(source_port, bpf_htons(0x8182))                                                                              \
	X(destination_port, bpf_htons(443))                                                                            \
	X(protocol, 6)                                                                                                 \
	X(hook, HOOK_TO_WIRE)                                                                                          \
	X(device, 0xa1b2)
#define FLOW(X)                                                                                                        \
	IPV4(X, source)                                                                                                \
	IPV6(X, destination)                                                                                           \
	X(source_port, bpf_htons(0x9192))                                                                              \
	X(destination_port, bpf_htons(8443))                                                                           \
	X(service_port, 0x41424344)                                                                                    \
	X(state, FLOW_REPLIED | FLOW_RESET)                                                                            \
	X(flags, FLOW_HAIRPIN)                                                                                         \
	X(next_hop[0], 2)                                                                                              \
	X(next_hop[1], 0x13)                                                                                           \
	X(next_hop[2], 0x24)                                                                                           \
	X(next_hop[3], 0x35)                                                                                           \
	X(next_hop[4], 0x46)                                                                                           \
	X(next_hop[5], 0x57)                                                                                           \
	X(check, 0xf1f2f3f4)                                                                                           \
	X(seen, 0x61626364)
EXCHANGE(flows, struct flow_key, FLOW_KEY, struct flow, FLOW)
EXCHANGE(half_open, struct flow_key, FLOW_KEY, struct flow, FLOW)
EXCHANGE(flows_before, struct flow_key, FLOW_KEY, struct flow, FLOW)
EXCHANGE(half_open_before, struct flow_key, FLOW_KEY, struct flow, FLOW)

#define FRAGMENT_KEY(X)                                                                                                \
	IPV6(X, source)                                                                                                \
	IPV4(X, destination)                                                                                           \
	X(id, bpf_htonl(0x81828384))                                                                                   \
	X(protocol, 17)                                                                                                \
	X(hook, HOOK_TO_WIRE)                                                                                          \
	X(device, 0xa1b2)
#define FRAGMENT(X) X(source_port, bpf_htons(0x8182)) X(destination_port, bpf_htons(443))
EXCHANGE(fragments, struct fragment_key, FRAGMENT_KEY, struct fragment, FRAGMENT)

#define REJECT_TOKENS(X) X(filled, 0x0182838485868788) X(left, 0x81828384) X(zero, 0)
EXCHANGE(reject_tokens, struct number, SLOT_0, struct reject_tokens, REJECT_TOKENS)

#define AFFINITY_KEY(X) IPV4(X, client) X(service_port, 0x41424344)
#define AFFINITY(X) IPV6(X, backend) X(backend_port, bpf_htons(8080)) X(zero, 0) X(seen, 0x61626364)
EXCHANGE(affinity, struct affinity_key, AFFINITY_KEY, struct affinity, AFFINITY)
EXCHANGE(affinity_before, struct affinity_key, AFFINITY_KEY, struct affinity, AFFINITY)

#define SOCKET_KEY(X)                                                                                                  \
	X(cookie, 0x8182838485868788)                                                                                  \
	IPV6(X, address)                                                                                               \
	X(port, bpf_htons(53))                                                                                         \
	X(protocol, 17)                                                                                                \
	X(zero, 0)                                                                                                     \
	X(zero2, 0)
#define SOCKET_PEER(X)                                                                                                 \
	IPV4(X, address)                                                                                               \
	X(port, bpf_htons(5353))                                                                                       \
	X(zero, 0)                                                                                                     \
	X(service_port, 0x41424344)                                                                                    \
	X(seen, 0x61626364)                                                                                            \
	X(check, 0xf1f2f3f4)
EXCHANGE(udp_choices, struct socket_key, SOCKET_KEY, struct socket_peer, SOCKET_PEER)
EXCHANGE(socket_reverse, struct socket_key, SOCKET_KEY, struct socket_peer, SOCKET_PEER)
EXCHANGE(udp_choices_before, struct socket_key, SOCKET_KEY, struct socket_peer, SOCKET_PEER)
EXCHANGE(socket_reverse_before, struct socket_key, SOCKET_KEY, struct socket_peer, SOCKET_PEER)

#define ROUND_KEY(X) X(service_port, 0x41424344) X(local, 0x81) X(ipv6, 0x82) X(zero, 0)
#define ROUND(X) X(turns, 0x0182838485868788)
EXCHANGE(rounds, struct round_key, ROUND_KEY, struct round, ROUND)

#define CONNECTIONS_KEY(X) IPV6(X, address) X(service_port, 0x41424344) X(port, bpf_htons(0x8182)) X(zero, 0)
#define CONNECTIONS(X) X(count, 0x81828384)
EXCHANGE(socket_connections, struct connections_key, CONNECTIONS_KEY, struct connections, CONNECTIONS)
EXCHANGE(flow_connections, struct connections_key, CONNECTIONS_KEY, struct connections, CONNECTIONS)

#define COUNTER_KEY(X) X(service_port, 0x41424344) X(reason, REASON_DROP_UNTRANSLATED)
#define FLOW_HINT(X) X(until, 0x81828384) X(half_open_until, 0x91929394)
EXCHANGE(flow_hints, struct number, SLOT_5, struct flow_hint, FLOW_HINT)

#define COUNTER(X) X(packets, 0x0182838485868788)
EXCHANGE(counters, struct counter_key, COUNTER_KEY, struct counter, COUNTER)

#define TRACE_FILTER(X)                                                                                                \
	X(namespace[0], 'k')                                                                                           \
	X(namespace[1], '8')                                                                                           \
	X(namespace[2], 0)                                                                                             \
	X(service[0], 'd')                                                                                             \
	X(service[1], 'n')                                                                                             \
	X(service[2], 's')                                                                                             \
	X(service[3], 0)                                                                                               \
	IPV4(X, address)                                                                                               \
	X(kinds, EVENT_ENDED | EVENT_DROPPED)                                                                          \
	X(reason, REASON_DROP_UNTRANSLATED)                                                                            \
	X(until, 0x61626364)                                                                                           \
	X(zero, 0)
EXCHANGE(trace_filter, struct number, SLOT_0, struct trace_filter, TRACE_FILTER)

#define ASSIGN(field, expected) event->field = expected;
#define ASKED(X)                                                                                                       \
	IPV6(X, asked.source)                                                                                          \
	IPV4(X, asked.destination)                                                                                     \
	X(asked.source_port, bpf_htons(0x8182))                                                                        \
	X(asked.destination_port, bpf_htons(443))                                                                      \
	X(asked.protocol, 6)                                                                                           \
	X(asked.hook, HOOK_TO_WIRE)                                                                                    \
	X(asked.device, 0xa1b2)
#define EVENT(X)                                                                                                       \
	X(time, 0x0182838485868788)                                                                                    \
	ASKED(X)                                                                                                       \
	IPV4(X, source)                                                                                                \
	IPV6(X, destination)                                                                                           \
	X(source_port, bpf_htons(0x9192))                                                                              \
	X(destination_port, bpf_htons(8443))                                                                           \
	X(service_port, 0x41424344)                                                                                    \
	X(kind, EVENT_DROPPED)                                                                                         \
	X(reason, REASON_DROP_UNTRANSLATED)                                                                            \
	X(process, 0x51525354)                                                                                         \
	X(command[0], 'n')                                                                                             \
	X(command[1], 'c')                                                                                             \
	X(command[2], 0)

/* A ring has no key, and only programs write to it. */
SEC("tc")
int write_events(struct __sk_buff *skb)
{
	struct event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);

	if (!event)
		return NO_ROW;
	EVENT(ASSIGN)
	bpf_ringbuf_submit(event, 0);
	return 0;
}

#define CONFIG(X)                                                                                                      \
	X(host_netns_cookie, 0x8182838485868788)                                                                       \
	X(tcp_established_seconds, 0x11121314)                                                                         \
	X(tcp_half_closed_seconds, 0x21222324)                                                                         \
	X(tcp_closing_seconds, 0x31323334)                                                                             \
	X(half_open_seconds, 0x41424344)                                                                               \
	X(udp_seconds, 0x51525354)                                                                                     \
	X(takes_over, 0x61626364)                                                                                      \
	X(fib_source, 0x71727374)                                                                                      \
	X(wires_of_pods, 0x91929394)                                                                                   \
	X(rehearses, 0xa1a2a3a4)                                                                                       \
	X(masquerade_mark, 0xb1b2b3b4)                                                                                 \
	X(bypass, 0xc1c2c3c4)                                                                                          \
	X(zero, 0)
const volatile struct config config = {CONFIG(SET)};

SEC("tc")
int read_config(struct __sk_buff *skb)
{
	const volatile struct config *row = &config;
	int number = 0;

	CONFIG(CHECK)
	return 0;
}

char _license[] SEC("license") = "Dual BSD/GPL";
