/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#pragma once
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include "config.h"

/*
 * Headers of a frame. Each parser checks bounds itself, says -1 for what is not ours and leaves such a frame
 * alone: other networks, IPv6 packets with IPv4-mapped addresses (they would meet the rows of IPv4), frames whose
 * VLAN tag is kept beside the data (they belong to the VLAN device). Here is the way of the usual packet; odd.h has the
 * rest.
 */

enum piece {
	WHOLE,
	FIRST_PIECE, /* of a datagram or segment in pieces; it has the transport header */
	LATER_PIECE, /* its ports are what `fragments` remembers */
};

struct packet {
	struct flow_key tuple; /* as on the wire, with the hook it was seen at */
	__u32 l3;	       /* offsets of the headers from the start: 14, or 0 without a link header */
	__u32 l4;
	__be32 id; /* of what came in pieces */
	__u8 ipv6;
	__u8 tcp_flags; /* byte 13 of the TCP header; 0 for UDP; of an SCTP INIT those of a SYN */
	__u8 piece;	/* enum piece */
	__u8 of_pods;	/* 1: it came in by a wire that has WIRE_PODS */
};

#define TCP_FLAG_FIN_BIT 0x01
#define TCP_FLAG_SYN_BIT 0x02
#define TCP_FLAG_RST_BIT 0x04
#define TCP_FLAG_ACK_BIT 0x10

#define MAPPED_PREFIX bpf_htonl(0xffff)
#define FRAGMENT_BITS bpf_htons(0x3fff) /* more fragments, or an offset */
#define FRAGMENT_OFFSET bpf_htons(0x1fff)

PURE void map_ipv4(struct address *address, __be32 ipv4)
{
	address->words[0] = 0;
	address->words[1] = 0;
	address->words[2] = MAPPED_PREFIX;
	address->words[3] = ipv4;
}

PURE bool is_mapped(const struct address *a)
{
	return !a->words[0] && !a->words[1] && a->words[2] == MAPPED_PREFIX;
}

/*
 * Bounds of what can be read directly. In assembly, since the compiler knows these fields as 32 bit numbers
 * and would copy them as such, which makes a number of the pointer.
 */
PURE void *data_of(struct __sk_buff *skb)
{
	void *data;

	asm volatile("%0 = *(u32 *)(%1 + %2)" : "=r"(data) : "r"(skb), "i"(__builtin_offsetof(struct __sk_buff, data)));
	return data;
}

PURE void *end_of(struct __sk_buff *skb)
{
	void *end;

	asm volatile("%0 = *(u32 *)(%1 + %2)"
		     : "=r"(end)
		     : "r"(skb), "i"(__builtin_offsetof(struct __sk_buff, data_end)));
	return end;
}

/* The first bytes in one piece and readable directly; pulls them together if they are not. */
PURE bool linear(struct __sk_buff *skb, __u32 bytes)
{
	if (data_of(skb) + bytes <= end_of(skb))
		return true;
	return bpf_skb_pull_data(skb, bytes) == 0;
}

/* What the device says that it carries: its link header, or where there is none what the kernel made of the first byte. */
PURE __be16 network_protocol(struct __sk_buff *skb, __u32 l3)
{
	struct ethhdr *eth = data_of(skb);

	if (!l3)
		return skb->protocol;
	return (void *)(eth + 1) > end_of(skb) ? 0 : eth->h_proto;
}

/* What an IP header tells: addresses, protocol, pieces, where the next header begins. -1: not one that we know. */
PURE int take_ipv4(struct packet *packet, const struct iphdr *ip)
{
	if (ip->version != 4 || ip->ihl < 5)
		return -1;
	packet->ipv6 = 0;
	packet->tuple.protocol = ip->protocol;
	if (ip->frag_off & FRAGMENT_BITS) {
		packet->piece = ip->frag_off & FRAGMENT_OFFSET ? LATER_PIECE : FIRST_PIECE;
		packet->id = bpf_htonl(bpf_ntohs(ip->id));
	}
	map_ipv4(&packet->tuple.source, ip->saddr);
	map_ipv4(&packet->tuple.destination, ip->daddr);
	packet->l4 = packet->l3 + ip->ihl * 4;
	return 0;
}

