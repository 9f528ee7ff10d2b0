/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#pragma once
/*
 * Every struct and enum that the programs share with user space, and nothing else. `bpf/layout.ts` turns the
 * BTF of the compiled objects into `src/layout.gen.ts`; run `make gen` after a change here.
 *
 * Rules: __be16/__be32 are network byte order, all else is host order. Padding is a named field called
 * `zero...` and is zero (-Wpadded is an error here): a key with a hidden hole never compares equal. No
 * unions, bitfields or pointers. An array of bytes or of __be32 reaches TypeScript as a hex string, an array
 * of char as text.
 */
#include <linux/types.h>

#pragma clang diagnostic push
#pragma clang diagnostic error "-Wpadded"

/* One address type for both families: IPv4 is mapped, ::ffff:a.b.c.d. */
struct address {
	__be32 words[4];
};

/* ---- service tables: one set a generation, written by the agent alone ---- */

struct frontend_key {
	struct address address;
	__be16 port;   /* 0 with protocol 0: the row that says "this address is a Service" */
	__u8 protocol; /* IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP */
	__u8 zero;
};

enum node_address_flag {
	NODE_ADDRESS_LOCALHOST = 1 << 0, /* 127.0.0.1 or ::1: for sockets of the node alone, no packet may use it */
};

/* NodePorts stand in `frontends` under the any-address of their family, and count where `node_addresses` has the address. */
struct node_address {
	__u32 flags; /* enum node_address_flag */
};

/* A row that fits says that this source may ask. */
struct source_range_key {
	__u32 prefix_length; /* 32 for the service port, then the bits of the source: IPv4 + 96 */
	__u32 service_port;
	struct address source;
};

/* Who asks decides between pools, and whether the source is replaced. The hook tells; at a wire also `source_classes`. */
enum source_class {
	SOURCE_OUTSIDE = 0,
	SOURCE_NODE = 1,    /* this node itself */
	SOURCE_POD = 2,	    /* a pod, but maybe not of this node */
	SOURCE_OWN_POD = 3, /* a pod of this node: what is sent to it comes by here */
};

enum wire_flag {
	WIRE_PODS = 1 << 0, /* what comes in by it is a pod's of this node; looked at if config.wires_of_pods says so */
	WIRE_TAKES_FRAMES = 1 << 1,   /* XDP may send by it with a redirect, what came by itself too */
	WIRE_RETURNS_FRAMES = 1 << 2, /* XDP may send back by it */
	WIRE_ROUTE_MTUS = 1 << 3,     /* `route_mtus` has routes by it that are narrower than it is */
};

/* A way out of the node that carries our programs, by its ifindex. */
struct wire {
	/* what the source becomes of a client from outside, where the kernel does not tell; all zero: none */
	struct address ipv4;
	struct address ipv6;
	__u32 flags; /* enum wire_flag */
	__u8 mac[6]; /* its own; all zero: none */
	__u16 zero;
};

/* A contiguous, sorted run of rows in `backends`: one pool. */
struct segment {
	__u32 start;
	__u32 count;
};

enum frontend_flag {
	FRONTEND_ADDRESS = 1 << 0,	/* the port-0 row of a clusterIP: undefined ports are rejected */
	FRONTEND_LOCAL_ONLY = 1 << 1,	/* internalTrafficPolicy Local: whoever asks is given one of `local` */
	FRONTEND_HAS_ENDPOINT = 1 << 2, /* some endpoint is usable somewhere: an empty pool drops, it does not reject */
	FRONTEND_EXTERNAL_ADDRESS = 1 << 3, /* the port-0 row of an externalIP or LB IP: other ports are not ours */
	FRONTEND_SOURCE_RANGES = 1 << 4,    /* only sources that `source_ranges` has for this service port may ask */
	FRONTEND_ASSIGNED = 1 << 5,	 /* an external address that somebody outside handed out: for people to read */
	FRONTEND_LOCAL_OUTSIDE = 1 << 6, /* externalTrafficPolicy Local: who is outside is given one of `local` */
};

