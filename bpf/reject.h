/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#pragma once
#include "nat.h"

/*
 * Tells the client at once that nobody answers: a packet is cut or grown into the answer and turned around.
 * TCP gets RST, UDP gets ICMP port unreachable. The answer comes from the address that was asked.
 *
 * A packet from a local sender may have a partial checksum: whoever finishes it will sum from the old
 * transport header on and write to the old checksum field. Nothing says so to a program, but one thing shows
 * it: replacing 0 by 1 outside the pseudo header changes a whole checksum and leaves a partial one alone.
 */

#define ANSWER_TTL 64
#define ICMP_UNREACHABLE 3
#define ICMP_CODE_PORT 3
#define ICMPV6_UNREACHABLE 1
#define ICMPV6_CODE_PORT 4

PURE bool has_partial_checksum(struct __sk_buff *skb, const struct packet *packet)
{
	__u32 offset = checksum_offset(packet);
	__be16 before = 0, after = 0;

	bpf_skb_load_bytes(skb, offset, &before, sizeof(before));
	bpf_l4_csum_replace(skb, offset, 0, bpf_htons(1), 2);
	bpf_skb_load_bytes(skb, offset, &after, sizeof(after));
	return before == after;
}

/* The sum of the pseudo header of an answer with `length` bytes after the IP header. */
PURE __u64 pseudo_sum(const struct packet *packet, __u32 length, __u8 protocol)
{
	struct {
		struct address source;
		struct address destination;
		__be32 length;
		__be32 protocol;
	} header = {packet->tuple.destination, packet->tuple.source, bpf_htonl(length), bpf_htonl(protocol)};

	if (!packet->ipv6) { /* the mapped prefix is no part of it */
		header.source.words[2] = 0;
		header.destination.words[2] = 0;
	}
	return (__u32)bpf_csum_diff(NULL, 0, (void *)&header, sizeof(header), 0);
}

/* Where the answer's transport header stands: it has no IP options. */
PURE __u32 answer_offset(const struct packet *packet)
{
	return packet->l3 + (packet->ipv6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr));
}

/* The IP header of the answer, which has `length` bytes after it. */
PURE long answer_ip(struct __sk_buff *skb, const struct packet *packet, __u32 length, __u8 protocol)
{
	if (packet->ipv6) {
		struct {
			__be16 payload;
			__u8 protocol;
			__u8 hop_limit;
			struct address source;
			struct address destination;
		} header = {bpf_htons(length), protocol, ANSWER_TTL, packet->tuple.destination, packet->tuple.source};

		return bpf_skb_store_bytes(skb, packet->l3 + 4, &header, sizeof(header), 0);
	}
	struct iphdr ip = {
	    .version = 4,
	    .ihl = 5,
	    .tot_len = bpf_htons(sizeof(ip) + length),
	    .ttl = ANSWER_TTL,
	    .protocol = protocol,
	    .saddr = packet->tuple.destination.words[3],
	    .daddr = packet->tuple.source.words[3],
	};
	ip.check = ~fold((__u32)bpf_csum_diff(NULL, 0, (void *)&ip, sizeof(ip), 0));
	return bpf_skb_store_bytes(skb, packet->l3, &ip, sizeof(ip), 0);
}

/* Bytes after the transport header's start by what the IP header says: a short frame is padded by Ethernet. */
PURE __u32 transport_length(struct __sk_buff *skb, const struct packet *packet)
{
	__be16 length = 0;

	if (packet->ipv6) {
		bpf_skb_load_bytes(skb, packet->l3 + 4, &length, sizeof(length));
		return bpf_ntohs(length);
	}
	bpf_skb_load_bytes(skb, packet->l3 + 2, &length, sizeof(length));
	return bpf_ntohs(length) - (packet->l4 - packet->l3);
}

