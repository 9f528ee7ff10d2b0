/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#pragma once
#include "reject.h"

/* What routing does with a packet, for those that go past it. */

/* Bytes of IP: of a super packet those of the largest packet that it becomes. */
PURE __u32 segment_length(struct __sk_buff *skb, const struct packet *packet)
{
	__u8 header = sizeof(struct udphdr);

	if (is_sctp(packet) && skb->gso_size)
		return 0; /* packets in one: each fits, for its sender knows how wide the way is */
	if (!skb->gso_size)
		return ip_length(skb, packet);
	if (is_tcp(packet)) {
		bpf_skb_load_bytes(skb, packet->l4 + 12, &header, sizeof(header));
		header = (header >> 4) * 4;
	}
	return packet->l4 - packet->l3 + header + skb->gso_size;
}

PURE __u8 hop_limit(struct __sk_buff *skb, const struct packet *packet)
{
	__u8 hops = 0;

	bpf_skb_load_bytes(skb, packet->l3 + (packet->ipv6 ? 7 : 8), &hops, sizeof(hops));
	return hops;
}

PURE long decrement_hop_limit(struct __sk_buff *skb, const struct packet *packet)
{
	struct {
		__u8 ttl;
		__u8 protocol;
		__be16 check;
	} ipv4;
	__u8 ipv6[2]; /* next header, hop limit */
	__u32 check;

	if (packet->ipv6) {
		if (bpf_skb_load_bytes(skb, packet->l3 + 6, ipv6, sizeof(ipv6)))
			return -1;
		ipv6[1]--;
		return bpf_skb_store_bytes(skb, packet->l3 + 6, ipv6, sizeof(ipv6), BPF_F_RECOMPUTE_CSUM);
	}
	if (bpf_skb_load_bytes(skb, packet->l3 + 8, &ipv4, sizeof(ipv4)))
		return -1;
	ipv4.ttl--;
	check = ipv4.check + bpf_htons(0x0100);
	ipv4.check = check + (check >= 0xffff); /* the header's sum stays what it was */
	return bpf_skb_store_bytes(skb, packet->l3 + 8, &ipv4, sizeof(ipv4), 0);
}
