/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#pragma once
#include "checksum.h"
#include "fragment.h"

/*
 * Rewriting a packet. Transport checksums go through bpf_l4_csum_replace, which alone knows whether the
 * checksum in the packet is complete, partial (the device or the receiver finishes it) or summed by the card:
 * arithmetic on the bytes is right in only one of these cases.
 */

/* `l3` is 14 or 0, but the verifier of old kernels forgets that on the way through memory. */
#define LINK_HEADER_BITS 0xf

PURE __u32 checksum_offset(const struct packet *packet)
{
	return packet->l4 +
	       (is_tcp(packet) ? __builtin_offsetof(struct tcphdr, check) : __builtin_offsetof(struct udphdr, check));
}

PURE long rewrite_ipv4(struct __sk_buff *skb, const struct packet *packet, const struct flow *to, __u64 flags)
{
	/* not packed, which would be written byte by byte: the packet's part begins with `check` */
	struct {
		__u16 unused;
		__be16 check;
		__be32 source;
		__be32 destination;
		struct ports ports;
	} header = {.source = to->source.words[3], .destination = to->destination.words[3]};
	__u32 change = fold_to_32(word_change(packet->tuple.source.words[3], header.source) +
				  word_change(packet->tuple.destination.words[3], header.destination));
	struct iphdr *ip;
	long error;

	ip = data_of(skb) + (packet->l3 & LINK_HEADER_BITS);
	if ((void *)(ip + 1) > end_of(skb))
		return -1;
	header.check = check_after(ip->check, change);
	header.ports = (struct ports){to->source_port, to->destination_port};

	error = bpf_l4_csum_replace(skb, checksum_offset(packet), 0, change, BPF_F_PSEUDO_HDR | flags);
	if (packet->l4 == packet->l3 + sizeof(struct iphdr)) /* no options between addresses and ports: one store */
		return error | bpf_skb_store_bytes(skb, packet->l3 + 10, &header.check, 14, 0);
	error |= bpf_skb_store_bytes(skb, packet->l3 + 10, &header.check, 10, 0);
	return error | bpf_skb_store_bytes(skb, packet->l4, &header.ports, sizeof(header.ports), 0);
}

PURE long rewrite_ipv6(struct __sk_buff *skb, const struct packet *packet, const struct flow *to, __u64 flags)
{
	struct {
		struct address source;
		struct address destination;
		struct ports ports;
	} header = {to->source, to->destination, {to->source_port, to->destination_port}};
	__u32 change = fold_to_32(address_change(&packet->tuple.source, &to->source) +
				  address_change(&packet->tuple.destination, &to->destination));
	long error = bpf_l4_csum_replace(skb, checksum_offset(packet), 0, change, BPF_F_PSEUDO_HDR | flags);

	/* The helper assumes an IPv4 header, whose own checksum takes the change back. Without one a card's
	 * sum over the packet would be wrong afterwards; with no such sum this does nothing. */
	bpf_csum_update(skb, change);
	if (packet->l4 == packet->l3 + sizeof(struct ipv6hdr))
		return error | bpf_skb_store_bytes(skb, packet->l3 + 8, &header, sizeof(header), 0);
	error |= bpf_skb_store_bytes(skb, packet->l3 + 8, &header, 2 * sizeof(struct address), 0);
	return error | bpf_skb_store_bytes(skb, packet->l4, &header.ports, sizeof(header.ports), 0);
}

/* The IP header alone: of pieces without a transport header, and of ICMP. */
static __noinline long rewrite_addresses(struct __sk_buff *skb, const struct packet *packet,
					 const struct address *source, const struct address *destination)
{
	struct {
		struct address source;
		struct address destination;
	} new;
	__s64 change;

	if (!packet || !source || !destination)
		return -1;
	new.source = *source;
	new.destination = *destination;
	change = bpf_csum_diff((void *)&packet->tuple.source, sizeof(new), (void *)&new, sizeof(new), 0);
	if (packet->ipv6) {
		bpf_csum_update(skb, change);
		return bpf_skb_store_bytes(skb, packet->l3 + 8, &new, sizeof(new), 0);
	}
	return bpf_l3_csum_replace(skb, packet->l3 + __builtin_offsetof(struct iphdr, check), 0, change, 0) |
	       bpf_skb_store_bytes(skb, packet->l3 + 12, &new.source.words[3], 4, 0) |
	       bpf_skb_store_bytes(skb, packet->l3 + 16, &new.destination.words[3], 4, 0);
}

/* Gives the packet the addresses and ports of `to`. 0, or the packet is damaged and must be dropped. */
PURE long rewrite(struct __sk_buff *skb, const struct packet *packet, const struct flow *to)
{
	struct ports old = {packet->tuple.source_port, packet->tuple.destination_port};
	struct ports new = {to->source_port, to->destination_port};
	/* UDP over IPv4 may have no checksum: 0 stays 0, and a computed 0 becomes 0xffff */
	__u64 flags = is_tcp(packet) ? 0 : BPF_F_MARK_MANGLED_0;
	__u32 from = *(__u32 *)&old, into = *(__u32 *)&new;
	long error;

	if (packet->piece) {
		if (packet->piece == LATER_PIECE)
			return rewrite_addresses(skb, packet, &to->source, &to->destination);
		use(fragment_remember(packet));
	}
	/* the checksum of SCTP covers its ports and not the addresses, and there is no help to compute it */
	if (is_sctp(packet))
		return from == into ? rewrite_addresses(skb, packet, &to->source, &to->destination) : -1;
	error = packet->ipv6 ? rewrite_ipv6(skb, packet, to, flags) : rewrite_ipv4(skb, packet, to, flags);
	if (from != into)
		error |= bpf_l4_csum_replace(skb, checksum_offset(packet), from, into, flags | sizeof(into));
	return error;
}

/*
 * Sends the packet back to whoever sent it: what came in by a device goes out of it, what was about to go out of a wire
 * comes in by it.
 */
PURE int turn_around(struct __sk_buff *skb, const struct packet *packet)
{
	__u8 mac[2 * ETH_ALEN];

	if (packet->l3 &&
	    (bpf_skb_load_bytes(skb, 0, mac, sizeof(mac)) || bpf_skb_store_bytes(skb, 0, mac + ETH_ALEN, ETH_ALEN, 0) ||
	     bpf_skb_store_bytes(skb, ETH_ALEN, mac, ETH_ALEN, 0)))
		return TC_ACT_SHOT;
	return bpf_redirect(skb->ifindex, packet->tuple.hook == HOOK_TO_WIRE ? BPF_F_INGRESS : 0);
}
