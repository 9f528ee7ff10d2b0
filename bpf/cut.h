/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#pragma once
#include "route.h"

/*
 * IPv4 packets whose sender lets routers cut them, and that are too big for the way on which we forward them. The packet is
 * cut as it came, and its pieces come in by the same device once more, where each goes the usual way of pieces. Only the
 * last one is a frame of its length: behind the others stands the rest of the packet, which their headers do not count, and which
 * forward() takes off.
 *
 * A super packet of TCP is not cut: it becomes more and shorter segments.
 */

#define DONT_FRAGMENT bpf_htons(0x4000)
#define MORE_FRAGMENTS 0x2000
#define LEAST_CUT 128	   /* of MTUs: the sum of a packet is finished in its first FRONT bytes */
#define MOST_ROOM 4080	   /* that bpf_skb_adjust_room() takes at once, and a multiple of 8 */
#define MOST_PIECES 1024   /* of 65,535 bytes, by the least of MTUs */
#define MOST_SHORTENINGS 3 /* from jumbo frames to any MTU */

struct cut {
	struct __sk_buff *skb;
	struct iphdr ip;
	__u32 l3;
	__u32 size; /* bytes of a piece behind its header */
	__u32 rest;
	__u16 offset; /* as in the header */
	__u16 more;   /* as in the header, of the last piece */
	bool ended;
};

static long cut_piece(__u64 number __attribute__((unused)), struct cut *cut)
{
	struct __sk_buff *skb = cut->skb;
	bool last = cut->rest <= cut->size;
	__u32 length = last ? cut->rest : cut->size;
	struct iphdr ip = cut->ip;

	ip.tot_len = bpf_htons(sizeof(ip) + length);
	ip.frag_off = bpf_htons(cut->offset | (last ? cut->more : MORE_FRAGMENTS));
	ip.check = 0;
	ip.check = ~fold((__u32)bpf_csum_diff(NULL, 0, (void *)&ip, sizeof(ip), 0));
	if (bpf_skb_store_bytes(skb, cut->l3, &ip, sizeof(ip), BPF_F_RECOMPUTE_CSUM))
		return 1;
	if (last) {
		cut->ended = true;
		return 1;
	}
	/* what was sent goes off at the front, and the next header is written over the end of that */
	if (bpf_clone_redirect(skb, skb->ifindex, BPF_F_INGRESS) ||
	    bpf_skb_adjust_room(skb, -(__s32)cut->size, BPF_ADJ_ROOM_MAC, 0))
		return 1;
	cut->offset += cut->size / 8;
	cut->rest -= cut->size;
	return 0;
}

struct summing {
	struct __sk_buff *skb;
	__u32 at;
	__u32 left;
	__u32 sum;
};

static long sum_chunk(__u64 number __attribute__((unused)), struct summing *summing)
{
	__be32 chunk[CHUNK / 4] = {};
	__u32 left = summing->left, length = CHUNK;

	if (!left)
		return 1;
	if (left < CHUNK) {
		/* the verifier of 6.1 must see by itself that this is not 0 */
		asm volatile("" : "+r"(left));
		length = ((left - 1) & (CHUNK - 1)) + 1;
	}
	if (bpf_skb_load_bytes(summing->skb, summing->at, chunk, length))
		return 1;
	summing->sum = fold((__u32)bpf_csum_diff(NULL, 0, chunk, CHUNK, summing->sum));
	summing->at += length;
	summing->left -= length;
	return !summing->left;
}

/*
 * A whole packet from a local sender may have no more of its checksum than the sum of its pseudo header: whoever sends it
 * on would write into the first piece what is right for that alone. `length`: bytes of IP. Does nothing to a right one.
 */