/* How a new connection gets a backend of its pool, see schedule.h. */
enum scheduler {
	SCHEDULER_RANDOM = 0,
	SCHEDULER_RR = 1,
	SCHEDULER_LC = 2,
	SCHEDULER_SED = 3, /* without weights what lc is, and so is nq */
	SCHEDULER_NQ = 4,
	SCHEDULER_SH = 5,
	SCHEDULER_DH = 6,
	SCHEDULER_MAGLEV = 7,
};

struct frontend {
	struct segment any;
	struct segment local;
	__u32 service_port;	/* key of `names` and, with a reason, of `counters` */
	__u32 affinity_seconds; /* 0: no session affinity */
	__u16 flags;		/* enum frontend_flag */
	__u8 scheduler;		/* enum scheduler */
	__u8 zero;
	__u32 check; /* hash of the key and all of the above, see frontend.h */
};

struct backend {
	struct address address;
	__be16 port;
	__u8 flags; /* none yet */
	__u8 zero;
};

/* Who a service port id is. Text is NUL padded; the longest Kubernetes allows is 63 bytes. */
struct service_port_name {
	char namespace[64];
	char service[64];
	char port[64]; /* empty for the one port of a Service that has no name */
	__be16 number;
	__u8 protocol;
	__u8 zero;
};

struct cidr_key {
	__u32 prefix_length; /* of 128: IPv4 prefixes are counted from the mapped address, so + 96 */
	struct address address;
};

/* What may change while a generation runs: one slot. */
struct switches {
	/* session affinity's client for sockets of the node itself; all zero: none */
	struct address node_ipv4;
	struct address node_ipv6;
	__u8 pods_at_tc;	   /* 1: pods have tc programs; their connected UDP and affinity are left to those */
	__u8 has_removed_backends; /* 1: `removed_backends` is not empty */
	__u8 zero[2];
};

/*
 * A UDP backend that no longer serves for a Service port: flows of that port which point there choose again with their
 * next datagram. One that only left the pools, by a policy or because it terminates, is not here: that breaks no flow.
 */
struct removed_backend_key {
	struct address address;
	__u32 service_port;
	__be16 port;
	__u16 zero;
};

/* Read only data of the programs, set before load. */
struct config {
	__u64 host_netns_cookie;
	__u32 tcp_established_seconds;
	__u32 tcp_half_closed_seconds;
	__u32 tcp_closing_seconds;
	__u32 half_open_seconds;
	__u32 udp_seconds;
	__u32 takes_over;    /* 1: rows of the maps called ..._before count too */
	__u32 fib_source;    /* 1: bpf_fib_lookup tells the source address of a route (kernel >= 6.7) */
	__u32 wires_of_pods; /* 1: some wire may have WIRE_PODS */
	__u32
	    rehearses; /* 1: these programs serve nobody: sockets of REHEARSAL_MARK are theirs, and let pass by others */
	/* --masquerade-all: the bit of a packet's mark that tells one hook from the other; 0: off */
	__u32 masquerade_mark;
	__u32 bypass; /* 1: flows between two pods of this node may go around its stack */
	__u32 zero;
};

/* ---- state that outlives a generation: written by the programs ---- */

enum hook {
	HOOK_FROM_POD = 1,
	HOOK_TO_POD = 2,
	HOOK_FROM_WIRE = 3,
	HOOK_TO_WIRE = 4,
	HOOK_SOCKET = 5, /* a call of a process: only in events, no flow row has it */
};

struct flow_key {
	struct address source;
	struct address destination;
	__be16 source_port;
	__be16 destination_port;
	__u8 protocol;
	__u8 hook; /* enum hook: the one place where this row may be used */
	/* Low half of the index of the pod's device, so that who sends with a neighbour's address meets none of its rows;
	 * 0 at the wire, where replies may come by another device. */
	__u16 device;
};

enum flow_flag {
	FLOW_REPLY = 1 << 0,	  /* the way back: its twin is the row that was made for the client's packet */
	FLOW_HAIRPIN = 1 << 1,	  /* client and backend are one pod: the packet turns around at its veth */
	FLOW_MASQUERADE = 1 << 2, /* the source became this node's: both ways come in by a wire and leave by a route */
	/* --masquerade-all: the source becomes this node's where the packet leaves towards the backend. There it is a flow of its
	 * own, with this flag too and of no Service. */
	FLOW_EXIT = 1 << 3,
	FLOW_BYPASS = 1 << 4,  /* between two pods of this node: both ways go around its stack while they can */
	FLOW_COUNTED = 1 << 5, /* it stands in `flow_connections` until it ends */
};

