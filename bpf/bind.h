/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#pragma once
#include "socket.h"

/* A NodePort is as good as bound: no process of the node may have it, or it would be served beside the Service. */

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