static __noinline int finish_checksum(struct __sk_buff *skb, const struct packet *packet, __u32 length)
{
	struct summing summing = {.skb = skb};
	__u8 front[FRONT];
	__be16 check;

	if (!packet)
		return -1;
	summing.at = packet->l4;
	summing.left = length - (packet->l4 - packet->l3);
	if (bpf_skb_load_bytes(skb, checksum_offset(packet), &check, sizeof(check)))
		return -1;
	if (check && check == fold(pseudo_sum(packet, summing.left, packet->tuple.protocol))) {
		bpf_loop(MOST_PIECES, sum_chunk, &summing, 0);
		check = ~summing.sum;
		if (!is_tcp(packet) && !check)
			check = 0xffff;
		if (summing.left || bpf_skb_store_bytes(skb, checksum_offset(packet), &check, sizeof(check), 0))
			return -1;
	}
	/* that it is to be finished is forgotten where the sum begins to be cut off */
	if (bpf_skb_load_bytes(skb, packet->l3, front, FRONT) ||
	    bpf_skb_adjust_room(skb, -FRONT, BPF_ADJ_ROOM_MAC, 0) ||
	    bpf_skb_adjust_room(skb, FRONT, BPF_ADJ_ROOM_MAC, 0))
		return -1;
	return bpf_skb_store_bytes(skb, packet->l3, front, FRONT, BPF_F_RECOMPUTE_CSUM);
}

/* `excess`: bytes that the segments are too long. */
PURE long shorten_segments(struct __sk_buff *skb, __u32 excess)
{
	for (int i = 0; i < MOST_SHORTENINGS && excess; i++) {
		__s32 step = excess < MOST_ROOM ? excess : MOST_ROOM;

		/* room makes segments shorter, and with FIXED_GSO they stay so where it goes again */
		if (bpf_skb_adjust_room(skb, step, BPF_ADJ_ROOM_MAC, BPF_F_ADJ_ROOM_NO_CSUM_RESET) ||
		    bpf_skb_adjust_room(skb, -step, BPF_ADJ_ROOM_MAC,
					BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_NO_CSUM_RESET))
			return -1;
		excess -= step;
	}
	return excess;
}

/*
 * Of a packet that forward() called TOO_BIG for `mtu`. GOES_ON: now it fits. TOO_BIG: it must not be cut, its sender is to be
 * told. Else a verdict.
 */
__noinline int cut(struct __sk_buff *skb, const struct packet *packet, __u32 mtu, __u32 service_port)
{
	struct cut cut = {.skb = skb};
	__u32 length;

	if (!packet || packet->ipv6 || mtu < LEAST_CUT ||
	    bpf_skb_load_bytes(skb, packet->l3, &cut.ip, sizeof(cut.ip)) || cut.ip.frag_off & DONT_FRAGMENT ||
	    cut.ip.ihl != 5)
		return TOO_BIG;
	length = segment_length(skb, packet);
	if (skb->gso_size)
		return is_tcp(packet) && !shorten_segments(skb, length - mtu) ? GOES_ON : TOO_BIG;
	if (packet->piece == FIRST_PIECE)
		use(fragment_remember(packet)); /* the later ones may be here before its own pieces */
	if (packet->piece == WHOLE && !is_sctp(packet) && finish_checksum(skb, packet, length))
		return drop(&packet->tuple, service_port, REASON_DROP_MALFORMED);
	cut.l3 = packet->l3;
	cut.rest = length - sizeof(cut.ip);
	cut.size = (mtu - sizeof(cut.ip)) & ~7;
	if (cut.size > MOST_ROOM)
		cut.size = MOST_ROOM;
	cut.offset = bpf_ntohs(cut.ip.frag_off & FRAGMENT_OFFSET);
	cut.more = bpf_ntohs(cut.ip.frag_off) & MORE_FRAGMENTS;
	bpf_loop(MOST_PIECES, cut_piece, &cut, 0);
	if (!cut.ended)
		return drop(&packet->tuple, service_port, REASON_DROP_MALFORMED);
	return bpf_redirect(skb->ifindex, BPF_F_INGRESS);
}
