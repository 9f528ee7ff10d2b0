/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#pragma once
#include <linux/if_packet.h>
#include "icmp.h"
#include "verdict.h"

/*
 * Tells the sender at once what a packet meets: the packet itself becomes the answer and is turned around. TCP gets RST;
 * UDP, and what cannot go on, gets an ICMP error. The answer comes from the address that was asked.
 *
 * A packet from a local sender may have a partial checksum: whoever finishes it will sum from the old transport header
 * on and write to the old checksum field. The kernel forgets that when the bytes from where the sum begins are cut off at
 * the front, so the first FRONT bytes always are, and what is wanted of them is put back.
 */

#define ANSWER_TTL 64
#define FRONT 96 /* more than the headers up to the transport's that answers are made for */
#define CHUNK 64 /* no more than FRONT */
#define ICMP_CODE_PORT 3
#define ICMP_CODE_TOO_BIG 4
#define ICMPV6_CODE_PORT 4
#define ICMP_LENGTH 576 /* of a whole error with its quote: no more than every host must take */
#define ICMPV6_LENGTH 1280
#define REJECTS_PER_SECOND 1000
#define REJECTS_AT_ONCE 1000
#define NANOSECONDS 1000000000ull

/* Takes a token of this CPU's bucket; false: it is empty. */
PURE bool may_reject(void)
{
	__u64 now = bpf_ktime_get_coarse_ns(), earned;
	__u32 slot = 0;
	struct reject_tokens *tokens = bpf_map_lookup_elem(&reject_tokens, &slot);

	if (!tokens)
		return false;
	earned = (now - tokens->filled) / (NANOSECONDS / REJECTS_PER_SECOND);
	if (earned >= REJECTS_AT_ONCE) {
		tokens->left = REJECTS_AT_ONCE;
		tokens->filled = now;
	} else {
		tokens->left += earned;
		if (tokens->left > REJECTS_AT_ONCE)
			tokens->left = REJECTS_AT_ONCE;
		tokens->filled += earned * (NANOSECONDS / REJECTS_PER_SECOND);
	}
	if (!tokens->left)
		return false;
	tokens->left--;
	return true;
}

/* Is this the address of one host, that an answer may go to? */
PURE bool is_unicast(const struct packet *packet, const struct address *a)
{
	__u8 first = packet->ipv6 ? *(__u8 *)&a->words[0] : *(__u8 *)&a->words[3];

	if (!packet->ipv6)
		return first && first != 127 && first < 224;
	return first != 0xff && (a->words[0] | a->words[1] | a->words[2] || bpf_ntohl(a->words[3]) > 1);
}

/* No answer to what is not a TCP or UDP packet to this host alone, nor to a later piece. */
PURE bool is_answerable(struct __sk_buff *skb, const struct packet *packet)
{
	return packet->piece != LATER_PIECE && skb->pkt_type != PACKET_BROADCAST && skb->pkt_type != PACKET_MULTICAST &&
	       has_ports(packet) && is_unicast(packet, &packet->tuple.source) &&
	       is_unicast(packet, &packet->tuple.destination) && packet->l4 < FRONT;
}

/*
 * The sum of the pseudo header of an answer with `length` bytes after the IP header. That the addresses change places is
 * all the same to a sum, and so is the prefix of mapped ones, which is 0xffff twice.
 */
PURE __u64 pseudo_sum(const struct packet *packet, __u32 length, __u8 protocol)
{
	__u64 sum = (__u32)bpf_csum_diff(NULL, 0, (void *)&packet->tuple.source, 2 * sizeof(struct address), 0);

	return sum + bpf_htonl(length) + bpf_htonl(protocol);
}

/* Bytes of the answer's IP header: it has no options. */
PURE __u32 answer_header(const struct packet *packet)
{
	return packet->ipv6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr);
}

