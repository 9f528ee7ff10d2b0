/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#pragma once
#include "fragment.h"

/*
 * Packets that are not a whole TCP or UDP packet right behind the IP header: IPv6 extension headers, pieces, ICMP. Out of
 * the way of the usual packet, and so without direct access to the data.
 */

#define MAX_EXTENSIONS 6

struct extension {
	__u8 next;
	__u8 length; /* in units of 8 bytes, the first not counted; of a fragment header reserved */
	__u8 type;
	__u8 segments_left; /* of a routing header */
};

struct fragment_header {
	__u8 next;
	__u8 zero;
	__be16 offset; /* of 8 bytes << 3, and bit 0: more pieces follow */
	__be32 id;
};

PURE long parse_fragment_header(struct __sk_buff *skb, struct packet *packet)
{
	struct fragment_header header;

	if (packet->piece || bpf_skb_load_bytes(skb, packet->l4, &header, sizeof(header)))
		return -1;
	packet->l4 += sizeof(header);
	packet->tuple.protocol = header.next;
	packet->id = header.id;
	if (header.offset & bpf_htons(~7))
		packet->piece = LATER_PIECE;
	else if (header.offset & bpf_htons(1))
		packet->piece = FIRST_PIECE;
	return 0;
}

/*
 * Steps over IPv6 extension headers: hop-by-hop, destination options, a routing header that has led to its end, fragment.
 * -1: others, too many, or the end of the packet. Pieces of what begins with a further extension header are not ours:
 * a later one does not tell which transport it carries.
 */
static __noinline int walk_extensions(struct __sk_buff *skb, struct packet *packet)
{
	struct extension extension;

	if (!packet)
		return -1;
		/* rolled up, it would be entered in the middle, which the verifier of 6.1 takes for an endless one */
#pragma unroll
	for (int i = 0; i <= MAX_EXTENSIONS; i++) {
		__u8 protocol = packet->tuple.protocol;

		if (protocol != IPPROTO_HOPOPTS && protocol != IPPROTO_DSTOPTS && protocol != IPPROTO_ROUTING &&
		    protocol != IPPROTO_FRAGMENT)
			return 0;
		if (packet->piece || i == MAX_EXTENSIONS)
			return -1;
		if (protocol == IPPROTO_FRAGMENT) {
			if (parse_fragment_header(skb, packet))
				return -1;
			continue;
		}
		if (bpf_skb_load_bytes(skb, packet->l4, &extension, sizeof(extension)) ||
		    (protocol == IPPROTO_ROUTING && extension.segments_left))
			return -1;
		packet->l4 += (extension.length + 1) * 8;
		packet->tuple.protocol = extension.next;
	}
	return -1;
}

#define ICMP_UNREACHABLE 3
#define ICMP_TIME_EXCEEDED 11
#define ICMP_PARAMETER_PROBLEM 12
#define ICMPV6_UNREACHABLE 1
#define ICMPV6_TOO_BIG 2
#define ICMPV6_TIME_EXCEEDED 3
#define ICMPV6_PARAMETER_PROBLEM 4

/* Errors that are translated. */
PURE bool is_icmp_error(struct __sk_buff *skb, const struct packet *packet)
{
	__u8 type;

	if (packet->piece || bpf_skb_load_bytes(skb, packet->l4, &type, sizeof(type)))
		return false;
	if (packet->ipv6)
		return type >= ICMPV6_UNREACHABLE && type <= ICMPV6_PARAMETER_PROBLEM;
	return type == ICMP_UNREACHABLE || type == ICMP_TIME_EXCEEDED || type == ICMP_PARAMETER_PROBLEM;
}

enum odd {
	ODD_TUPLE,	   /* `packet` has its tuple: it goes on as any other */
	ODD_ERROR,	   /* an ICMP error, whole; translate_error() knows whether it is about a flow of ours */
	ODD_ALONE,	   /* not ours */
	ODD_UNKNOWN_PIECE, /* a later piece of TCP or UDP, and no first one of ours was seen */
};

/* Of what parse_transport() found ODD. */
__noinline int parse_odd(struct __sk_buff *skb, struct packet *packet)
{
	struct ports {
		__be16 source;
		__be16 destination;
	} ports;

	if (!packet || (packet->ipv6 && walk_extensions(skb, packet)))
		return ODD_ALONE;
	if (packet->tuple.protocol == (packet->ipv6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP))
		return is_icmp_error(skb, packet) ? ODD_ERROR : ODD_ALONE;
	if (!has_ports(packet))
		return ODD_ALONE;
	if (packet->piece == LATER_PIECE)
		return fragment_find(packet) ? ODD_TUPLE : ODD_UNKNOWN_PIECE;
	if (bpf_skb_load_bytes(skb, packet->l4, &ports, sizeof(ports)))
		return ODD_ALONE;
	packet->tuple.source_port = ports.source;
	packet->tuple.destination_port = ports.destination;
	if (is_sctp(packet)) { /* only an INIT has no verification tag yet */
		if (bpf_skb_load_bytes(skb, packet->l4 + sizeof(ports), &ports, sizeof(ports)))
			return ODD_ALONE;
		packet->tcp_flags = ports.source || ports.destination ? 0 : TCP_FLAG_SYN_BIT;
	}
	if (is_tcp(packet)) /* and a header that is cut off is nobody's */
		return bpf_skb_load_bytes(skb, packet->l4 + 13, &packet->tcp_flags, 1) ? ODD_ALONE : ODD_TUPLE;
	return ODD_TUPLE;
}
