/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The socket path: local processes choose a backend when they name the address, and pay nothing per packet.
 * The application must go on seeing the Service's address, so what it is told of its peer is turned back.
 * And no process of the node may take a port that is a NodePort.
 */
#include <linux/in.h>
#include <linux/in6.h>
#include "packet.h"
#include "pool.h"

#define EADDRINUSE 98
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

/* An unconnected socket keeps to one backend for as long as that serves, in the pool or not, or QUIC breaks. */
PURE bool remembered_choice(const struct call *call, const struct frontend *frontend, struct backend *backend)
{
	struct socket_peer peer = {}, *row = peer_find(udp_choices, &call->frontend, &peer);

	if (!row || seconds_since(peer.seen) > config.udp_seconds || peer.service_port != frontend->service_port ||
	    is_removed(peer.service_port, &peer.address, peer.port))
		return false;
	__builtin_memset(backend, 0, sizeof(*backend));
	backend->address = peer.address;
	backend->port = peer.port;
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

/* The NodePort that the asked port is on one of this node's addresses. A pod's loopback is its own. */
PURE int nodeport_find(const struct call *call, struct frontend *frontend)
{
	const struct node_address *row = bpf_map_lookup_elem(&node_addresses, &call->frontend.address);
	struct frontend_key key = {.address = call->frontend.address};

	if (!row || (!call->in_host && row->flags & NODE_ADDRESS_LOCALHOST))
		return NONE;
	to_any_address(&key.address);
	key.port = call->frontend.port;
	key.protocol = call->frontend.protocol;
	return frontend_find(&key, frontend);
}

/* What stands for the asked address and port: NONE is not ours, or `rejects`, where the address is a clusterIP. */
PURE int asked_frontend(const struct call *call, struct frontend *frontend, bool *rejects)
{
	struct frontend_key key = {};
	int found;

	key.address = call->frontend.address;
	key.port = call->frontend.port;
	key.protocol = call->frontend.protocol;
	found = frontend_find(&key, frontend);
	if (found == NONE)
		found = nodeport_find(call, frontend);
	if (found == NONE)
		*rejects =
		    address_find(&key.address, frontend) == FOUND && !(frontend->flags & FRONTEND_EXTERNAL_ADDRESS);
	return found;
}

/*
 * May this socket ask a Service with source ranges? It has no address yet: for the node's own it is the node's, those of
 * pods are left to tc. Who may not goes on untranslated, since a socket hook cannot drop in silence, and ends at to_wire.
 */
PURE bool may_ask(const struct call *call, const struct frontend *frontend, const struct switches *node)
{
	struct source_range_key key = {.prefix_length = 160, .service_port = frontend->service_port};

	if (!(frontend->flags & FRONTEND_SOURCE_RANGES))
		return true;
	key.source = is_mapped(&call->frontend.address) ? node->node_ipv4 : node->node_ipv6;
	return call->in_host && !is_zero_address(&key.source) && bpf_map_lookup_elem(&source_ranges, &key);
}

/* A socket of the node that is bound to loopback reaches what is on the node, and no further. */
PURE bool is_out_of_reach(const struct bpf_sock_addr *ctx, const struct call *call, const struct backend *backend,
			  const struct switches *node)
{
	const struct bpf_sock *sk = ctx->sk;

	if (!call->in_host || !sk)
		return false;
	if (is_mapped(&backend->address)
		? (bpf_ntohl(sk->src_ip4) >> 24) != 127
		: sk->src_ip6[0] || sk->src_ip6[1] || sk->src_ip6[2] || sk->src_ip6[3] != bpf_htonl(1))
		return false;
	return !same_address(&backend->address, &node->node_ipv4) &&
	       !same_address(&backend->address, &node->node_ipv6) &&
	       !bpf_map_lookup_elem(&node_addresses, &backend->address);
}

/* 0, or the reason of a refusal. */
PURE int choose(struct bpf_sock_addr *ctx, const struct call *call, const struct frontend *frontend,
		const struct switches *node, struct backend *backend)
{
	bool sends = call->frontend.protocol == IPPROTO_UDP && !call->connected;
	struct address client = {};
	bool known;

	if (sends && remembered_choice(call, frontend, backend))
		return 0;
	known = frontend->affinity_seconds && client_of(ctx, call, node, &client);
	if (!choose_backend(frontend, known ? &client : NULL, backend))
		return REASON_DROP_UNSTABLE_ROW;
	if (is_out_of_reach(ctx, call, backend, node))
		return REASON_REJECT_NO_ENDPOINT;
	use(tell_call(&call->frontend, backend, frontend->service_port, REASON_CONNECTED_SOCKET));
	/* a connected socket may still be given the address with each datagram */
	if (call->frontend.protocol == IPPROTO_UDP)
		peer_set(&udp_choices, &call->frontend, &backend->address, backend->port, frontend->service_port);
	return 0;
}

PURE int to_backend(struct bpf_sock_addr *ctx, bool ipv6, bool connected)
{
	struct call call = {.connected = connected};
	struct backend backend = {};
	struct frontend frontend = {};
	struct switches *node;
	bool rejects = false;
	__u32 zero = 0;
	int refusal;

	call.frontend.protocol = protocol_of(ctx);
	if (!call.frontend.protocol)
		return ALLOW;
	read_address(ctx, ipv6, &call.frontend.address);
	any_to_loopback(&call.frontend.address);
	call.frontend.port = ctx->user_port;
	call.in_host = bpf_get_netns_cookie(ctx) == config.host_netns_cookie;
	switch (asked_frontend(&call, &frontend, &rejects)) {
	case NONE:
		if (rejects)
			return refuse(&call.frontend, frontend.service_port, REASON_REJECT_UNDEFINED_PORT);
		if (connected && call.frontend.protocol == IPPROTO_UDP)
			forget_peer(ctx, &call);
		return ALLOW;
	case UNSTABLE:
		return refuse(&call.frontend, 0, REASON_DROP_UNSTABLE_ROW);
	}
	node = bpf_map_lookup_elem(&switches, &zero);
	if (!node)
		return ALLOW;
	call.has_peer = !connected && ctx->sk && ctx->sk->state == BPF_TCP_ESTABLISHED;
	if (is_left_to_tc(&call, &frontend, node) || !may_ask(&call, &frontend, node))
		return ALLOW;
	if (!pool_of(&frontend).count) {
		/* a socket hook cannot drop in silence: untranslated, the packet ends at tc and is counted
		 * there */
		if (frontend.flags & FRONTEND_HAS_ENDPOINT)
			return ALLOW;
		return refuse(&call.frontend, frontend.service_port, REASON_REJECT_NO_ENDPOINT);
	}
	call.frontend.cookie = bpf_get_socket_cookie(ctx);
	refusal = choose(ctx, &call, &frontend, node, &backend);
	if (refusal)
		return refuse(&call.frontend, frontend.service_port, refusal);
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

/* The NodePort of this family that a socket bound to this address would take away from who asks for it here. */
PURE bool takes_nodeport(const struct address *bound, __be16 port, __u8 protocol, struct frontend *frontend)
{
	struct frontend_key key = {.address = *bound, .port = port, .protocol = protocol};

	if (!is_any(bound) && !bpf_map_lookup_elem(&node_addresses, bound))
		return false;
	to_any_address(&key.address);
	return frontend_find(&key, frontend) == FOUND;
}

/* Does not see a port that the kernel chose for a connection: ip_local_port_range must not overlap the NodePorts. */
PURE int guard_nodeports(struct bpf_sock *ctx, const struct address *bound)
{
	__u8 protocol = transport_of(ctx->type, ctx->protocol);
	__be16 port = bpf_htons(ctx->src_port); /* the kernel gives it in host order */
	struct frontend frontend = {};
	struct socket_key asked = {};
	struct address ipv4 = {};

	if (!protocol || bpf_get_netns_cookie(ctx) != config.host_netns_cookie)
		return ALLOW;
	map_ipv4(&ipv4, 0);
	/* a socket on :: mostly serves both families; whether this one does, it does not tell */
	if (!takes_nodeport(bound, port, protocol, &frontend) &&
	    !(is_zero_address(bound) && takes_nodeport(&ipv4, port, protocol, &frontend)))
		return ALLOW;
	asked.address = *bound;
	asked.port = port;
	asked.protocol = protocol;
	use(tell_call(&asked, NULL, frontend.service_port, REASON_REJECT_BIND));
	bpf_set_retval(-EADDRINUSE);
	return DENY;
}

SEC("cgroup/post_bind4")
int post_bind4(struct bpf_sock *ctx)
{
	struct address bound;

	map_ipv4(&bound, ctx->src_ip4);
	return guard_nodeports(ctx, &bound);
}

SEC("cgroup/post_bind6")
int post_bind6(struct bpf_sock *ctx)
{
	struct address bound = {.words = {ctx->src_ip6[0], ctx->src_ip6[1], ctx->src_ip6[2], ctx->src_ip6[3]}};

	return guard_nodeports(ctx, &bound);
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
