/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#pragma once
#include <linux/in.h>
#include <linux/in6.h>
#include "packet.h"
#include "pool.h"

/* What socket hooks read and write, and the peers that they remember for a socket. */

#define EADDRINUSE 98
#define ECONNREFUSED 111
#define ALLOW 1
#define DENY 0
#define SOCK_STREAM 1
#define SOCK_DGRAM 2
#define IPPROTO_MULTIPATH_TCP 262
#define REHEARSAL_MARK 0x62706673 /* SO_MARK; src/kernel/rehearsed-socket.ts sets it */

/* What the hook was called for. */
struct call {
	struct socket_key frontend; /* the socket and the address it named */
	bool in_host;		    /* the socket is in the node's own network namespace */
	bool connected;		    /* connect(), not sendto() */
	bool has_peer;		    /* sendto() on a socket that was connected before */
};

PURE __u8 transport_of(__u32 type, __u32 protocol)
{
	if (type == SOCK_STREAM && (protocol == IPPROTO_TCP || protocol == IPPROTO_MULTIPATH_TCP))
		return IPPROTO_TCP;
	if (type == SOCK_DGRAM && protocol == IPPROTO_UDP)
		return IPPROTO_UDP;
	return 0;
}

PURE __u8 protocol_of(const struct bpf_sock_addr *ctx)
{
	return transport_of(ctx->type, ctx->protocol);
}

/* A socket that only asks what would be done with it: who is at work must not answer, nor remember it. */
PURE bool is_rehearsal(const struct bpf_sock_addr *ctx)
{
	return !config.rehearses && ctx->sk && ctx->sk->mark == REHEARSAL_MARK;
}

PURE void read_address(const struct bpf_sock_addr *ctx, bool ipv6, struct address *address)
{
	if (!ipv6) {
		map_ipv4(address, ctx->user_ip4);
		return;
	}
	address->words[0] = ctx->user_ip6[0];
	address->words[1] = ctx->user_ip6[1];
	address->words[2] = ctx->user_ip6[2];
	address->words[3] = ctx->user_ip6[3];
}

PURE void write_address(struct bpf_sock_addr *ctx, bool ipv6, const struct address *address, __be16 port)
{
	if (!ipv6) {
		ctx->user_ip4 = address->words[3];
	} else {
		ctx->user_ip6[0] = address->words[0];
		ctx->user_ip6[1] = address->words[1];
		ctx->user_ip6[2] = address->words[2];
		ctx->user_ip6[3] = address->words[3];
	}
	ctx->user_port = port;
}

PURE bool is_any(const struct address *address)
{
	return is_mapped(address) ? !address->words[3] : is_zero_address(address);
}

/* Who asks for the any-address is given loopback by the kernel. Here it would meet the rows of NodePorts directly. */
PURE void any_to_loopback(struct address *address)
{
	if (is_any(address))
		address->words[3] = is_mapped(address) ? bpf_htonl(INADDR_LOOPBACK) : bpf_htonl(1);
}

PURE __u32 peer_check(const struct socket_key *key, const struct socket_peer *peer)
{
	struct checksum checksum = CHECK_START;

	check_words(&checksum, key, sizeof(*key));
	check_words(&checksum, peer, __builtin_offsetof(struct socket_peer, seen));
	return check_end(&checksum);
}

/* `copy` must be zeroed: clang 18 spills of an undefined one what the verifier refuses. */
#define peer_find(map, key, copy) peer_take(&map, &map##_before, key, copy)

PURE struct socket_peer *peer_take(void *map, void *before, const struct socket_key *key, struct socket_peer *copy)
{
	for (int attempt = 0; attempt < 2; attempt++) {
		struct socket_peer *row = take_row(map, before, key);

		if (!row)
			return NULL;
		*copy = *row;
		if (peer_check(key, copy) == copy->check)
			return row;
	}
	return NULL;
}

PURE void peer_set(void *table, const struct socket_key *key, const struct address *address, __be16 port,
		   __u32 service_port)
{
	struct socket_peer peer = {
	    .address = *address, .port = port, .service_port = service_port, .seen = now_seconds()};

	peer.check = peer_check(key, &peer);
	bpf_map_update_elem(table, key, &peer, BPF_ANY);
}

/* Counts and tells what a call came to. `becomes`: NULL where nothing did. A socket has no source address yet. */
__noinline int tell_call(const struct socket_key *asked, const struct backend *becomes, __u32 service_port,
			 __u32 reason)
{
	const struct trace_filter *filter;
	struct event *event;

	count(service_port, reason);
	filter = listener(service_port, reason);
	if (!filter || !asked)
		return done();
	if (!is_zero_address(&filter->address) && !same_address(&filter->address, &asked->address) &&
	    !(becomes && same_address(&filter->address, &becomes->address)))
		return done();
	event = event_reserve(service_port, reason);
	if (!event)
		return done();
	fill_tuples(event, NULL, NULL);
	event->asked.destination = asked->address;
	event->asked.destination_port = asked->port;
	event->asked.protocol = asked->protocol;
	event->asked.hook = HOOK_SOCKET;
	if (becomes) {
		event->destination = becomes->address;
		event->destination_port = becomes->port;
	}
	event->process = bpf_get_current_pid_tgid() >> 32;
	bpf_get_current_comm(event->command, sizeof(event->command));
	bpf_ringbuf_submit(event, 0);
	return done();
}

PURE int refuse(const struct socket_key *asked, __u32 service_port, enum reason reason)
{
	use(tell_call(asked, NULL, service_port, reason));
	bpf_set_retval(-ECONNREFUSED);
	return DENY;
}

PURE void remember_peer(const struct call *call, const struct frontend *frontend, const struct backend *backend)
{
	struct socket_key key = call->frontend;
	struct socket_peer peer = {};

	key.address = backend->address;
	key.port = backend->port;
	if (peer_find(socket_reverse, &key, &peer) && same_address(&peer.address, &call->frontend.address) &&
	    peer.port == call->frontend.port)
		return;
	peer_set(&socket_reverse, &key, &call->frontend.address, call->frontend.port, frontend->service_port);
}

PURE void socket_uncount(struct connections_key *place)
{
	struct connections *row = bpf_map_lookup_elem(&socket_connections, place);

	if (row)
		__sync_fetch_and_add(&row->count, -1);
	place->service_port = 0;
}

/*
 * This backend has the socket now, and no longer that of its last choice. The kernel holds the socket's lock. One that cannot be
 * remembered is not counted, for it would be for good.
 */
PURE void socket_count(struct bpf_sock_addr *ctx, __u32 service_port, const struct backend *backend)
{
	struct connections_key key = {.address = backend->address, .service_port = service_port, .port = backend->port};
	struct connections_key *place = NULL;
	struct connections *row;

	if (ctx->sk)
		place = bpf_sk_storage_get(&counted_sockets, ctx->sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (!place)
		return;
	if (place->service_port)
		socket_uncount(place);
	row = connections_take(&socket_connections, &key);
	if (!row)
		return;
	__sync_fetch_and_add(&row->count, 1);
	*place = key;
}

/* The socket turns from a Service to an address that may have been its backend: that is its name now. */
PURE void forget_peer(struct bpf_sock_addr *ctx, struct call *call)
{
	call->frontend.cookie = bpf_get_socket_cookie(ctx);
	delete_row(socket_reverse, &call->frontend);
}
