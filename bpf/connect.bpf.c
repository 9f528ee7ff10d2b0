/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The socket path: local processes choose a backend when they name the address, and pay nothing per packet.
 * The application must go on seeing the Service's address, so what it is told of its peer is turned back.
 * And no process of the node may take a port that is a NodePort.
 */
#include "asked.h"
#include "bind.h"

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

/* 0, or the reason of a refusal. */
PURE int choose(struct bpf_sock_addr *ctx, const struct call *call, const struct frontend *frontend,
		const struct switches *node, struct backend *backend)
{
	bool sends = call->frontend.protocol == IPPROTO_UDP && !call->connected;
	struct address client = {};
	bool known;

	if (sends && remembered_choice(call, frontend, backend))
		return 0;
	known = (frontend->affinity_seconds || is_by_client(frontend)) && client_of(ctx, call, node, &client);
	if (!choose_backend(frontend, false, known ? &client : NULL, &call->frontend.address, backend))
		return REASON_DROP_UNSTABLE_ROW;
	if (is_out_of_reach(ctx, call, backend, node))
		return REASON_REJECT_NO_ENDPOINT;
	use(tell_call(&call->frontend, backend, frontend->service_port, REASON_CONNECTED_SOCKET));
	if (is_by_connections(frontend))
		socket_count(ctx, frontend->service_port, backend);
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
	if (!call.frontend.protocol || is_rehearsal(ctx))
		return ALLOW;
	read_address(ctx, ipv6, &call.frontend.address);
	any_to_loopback(&call.frontend.address);
	call.frontend.port = ctx->user_port;
	call.in_host = bpf_get_netns_cookie(ctx) == config.host_netns_cookie;
	node = bpf_map_lookup_elem(&switches, &zero);
	if (!node)
		return ALLOW;
	switch (asked_frontend(&call, &frontend, &rejects)) {
	case NONE:
		if (rejects && !may_answer_itself(&call, node))
			return refuse(&call.frontend, frontend.service_port, REASON_REJECT_UNDEFINED_PORT);
		if (connected && call.frontend.protocol == IPPROTO_UDP)
			forget_peer(ctx, &call);
		return ALLOW;
	case UNSTABLE:
		return refuse(&call.frontend, 0, REASON_DROP_UNSTABLE_ROW);
	}
	call.has_peer = !connected && ctx->sk && ctx->sk->state == BPF_TCP_ESTABLISHED;
	if (is_left_to_tc(&call, &frontend, node) || !may_ask(&call, &frontend, node))
		return ALLOW;
	if (!pool_of(&frontend, false).count) {
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

/* Of every socket of these families, however it came to its end. */
SEC("cgroup/sock_release")
int sock_release(struct bpf_sock *ctx)
{
	struct connections_key *place = bpf_sk_storage_get(&counted_sockets, ctx, NULL, 0);

	if (place)
		socket_uncount(place);
	return ALLOW;
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
