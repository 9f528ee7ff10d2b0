/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#pragma once
#include "flow.h"
#include "nat.h"
#include "odd.h"

/*
 * ICMP errors about packets that a flow of ours has rewritten. What an error quotes, turned around, is the key of a flow
 * row of the very hook where the error passes; that row says what the quote must be for who gets the error. So the client
 * learns the path's MTU to the Service, and a backend's port unreachable is the Service's.
 *
 * Left alone: quotes of later pieces (no ports), quotes with IPv6 extension headers that walk_extensions() does not know,
 * and redirects: the client would learn that the Service is its neighbour.
 */

struct icmp_header {
	__u8 type;
	__u8 code;
	__be16 check;
	__be32 rest; /* the MTU, in messages that tell one */
};

PURE long parse_quote_ipv4(struct __sk_buff *skb, struct packet *quote)
{
	struct iphdr ip;

	if (bpf_skb_load_bytes(skb, quote->l3, &ip, sizeof(ip)) || ip.version != 4 || ip.ihl < 5 ||
	    ip.frag_off & FRAGMENT_OFFSET)
		return -1;
	map_ipv4(&quote->tuple.source, ip.daddr);
	map_ipv4(&quote->tuple.destination, ip.saddr);
	quote->tuple.protocol = ip.protocol;
	quote->l4 = quote->l3 + ip.ihl * 4;
	return 0;
}

PURE long parse_quote_ipv6(struct __sk_buff *skb, struct packet *quote)
{
	struct ipv6hdr ip;

	if (bpf_skb_load_bytes(skb, quote->l3, &ip, sizeof(ip)) || ip.version != 6)
		return -1;
	__builtin_memcpy(&quote->tuple.source, &ip.daddr, sizeof(struct address));
	__builtin_memcpy(&quote->tuple.destination, &ip.saddr, sizeof(struct address));
	quote->tuple.protocol = ip.nexthdr;
	quote->l4 = quote->l3 + sizeof(ip);
	quote->ipv6 = 1;
	return walk_extensions(skb, quote) || quote->piece == LATER_PIECE ? -1 : 0;
}

/* The quoted packet, its tuple turned around. `quote` is all zero. */
static __noinline int parse_quote(struct __sk_buff *skb, const struct packet *packet, struct packet *quote)
{
	struct ports ports;

	if (!packet || !quote)
		return -1;
	quote->l3 = packet->l4 + sizeof(struct icmp_header);
	if (packet->ipv6 ? parse_quote_ipv6(skb, quote) : parse_quote_ipv4(skb, quote))
		return -1;
	if (!has_ports(quote))
		return -1;
	if (bpf_skb_load_bytes(skb, quote->l4, &ports, sizeof(ports)))
		return -1;
	quote->tuple.source_port = ports.destination;
	quote->tuple.destination_port = ports.source;
	quote->tuple.hook = packet->tuple.hook;
	quote->tuple.device = packet->tuple.device;
	return 0;
}

/* Mends the transport checksum in the quote, if the quote reaches that far. `sum`: see rewrite_quote(). */
PURE __s64 rewrite_quoted_checksum(struct __sk_buff *skb, const struct packet *quote, __u32 change, __s64 sum)
{
	__u32 offset = checksum_offset(quote);
	__be32 old = 0, new = 0; /* two bytes and zeros: a sum does not mind in which half of a word they stand */
	__be16 check;

	if (is_sctp(quote) || bpf_skb_load_bytes(skb, offset, &check, sizeof(check)) || (!is_tcp(quote) && !check))
		return sum;
	old = check;
	check = check_after(check, change);
	if (!is_tcp(quote) && !check)
		check = 0xffff;
	new = check;
	bpf_skb_store_bytes(skb, offset, &check, sizeof(check), 0);
	return bpf_csum_diff(&old, sizeof(old), &new, sizeof(new), sum);
}

/*
 * Gives the quote the tuple of `to` turned around; `sum` becomes what that adds to the sum over the ICMP message. 0, or
 * the packet is damaged. In a sum the order does not matter, so that of a tuple turned around is the tuple's.
 */