enum flow_state {
	FLOW_REPLIED = 1 << 0, /* the backend has answered */
	FLOW_CLIENT_FIN = 1 << 1,
	FLOW_BACKEND_FIN = 1 << 2,
	FLOW_RESET = 1 << 3,
	FLOW_PROMOTED = 1 << 4, /* it came from half_open, where a copy may still stand */
};

/* What the tuple of the key becomes. Two rows, twins, make a flow: the rewritten tuple turned around is the other key. */
struct flow {
	struct address source;
	struct address destination;
	__be16 source_port;
	__be16 destination_port;
	__u32 service_port; /* 0: no Service, a direct connection whose source port had to be remapped */
	__u8 state;	    /* enum flow_state; changed in place, so not part of `check` */
	__u8 flags;	    /* enum flow_flag */
	__u8 next_hop[6];   /* destination MAC learnt from the replies; all zero: unknown */
	__u32 check;	    /* hash of the key and of what stands above but for `state`, see flow.h */
	__u32 seen;	    /* seconds since boot of the last packet, exact to a second; changed in place */
};

/* Until when rows may exist whose addresses, hook and device share this number; 0: there were none. Never wrong to the other side. */
struct flow_hint {
	__u32 until;	       /* seconds since boot */
	__u32 half_open_until; /* those in `half_open`: until when they may be alive */
};

/* The ports of a datagram or segment in pieces: only the first piece carries them. */
struct fragment_key {
	struct address source;
	struct address destination;
	__be32 id;
	__u8 protocol;
	__u8 hook;    /* enum hook */
	__u16 device; /* as in struct flow_key */
};

struct fragment {
	__be16 source_port;
	__be16 destination_port;
};

/* How much may still be rejected: a CPU's own bucket. */
struct reject_tokens {
	__u64 filled; /* nanoseconds of CLOCK_MONOTONIC up to which tokens were poured in */
	__u32 left;
	__u32 zero;
};

struct affinity_key {
	struct address client;
	__u32 service_port;
};

struct affinity {
	struct address backend;
	__be16 backend_port;
	__u16 zero;
	__u32 seen; /* seconds since boot of the last connection */
};

/* A pool's place in its round. The pools of a service port's frontends are the same, so they have one round. */
struct round_key {
	__u32 service_port;
	__u8 local; /* 1: the pool "local" */
	__u8 ipv6;
	__u16 zero;
};

struct round {
	__u64 turns;
};

/*
 * Who has connections, of one service port: what another Service has at the same backend is that one's load, as with IPVS.
 */
struct connections_key {
	struct address address;
	__u32 service_port;
	__be16 port;
	__u16 zero;
};

struct connections {
	__u32 count; /* below zero, as a signed number, it is none */
};

/* A socket and the address it talks to. */
struct socket_key {
	__u64 cookie;
	struct address address;
	__be16 port;
	__u8 protocol;
	__u8 zero;
	__u32 zero2;
};

/* socket_reverse: the frontend behind a backend; udp_choices: the backend chosen for a frontend. */
struct socket_peer {
	struct address address;
	__be16 port;
	__u16 zero;
	__u32 service_port;
	__u32 seen;  /* seconds since boot; changed in place */
	__u32 check; /* hash of the key and of what stands above but for `seen` */
};

/*
 * What was done with a connection or a packet, and why: the key of `counters` beside the service port. The
 * names without REASON_, in lower case, are what dump, metrics, trace and explain show.
 */