static __noinline int reject_tcp(struct __sk_buff *skb, const struct packet *packet)
{
	struct tcphdr old, rst = {};
	__u32 l4, data;
	bool partial;
	__u64 sum;

	if (!packet || bpf_skb_load_bytes(skb, packet->l4, &old, sizeof(old)))
		return TC_ACT_SHOT;
	l4 = answer_offset(packet);
	data = transport_length(skb, packet) - old.doff * 4;
	partial = has_partial_checksum(skb, packet);
	/* a partial checksum is bound to the old header's place */
	if ((partial && l4 != packet->l4) || bpf_skb_change_tail(skb, l4 + sizeof(rst), 0))
		return TC_ACT_SHOT;

	rst.source = packet->tuple.destination_port;
	rst.dest = packet->tuple.source_port;
	rst.doff = sizeof(rst) / 4;
	rst.rst = 1;
	if (old.ack) {
		rst.seq = old.ack_seq;
	} else {
		rst.ack = 1;
		rst.ack_seq = bpf_htonl(bpf_ntohl(old.seq) + old.syn + old.fin + data);
	}
	sum = pseudo_sum(packet, sizeof(rst), IPPROTO_TCP);
	if (partial)
		rst.check = fold(sum);
	else
		rst.check = ~fold(sum + (__u32)bpf_csum_diff(NULL, 0, (void *)&rst, sizeof(rst), 0));
	if (answer_ip(skb, packet, sizeof(rst), IPPROTO_TCP) || bpf_skb_store_bytes(skb, l4, &rst, sizeof(rst), 0))
		return TC_ACT_SHOT;
	return turn_around(skb, packet);
}

/* What both ICMPs quote: the IP header and the 8 bytes of the UDP header. */
struct icmp_answer {
	__u8 type;
	__u8 code;
	__be16 check;
	__be16 zero;
	__be16 sum; /* unused in this message */
};

PURE int send_icmp(struct __sk_buff *skb, const struct packet *packet, const struct icmp_answer *icmp,
		   const void *quote, __u32 quoted, __u8 protocol)
{
	__u32 length = sizeof(*icmp) + quoted;

	if (answer_ip(skb, packet, length, protocol) || bpf_skb_store_bytes(skb, packet->l4, icmp, sizeof(*icmp), 0) ||
	    bpf_skb_store_bytes(skb, packet->l4 + sizeof(*icmp), quote, quoted, 0))
		return TC_ACT_SHOT;
	return turn_around(skb, packet);
}

/*
 * A partial UDP checksum would be written at byte 6 of what stands there now. In an ICMP that is an unused
 * field: left to hold the complement of the sum it makes the message valid there as well, with `check` zero.
 */
PURE void finish_icmp(struct icmp_answer *icmp, __u64 pseudo, const void *quote, __u32 quoted, bool partial)
{
	if (partial) {
		icmp->sum = fold(pseudo);
		return;
	}
	pseudo += (__u32)bpf_csum_diff(NULL, 0, (void *)icmp, sizeof(*icmp), 0);
	pseudo += (__u32)bpf_csum_diff(NULL, 0, (void *)quote, quoted, 0);
	icmp->check = ~fold(pseudo);
}

static __noinline int reject_udp4(struct __sk_buff *skb, const struct packet *packet)
{
	struct icmp_answer icmp = {.type = ICMP_UNREACHABLE, .code = ICMP_CODE_PORT};
	__u32 quote[(sizeof(struct iphdr) + 8) / 4];
	bool partial;

	if (!packet || packet->l4 != packet->l3 + sizeof(struct iphdr) ||
	    bpf_skb_load_bytes(skb, packet->l3, quote, sizeof(quote)))
		return TC_ACT_SHOT;
	partial = has_partial_checksum(skb, packet);
	if (bpf_skb_change_tail(skb, packet->l4 + sizeof(icmp) + sizeof(quote), 0))
		return TC_ACT_SHOT;
	finish_icmp(&icmp, 0, quote, sizeof(quote), partial);
	return send_icmp(skb, packet, &icmp, quote, sizeof(quote), IPPROTO_ICMP);
}

static __noinline int reject_udp6(struct __sk_buff *skb, const struct packet *packet)
{
	struct icmp_answer icmp = {.type = ICMPV6_UNREACHABLE, .code = ICMPV6_CODE_PORT};
	__u32 quote[(sizeof(struct ipv6hdr) + 8) / 4];
	bool partial;

	if (!packet || bpf_skb_load_bytes(skb, packet->l3, quote, sizeof(quote)))
		return TC_ACT_SHOT;
	partial = has_partial_checksum(skb, packet);
	if (bpf_skb_change_tail(skb, packet->l4 + sizeof(icmp) + sizeof(quote), 0))
		return TC_ACT_SHOT;
	finish_icmp(&icmp, pseudo_sum(packet, sizeof(icmp) + sizeof(quote), IPPROTO_ICMPV6), quote, sizeof(quote),
		    partial);
	return send_icmp(skb, packet, &icmp, quote, sizeof(quote), IPPROTO_ICMPV6);
}

PURE int reject(struct __sk_buff *skb, const struct packet *packet)
{
	if (is_tcp(packet))
		return reject_tcp(skb, packet);
	return packet->ipv6 ? reject_udp6(skb, packet) : reject_udp4(skb, packet);
}