PURE int take_ipv6(struct packet *packet, const struct ipv6hdr *ip)
{
	packet->ipv6 = 1;
	packet->tuple.protocol = ip->nexthdr;
	__builtin_memcpy(&packet->tuple.source, &ip->saddr, sizeof(struct address));
	__builtin_memcpy(&packet->tuple.destination, &ip->daddr, sizeof(struct address));
	packet->l4 = packet->l3 + sizeof(*ip);
	return is_mapped(&packet->tuple.source) || is_mapped(&packet->tuple.destination) ? -1 : 0;
}

/*
 * Addresses, protocol and what follows the IP header, be it TCP, UDP or not. `l3` is a constant: 14, or 0 on a device
 * without a link header. `packet` is all zero.
 */
PURE int parse_ip(struct __sk_buff *skb, __u32 l3, struct packet *packet)
{
	void *data, *end;
	__be16 network;

	if (skb->vlan_present || !linear(skb, l3 + sizeof(struct iphdr)))
		return -1;
	network = network_protocol(skb, l3);
	data = data_of(skb);
	end = end_of(skb);
	if (data + l3 + sizeof(struct iphdr) > end)
		return -1;
	packet->l3 = l3;
	if (network == bpf_htons(ETH_P_IP))
		return take_ipv4(packet, data + l3);
	if (network == bpf_htons(ETH_P_IPV6)) {
		if (!linear(skb, l3 + sizeof(struct ipv6hdr)))
			return -1;
		data = data_of(skb);
		end = end_of(skb);
		if (data + l3 + sizeof(struct ipv6hdr) > end)
			return -1;
		return take_ipv6(packet, data + l3);
	}
	return -1;
}

#define ODD 1

/*
 * A whole TCP or UDP packet, so that its tuple is a flow's. ODD: IP, but not that simple; `packet` is what parse_odd()
 * begins with.
 */
PURE int parse_transport(struct __sk_buff *skb, __u32 l3, __u8 hook, struct packet *packet)
{
	__u32 l4, header;
	void *data, *end;

	if (parse_ip(skb, l3, packet))
		return -1;
	packet->tuple.hook = hook;
	packet->tuple.device = hook == HOOK_FROM_POD || hook == HOOK_TO_POD ? skb->ifindex : 0;
	if (packet->piece || (packet->tuple.protocol != IPPROTO_TCP && packet->tuple.protocol != IPPROTO_UDP))
		return ODD;
	l4 = packet->l4;
	header = packet->tuple.protocol == IPPROTO_TCP ? sizeof(struct tcphdr) : sizeof(struct udphdr);
	if (!linear(skb, l4 + header))
		return -1;
	data = data_of(skb);
	end = end_of(skb);
	if (l4 > l3 + 60 || data + l4 + sizeof(struct udphdr) > end)
		return -1;
	packet->tuple.source_port = *(__be16 *)(data + l4);
	packet->tuple.destination_port = *(__be16 *)(data + l4 + 2);
	packet->tcp_flags = 0;
	if (packet->tuple.protocol == IPPROTO_TCP) {
		if (data + l4 + sizeof(struct tcphdr) > end)
			return -1;
		packet->tcp_flags = *(__u8 *)(data + l4 + 13);
	}
	return 0;
}

PURE bool is_tcp(const struct packet *packet)
{
	return packet->tuple.protocol == IPPROTO_TCP;
}

PURE bool is_sctp(const struct packet *packet)
{
	return packet->tuple.protocol == IPPROTO_SCTP;
}

/* A protocol that a Service port may name. */
PURE bool has_ports(const struct packet *packet)
{
	return is_tcp(packet) || packet->tuple.protocol == IPPROTO_UDP || is_sctp(packet);
}

/* Has it a beginning that a packet shows? */
PURE bool is_connection(const struct packet *packet)
{
	return packet->tuple.protocol != IPPROTO_UDP;
}

/* The first packet of a connection: SYN alone, or INIT. */
PURE bool is_start(const struct packet *packet)
{
	__u8 bits = TCP_FLAG_SYN_BIT | TCP_FLAG_ACK_BIT | TCP_FLAG_RST_BIT | TCP_FLAG_FIN_BIT;

	return (packet->tcp_flags & bits) == TCP_FLAG_SYN_BIT;
}