/* The IP header of the answer, which has `length` bytes after it. */
PURE long answer_ip(struct __sk_buff *skb, const struct packet *packet, __u32 length, __u8 protocol)
{
	if (packet->ipv6) {
		struct {
			__be32 version;
			__be16 payload;
			__u8 protocol;
			__u8 hop_limit;
		} header = {bpf_htonl(6u << 28), bpf_htons(length), protocol, ANSWER_TTL};

		return bpf_skb_store_bytes(skb, packet->l3, &header, sizeof(header), 0) |
		       bpf_skb_store_bytes(skb, packet->l3 + 8, &packet->tuple.destination, sizeof(struct address), 0) |
		       bpf_skb_store_bytes(skb, packet->l3 + 24, &packet->tuple.source, sizeof(struct address), 0);
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

/* Bytes of IP by what the header says: a short frame is padded by Ethernet. Headers of super packets say 0. */
PURE __u32 ip_length(struct __sk_buff *skb, const struct packet *packet)
{
	__u32 there = skb->len - packet->l3, length;
	__be16 said = 0;

	bpf_skb_load_bytes(skb, packet->l3 + (packet->ipv6 ? 4 : 2), &said, sizeof(said));
	length = bpf_ntohs(said) + (packet->ipv6 ? sizeof(struct ipv6hdr) : 0);
	return said && length < there ? length : there;
}

/* Sets the length, by two steps so that something changes: what the packet had of offloads is gone. */
PURE long set_length(struct __sk_buff *skb, __u32 length)
{
	if (skb->len == length && bpf_skb_change_tail(skb, length + 1, 0))
		return -1;
	return bpf_skb_change_tail(skb, length, 0);
}

static __noinline int send_reset(struct __sk_buff *skb, const struct packet *packet)
{
	struct tcphdr old, rst = {};
	__u32 l4, data;

	if (!packet || bpf_skb_load_bytes(skb, packet->l4, &old, sizeof(old)) || old.rst)
		return TC_ACT_SHOT;
	l4 = packet->l3 + answer_header(packet);
	data = ip_length(skb, packet) - (packet->l4 - packet->l3) - old.doff * 4;
	if (set_length(skb, l4 + sizeof(rst) + FRONT) || bpf_skb_adjust_room(skb, -FRONT, BPF_ADJ_ROOM_MAC, 0))
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
	rst.check = ~fold(pseudo_sum(packet, sizeof(rst), IPPROTO_TCP) +
			  (__u32)bpf_csum_diff(NULL, 0, (void *)&rst, sizeof(rst), 0));
	if (answer_ip(skb, packet, sizeof(rst), IPPROTO_TCP) || bpf_skb_store_bytes(skb, l4, &rst, sizeof(rst), 0))
		return TC_ACT_SHOT;
	return turn_around(skb, packet);
}

/*
 * Makes the packet its own quote: `room` bytes before it, and not more of it than `length`. Zeros follow, for who reads
 * whole chunks.
 */
PURE long make_quote(struct __sk_buff *skb, const struct packet *packet, __u32 room, __u32 length, __u8 *front)
{
	return set_length(skb, packet->l3 + length) || set_length(skb, packet->l3 + length + FRONT + CHUNK) ||
	       bpf_skb_load_bytes(skb, packet->l3, front, FRONT) ||
	       bpf_skb_adjust_room(skb, -FRONT, BPF_ADJ_ROOM_MAC, 0) ||
	       bpf_skb_adjust_room(skb, room + FRONT, BPF_ADJ_ROOM_MAC, 0) ||
	       bpf_skb_store_bytes(skb, packet->l3 + room, front, FRONT, 0);
}

/* The ICMP error that quotes the packet. */
static __noinline int send_icmp(struct __sk_buff *skb, const struct packet *packet, __u8 type, __u8 code, __u32 rest)
{
	struct icmp_header icmp = {.type = type, .code = code, .rest = bpf_htonl(rest)};
	__u8 buffer[FRONT];
	__u32 room, length, most;
	__u64 sum;

	if (!packet)
		return TC_ACT_SHOT;
	room = answer_header(packet) + sizeof(icmp);
	length = ip_length(skb, packet);
	most = (packet->ipv6 ? ICMPV6_LENGTH : ICMP_LENGTH) - room;
	if (length > most)
		length = most;
	if (make_quote(skb, packet, room, length, buffer))
		return TC_ACT_SHOT;
	sum = packet->ipv6 ? pseudo_sum(packet, sizeof(icmp) + length, IPPROTO_ICMPV6) : 0;
	sum = bpf_csum_diff(NULL, 0, (void *)&icmp, sizeof(icmp), fold(sum));
	for (__u32 at = 0; at < ICMPV6_LENGTH && at < length; at += CHUNK) {
		if (bpf_skb_load_bytes(skb, packet->l3 + room + at, buffer, CHUNK))
			return TC_ACT_SHOT;
		sum = bpf_csum_diff(NULL, 0, (void *)buffer, CHUNK, (__u32)sum);
	}
	icmp.check = ~fold((__u32)sum);
	if (answer_ip(skb, packet, sizeof(icmp) + length, packet->ipv6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP) ||
	    bpf_skb_store_bytes(skb, packet->l3 + room - sizeof(icmp), &icmp, sizeof(icmp), 0) ||
	    set_length(skb, packet->l3 + room + length))
		return TC_ACT_SHOT;
	return turn_around(skb, packet);
}

/*
 * Counts the packet by `reason` and says whether it is to be answered: not, in silence, where no answer may be sent, and
 * beyond so many a second.
 */
PURE bool begin_answer(struct __sk_buff *skb, const struct packet *packet, __u32 service_port, enum reason reason)
{
	bool answerable = is_answerable(skb, packet), limited = answerable && !may_reject();

	if (limited)
		reason = REASON_REJECT_LIMIT;
	use(tell(&packet->tuple, NULL, service_port, reason));
	count(service_port, reason);
	return answerable && !limited;
}

/* Nobody answers, and the client is told. Counts `reason`. */
__noinline int reject(struct __sk_buff *skb, const struct packet *packet, __u32 service_port, __u32 reason)
{
	if (!packet)
		return TC_ACT_SHOT;
	if (is_tcp(packet) && packet->tcp_flags & TCP_FLAG_RST_BIT)
		return drop(&packet->tuple, service_port, reason);
	if (!begin_answer(skb, packet, service_port, reason))
		return TC_ACT_SHOT;
	if (is_tcp(packet))
		return send_reset(skb, packet);
	return packet->ipv6 ? send_icmp(skb, packet, ICMPV6_UNREACHABLE, ICMPV6_CODE_PORT, 0)
			    : send_icmp(skb, packet, ICMP_UNREACHABLE, ICMP_CODE_PORT, 0);
}

/* The hop limit of a packet that we forward has come to its end. Nothing of it may have been rewritten yet. */
PURE int icmp_time_exceeded(struct __sk_buff *skb, const struct packet *packet, __u32 service_port)
{
	if (!begin_answer(skb, packet, service_port, REASON_REJECT_TTL))
		return TC_ACT_SHOT;
	return send_icmp(skb, packet, packet->ipv6 ? ICMPV6_TIME_EXCEEDED : ICMP_TIME_EXCEEDED, 0, 0);
}

/* A packet that we forward does not fit: bytes of IP that do. Nothing of it may have been rewritten yet. */
PURE int icmp_too_big(struct __sk_buff *skb, const struct packet *packet, __u32 mtu, __u32 service_port)
{
	if (!begin_answer(skb, packet, service_port, REASON_REJECT_TOO_BIG))
		return TC_ACT_SHOT;
	return packet->ipv6 ? send_icmp(skb, packet, ICMPV6_TOO_BIG, 0, mtu)
			    : send_icmp(skb, packet, ICMP_UNREACHABLE, ICMP_CODE_TOO_BIG, mtu & 0xffff);
}