static __noinline int rewrite_quote(struct __sk_buff *skb, const struct packet *quote, const struct flow *to,
				    __s64 *sum)
{
	__u32 addresses = quote ? quote->l3 + (quote->ipv6 ? 8 : 12) : 0;
	struct ports ports;
	__s64 change;
	long error;

	if (!quote || !to || !sum)
		return -1;
	change = bpf_csum_diff((void *)&quote->tuple.source, 2 * sizeof(struct address), (void *)&to->source,
			       2 * sizeof(struct address), 0);
	if (quote->ipv6) {
		*sum = change;
		error = bpf_skb_store_bytes(skb, addresses, &to->destination, sizeof(struct address), 0) |
			bpf_skb_store_bytes(skb, addresses + 16, &to->source, sizeof(struct address), 0);
	} else {
		/* the header's own checksum takes the change back */
		*sum = 0;
		error = bpf_l3_csum_replace(skb, quote->l3 + __builtin_offsetof(struct iphdr, check), 0, change, 0) |
			bpf_skb_store_bytes(skb, addresses, &to->destination.words[3], 4, 0) |
			bpf_skb_store_bytes(skb, addresses + 4, &to->source.words[3], 4, 0);
	}
	ports = (struct ports){to->destination_port, to->source_port};
	error |= bpf_skb_store_bytes(skb, quote->l4, &ports, sizeof(ports), 0);
	change = bpf_csum_diff((void *)&quote->tuple.source_port, sizeof(ports), (void *)&ports, sizeof(ports), change);
	*sum = bpf_csum_diff((void *)&quote->tuple.source_port, sizeof(ports), (void *)&ports, sizeof(ports), *sum);
	*sum = rewrite_quoted_checksum(skb, quote, change, *sum);
	return error ? -1 : 0;
}

/* The addresses around the message, and its checksum. `sum`: what the rewritten quote adds. */
PURE long rewrite_envelope(struct __sk_buff *skb, const struct packet *packet, const struct address *source,
			   const struct address *destination, __s64 sum)
{
	__u32 offset = packet->l4 + __builtin_offsetof(struct icmp_header, check);
	long error = bpf_l4_csum_replace(skb, offset, 0, sum, 0);

	if (packet->ipv6) { /* whose sum is over the addresses too */
		struct {
			struct address source;
			struct address destination;
		} new = {*source, *destination};
		__s64 change = bpf_csum_diff((void *)&packet->tuple.source, sizeof(new), (void *)&new, sizeof(new), 0);

		error |= bpf_l4_csum_replace(skb, offset, 0, change, BPF_F_PSEUDO_HDR);
	}
	return error | rewrite_addresses(skb, packet, source, destination);
}

enum error {
	ERROR_ALONE,	  /* no error about a flow of ours, or none that is translated */
	ERROR_TRANSLATED, /* to be sent on as a packet of `flow` would be */
	ERROR_DAMAGED,
};

/*
 * Of what parse_odd() called ODD_ERROR. `flow`: room for the row that the error belongs to; its flags say how it leaves.
 * The envelope then has the row's destination, and the row's source only if the error came from the very address that
 * the row is for: an error of a router in between stays that router's.
 */
__noinline int translate_error(struct __sk_buff *skb, const struct packet *packet, struct flow *flow)
{
	struct packet quote = {};
	const struct address *source;
	__u32 age = 0;
	__s64 sum = 0;
	int found;

	if (!packet || !flow || parse_quote(skb, packet, &quote) ||
	    !same_address(&packet->tuple.destination, &quote.tuple.destination))
		return ERROR_ALONE;
	found = flow_find(&quote.tuple, flow, IN_FLOWS | IN_HALF_OPEN, &age);
	if (found != FOUND && found != TENTATIVE)
		return ERROR_ALONE;
	source = same_address(&packet->tuple.source, &quote.tuple.source) ? &flow->source : &packet->tuple.source;
	if (rewrite_quote(skb, &quote, flow, &sum) || rewrite_envelope(skb, packet, source, &flow->destination, sum))
		return ERROR_DAMAGED;
	return ERROR_TRANSLATED;
}