enum reason {
	REASON_CONNECTED_SOCKET = 1, /* a backend was chosen in a socket hook */
	REASON_CONNECTED_POD = 2,    /* a backend was chosen at a pod's veth */
	REASON_CONNECTED_DIRECT =
	    3,			   /* a pod's own address was asked, from a source port that a flow already has there */
	REASON_CONNECTED_WIRE = 4, /* a backend was chosen for a packet from outside */
	REASON_CONNECTED_MOVED = 5,	    /* the client's port was taken at the backend: the flow got another */
	REASON_REJECT_NO_ENDPOINT = 16,	    /* nothing anywhere can answer: the client is told */
	REASON_REJECT_UNDEFINED_PORT = 17,  /* a clusterIP, but not one of its ports: the client is told */
	REASON_REJECT_NO_FLOW = 18,	    /* TCP to a service address, of a connection nobody remembers: RST */
	REASON_REJECT_BIND = 19,	    /* a process of the node asked for a NodePort: EADDRINUSE */
	REASON_REJECT_TTL = 20,		    /* the hop limit ended here: ICMP time exceeded */
	REASON_REJECT_TOO_BIG = 21,	    /* the way to the backend is narrower: ICMP says how narrow */
	REASON_REJECT_LIMIT = 22,	    /* to be rejected, but too many were just now: dropped in silence */
	REASON_DROP_NO_LOCAL_ENDPOINT = 32, /* a Local policy, and only other nodes have endpoints */
	REASON_DROP_UNTRANSLATED = 33,	    /* a service address that nobody translated was about to leave the node */
	REASON_DROP_UNALLOCATED = 34,  /* an address of a ServiceCIDR that no Service has was about to leave the node */
	REASON_DROP_UNSTABLE_ROW = 35, /* a row changed twice while it was read */
	REASON_DROP_NO_SOURCE_PORT = 36, /* no free source port was found for a flow whose own is taken */
	REASON_DROP_NO_FLOW_ROW = 37,	 /* the flow table refused the row */
	REASON_DROP_MALFORMED = 38,	 /* the packet could not be rewritten */
	REASON_DROP_SOURCE_RANGE = 39,	 /* the source is in none of loadBalancerSourceRanges */
	REASON_DROP_FRAGMENT_UNKNOWN =
	    40,			   /* a later piece of something to a service address whose first one we did not see */
	REASON_DROP_NO_ROUTE = 41, /* the node knows no way to the backend, or may not forward */
	REASON_DROP_NO_SOURCE_ADDRESS = 42, /* the way to the backend has no address that replies could come to */
	/* how a flow ended: told, not counted */
	REASON_ENDED_FIN = 64,	    /* both sides closed the connection */
	REASON_ENDED_RESET = 65,    /* one of them broke it off */
	REASON_ENDED_IDLE = 66,	    /* nothing came for too long; it shows when its addresses are wanted again */
	REASON_ENDED_REPLACED = 67, /* its client began anew, or its backend is gone */
	REASON_EVENT_LOST = 80,	    /* of events: whoever listens did not keep up */
};

struct counter_key {
	__u32 service_port; /* 0: none, e.g. for an unallocated address */
	__u32 reason;	    /* enum reason */
};

struct counter {
	__u64 packets;
};

/* ---- what is told as it happens ---- */

enum event_kind {
	EVENT_MADE = 1 << 0,  /* a flow, or a socket's backend was chosen */
	EVENT_ENDED = 1 << 1, /* a flow */
	EVENT_REFUSED = 1 << 2,
	EVENT_DROPPED = 1 << 3,
};

struct event {
	__u64 time; /* nanoseconds of CLOCK_MONOTONIC */
	/* Of a flow that of its client's packet, with the hook where this was seen. A process has no source yet. */
	struct flow_key asked;
	/* what the packet becomes; all zero: nothing */
	struct address source;
	struct address destination;
	__be16 source_port;
	__be16 destination_port;
	__u32 service_port;
	__u16 kind;    /* enum event_kind */
	__u16 reason;  /* enum reason */
	__u32 process; /* 0: it was a packet */
	char command[16];
};

/* Which events somebody wants to be told: one slot, all zero while nobody does. */
struct trace_filter {
	char namespace[64]; /* both empty: whatever Service, or none */
	char service[64];
	struct address address; /* on either side, asked or given; all zero: any */
	__u32 kinds;		/* enum event_kind */
	__u32 reason;		/* 0: any */
	__u32 until;		/* seconds since boot: who listens says again and again that it still does */
	__u32 zero;
};

#pragma clang diagnostic pop
