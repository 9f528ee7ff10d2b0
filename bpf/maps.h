/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#pragma once
/*
 * Every map. Sizes are defaults: the agent sets max_entries before load and grows a generation that would
 * overflow. "Generation" maps are replaced with the programs; "state" maps are pinned beside the generations
 * and outlive them.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "types.h"

#define FLOW_HINTS 65536

/* ---- generation ---- */

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, struct frontend_key);
	__type(value, struct frontend);
} frontends SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 131072);
	__type(key, __u32);
	__type(value, struct backend);
} backends SEC(".maps");

/* Read by user space only; here so that one object carries the whole generation. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct service_port_name);
} names SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 64);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct cidr_key);
	__type(value, __u32);
} service_cidrs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct switches);
} switches SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, struct address);
	__type(value, struct node_address);
} node_addresses SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 16384);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct source_range_key);
	__type(value, __u32);
} source_ranges SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, struct wire);
} wires SEC(".maps");

/* Devices of pods that flows may enter from another's, around the node's stack, by their ifindex. The value: 1. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, __u32);
} pods SEC(".maps");

/* The value: enum source_class. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 1024);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct cidr_key);
	__type(value, __u32);
} source_classes SEC(".maps");

/* The mtu of IPv4 routes that bpf_fib_lookup() does not look at, since it is not locked; 0: it knows. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 1024);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct cidr_key);
	__type(value, __u32);
} route_mtus SEC(".maps");

/* The value: when it was removed, seconds since boot. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct removed_backend_key);
	__type(value, __u32);
} removed_backends SEC(".maps");

/* ---- state ---- */

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 262144);
	__type(key, struct flow_key);
	__type(value, struct flow);
} flows SEC(".maps");

/* TCP before the client's ACK and UDP before its second packet: a flood fills this table and evicts nobody
 * else. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_COMMON_LRU); /* lists by CPU: 40 % cheaper to insert, and no flow lives here long */
	__type(key, struct flow_key);
	__type(value, struct flow);
} half_open SEC(".maps");

/* By a small hash of a row's hook, device and addresses. Most packets belong to no flow of ours, and this says so for a tenth
 * of a look-up. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, FLOW_HINTS);
	__type(key, __u32);
	__type(value, struct flow_hint);
} flow_hints SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct fragment_key);
	__type(value, struct fragment);
} fragments SEC(".maps");

/* Of one object's programs, neither shared nor pinned. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct reject_tokens);
} reject_tokens SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct affinity_key);
	__type(value, struct affinity);
} affinity SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct socket_key);
	__type(value, struct socket_peer);
} udp_choices SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 262144);
	__type(key, struct socket_key);
	__type(value, struct socket_peer);
} socket_reverse SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct round_key);
	__type(value, struct round);
} rounds SEC(".maps");

/* Of sockets: made by programs and never written by user space, which may only take away what nobody can choose. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 131072);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct connections_key);
	__type(value, struct connections);
} socket_connections SEC(".maps");

/* Of flows: an eviction tells nobody, so that user space counts them again now and then. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 131072);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct connections_key);
	__type(value, struct connections);
} flow_connections SEC(".maps");

/* Where a socket is counted; it goes with the socket. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct connections_key);
} counted_sockets SEC(".maps");

/*
 * Stand-ins, which nobody looks at, for the maps of the generation before: those are put in here where a size changes, and
 * their rows count until they are copied (state.h).
 */
#define BEFORE(name, flags, key_type, value_type)                                                                      \
	struct {                                                                                                       \
		__uint(type, BPF_MAP_TYPE_LRU_HASH);                                                                   \
		__uint(max_entries, 1);                                                                                \
		__uint(map_flags, flags);                                                                              \
		__type(key, key_type);                                                                                 \
		__type(value, value_type);                                                                             \
	} name##_before SEC(".maps")

BEFORE(flows, 0, struct flow_key, struct flow);
BEFORE(half_open, BPF_F_NO_COMMON_LRU, struct flow_key, struct flow);
BEFORE(affinity, 0, struct affinity_key, struct affinity);
BEFORE(udp_choices, 0, struct socket_key, struct socket_peer);
BEFORE(socket_reverse, 0, struct socket_key, struct socket_peer);

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 262144);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct counter_key);
	__type(value, struct counter);
} counters SEC(".maps");

/* Bytes. Its records are those of the struct that the anchor of its name points at. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} events SEC(".maps");
const struct event *anchor_events __attribute__((unused));

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct trace_filter);
} trace_filter SEC(".maps");
