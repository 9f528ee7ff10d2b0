/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The socket path: local processes choose a backend when they name the address, and pay nothing per packet.
 * The application must go on seeing the Service's address, so what it is told of its peer is turned back.
 */
#include <linux/in.h>
#include <linux/in6.h>
#include "packet.h"
#include "pool.h"

#define ECONNREFUSED 111
#define ALLOW 1
#define DENY 0
#define SOCK_STREAM 1
#define SOCK_DGRAM 2
#define IPPROTO_MULTIPATH_TCP 262

/* What the hook was called for. */
struct call {
	struct socket_key frontend; /* the socket and the address it named */
	bool in_host;		    /* the socket is in the node's own network namespace */
	bool connected;		    /* connect(), not sendto() */
	bool has_peer;		    /* sendto() on a socket that was connected before */
};

PURE __u8 protocol_of(const struct bpf_sock_addr *ctx)
{
	if (ctx->type == SOCK_STREAM && (ctx->protocol == IPPROTO_TCP || ctx->protocol == IPPROTO_MULTIPATH_TCP))
		return IPPROTO_TCP;
	if (ctx->type == SOCK_DGRAM && ctx->protocol == IPPROTO_UDP)
		return IPPROTO_UDP;
	return 0;
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

PURE int refuse(__u32 service_port, enum reason reason)
{
	count(service_port, reason);
	bpf_set_retval(-ECONNREFUSED);
	return DENY;
}

/*
 * Session affinity is the client's address, which a socket does not have yet. For the node's own sockets it
 * is the node's address. Pods with tc programs are left to those; without, their network namespace stands for
 * them, under a multicast prefix that no client's address has.
 */
PURE bool client_of(struct bpf_sock_addr *ctx, const struct call *call, const struct switches *node,
		    struct address *client)
{
	__u64 cookie;

	if (call->in_host) {
		*client = is_mapped(&call->frontend.address) ? node->node_ipv4 : node->node_ipv6;
		return !is_zero_address(client);
	}
	cookie = bpf_get_netns_cookie(ctx);
	client->words[0] = bpf_htonl(0xff000000);
	client->words[1] = 0;
	client->words[2] = cookie >> 32;
	client->words[3] = (__u32)cookie;
	return true;
}

/* Connected UDP of pods cannot be moved off a dead backend from here, and affinity wants an address: tc has
 * both. */
PURE bool is_left_to_tc(const struct call *call, const struct frontend *frontend, const struct switches *node)
{
	if (call->in_host || !node->pods_at_tc)
		return false;
	return frontend->affinity_seconds ||
	       (call->frontend.protocol == IPPROTO_UDP && (call->connected || call->has_peer));
}

/* An unconnected socket keeps to one backend for as long as it is in the pool, or QUIC breaks. */
PURE bool remembered_choice(const struct call *call, const struct frontend *frontend, struct backend *backend)
{
	struct segment pool = pool_of(frontend);
	struct socket_peer peer = {}, *row = peer_find(udp_choices, &call->frontend, &peer);

	if (!row || seconds_since(peer.seen) > config.udp_seconds)
		return false;
	__builtin_memset(backend, 0, sizeof(*backend));
	backend->address = peer.address;
	backend->port = peer.port;
	if (!pool_contains(pool.start, pool.count, backend))
		return false;
	if (seconds_since(peer.seen))
		row->seen = now_seconds();
	return true;
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

/* The socket turns from a Service to an address that may have been its backend: that is its name now. */
PURE void forget_peer(struct bpf_sock_addr *ctx, struct call *call)
{
	call->frontend.cookie = bpf_get_socket_cookie(ctx);
	delete_row(socket_reverse, &call->frontend);
}

PURE bool choose(struct bpf_sock_addr *ctx, const struct call *call, const struct frontend *frontend,
		 const struct switches *node, struct backend *backend)
{
	bool sends = call->frontend.protocol == IPPROTO_UDP && !call->connected;
	struct address client = {};
	bool known;

	if (sends && remembered_choice(call, frontend, backend))
		return true;
	known = frontend->affinity_seconds && client_of(ctx, call, node, &client);
	if (!choose_backend(frontend, known ? &client : NULL, backend))
		return false;
	count(frontend->service_port, REASON_CONNECTED_SOCKET);
	/* a connected socket may still be given the address with each datagram */
	if (call->frontend.protocol == IPPROTO_UDP)
		peer_set(&udp_choices, &call->frontend, &backend->address, backend->port, frontend->service_port);
	return true;
}

PURE int to_backend(struct bpf_sock_addr *ctx, bool ipv6, bool connected)
{
	struct call call = {.connected = connected};
	struct frontend_key key = {};
	struct backend backend = {};
	struct frontend frontend = {};
	struct switches *node;
	__u32 zero = 0;

	call.frontend.protocol = protocol_of(ctx);
	if (!call.frontend.protocol)
		return ALLOW;
	read_address(ctx, ipv6, &call.frontend.address);
	call.frontend.port = ctx->user_port;
	key.address = call.frontend.address;
	key.port = call.frontend.port;
	key.protocol = call.frontend.protocol;
	switch (frontend_find(&key, &frontend)) {
	case NONE:
		if (address_find(&key.address, &frontend) == FOUND)
			return refuse(frontend.service_port, REASON_REJECT_UNDEFINED_PORT);
		if (connected && key.protocol == IPPROTO_UDP)
			forget_peer(ctx, &call);
		return ALLOW;
	case UNSTABLE:
		return refuse(0, REASON_DROP_UNSTABLE_ROW);
	}
	node = bpf_map_lookup_elem(&switches, &zero);
	if (!node)
		return ALLOW;
	call.has_peer = !connected && ctx->sk && ctx->sk->state == BPF_TCP_ESTABLISHED;
	call.in_host = bpf_get_netns_cookie(ctx) == config.host_netns_cookie;
	if (is_left_to_tc(&call, &frontend, node))
		return ALLOW;
	if (!pool_of(&frontend).count) {
		/* a socket hook cannot drop in silence: untranslated, the packet ends at tc and is counted
		 * there */
		if (frontend.flags & FRONTEND_HAS_ENDPOINT)
			return ALLOW;
		return refuse(frontend.service_port, REASON_REJECT_NO_ENDPOINT);
	}
	call.frontend.cookie = bpf_get_socket_cookie(ctx);
	if (!choose(ctx, &call, &frontend, node, &backend))
		return refuse(frontend.service_port, REASON_DROP_UNSTABLE_ROW);
	remember_peer(&call, &frontend, &backend);
	write_address(ctx, ipv6, &backend.address, backend.port);
	return ALLOW;
}

/* The application is told of a peer: a backend that stands for a Service is named by the Service's address.
 */
PURE int to_frontend(struct bpf_sock_addr *ctx, bool ipv6)
{
	struct socket_key key = {};
	struct socket_peer peer = {};

	key.protocol = protocol_of(ctx);
	if (!key.protocol)
		return ALLOW;
	key.cookie = bpf_get_socket_cookie(ctx);
	read_address(ctx, ipv6, &key.address);
	key.port = ctx->user_port;
	if (peer_find(socket_reverse, &key, &peer))
		write_address(ctx, ipv6, &peer.address, peer.port);
	return ALLOW;
}

/* On an IPv6 socket a mapped IPv4 address comes to the IPv6 hooks, but for sendmsg to the IPv4 one: rows are
 * shared. */
SEC("cgroup/connect4")
int connect4(struct bpf_sock_addr *ctx)
{
	return to_backend(ctx, false, true);
}

SEC("cgroup/connect6")
int connect6(struct bpf_sock_addr *ctx)
{
	return to_backend(ctx, true, true);
}

SEC("cgroup/sendmsg4")
int sendmsg4(struct bpf_sock_addr *ctx)
{
	return to_backend(ctx, false, false);
}

SEC("cgroup/sendmsg6")
int sendmsg6(struct bpf_sock_addr *ctx)
{
	return to_backend(ctx, true, false);
}

SEC("cgroup/recvmsg4")
int recvmsg4(struct bpf_sock_addr *ctx)
{
	return to_frontend(ctx, false);
}

SEC("cgroup/recvmsg6")
int recvmsg6(struct bpf_sock_addr *ctx)
{
	return to_frontend(ctx, true);
}

SEC("cgroup/getpeername4")
int getpeername4(struct bpf_sock_addr *ctx)
{
	return to_frontend(ctx, false);
}

SEC("cgroup/getpeername6")
int getpeername6(struct bpf_sock_addr *ctx)
{
	return to_frontend(ctx, true);
}

char _license[] SEC("license") = "Dual BSD/GPL";
