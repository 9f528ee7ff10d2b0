/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * from_wire before the kernel has made anything of a frame: packets of masqueraded flows that live are rewritten and sent
 * on from the driver. Whatever is not as plain as can be goes up as it came, and wire.bpf.c does with it what it does
 * without this program: what begins or ends a flow, too. So all that is said of flows there holds here.
 *
 * Only for frames that are complete. A checksum that a device or the receiver was to finish cannot be told here, and it
 * would be wrong afterwards: drivers that hand such frames to XDP are not attached to (src/kernel/xdp.ts).
 */
#include "checksum.h"
#include "choose.h"
#include "fib.h"

/* In one of so many seconds a packet of a busy flow goes up, where sending it makes the kernel ask its neighbour again:
 * bpf_fib_lookup() is content with one that was not heard of for hours. */
#define UNASKED_SECONDS 16

PURE void *frame_of(struct xdp_md *xdp)
{
	return (void *)(long)xdp->data;
}

PURE void *frame_end(struct xdp_md *xdp)
{
	return (void *)(long)xdp->data_end;
}

/* Bytes of IP if the packet is whole TCP or UDP without anything between the headers, and lives on for another hop; else 0. */
PURE __u32 parse_plain(struct xdp_md *xdp, struct packet *packet)
{
	void *data = frame_of(xdp), *end = frame_end(xdp), *transport;
	struct ethhdr *eth = data;
	__u32 length, headers;

	if ((void *)(eth + 1) > end)
		return 0;
	packet->l3 = ETH_HLEN;
	if (eth->h_proto == bpf_htons(ETH_P_IP)) {
		struct iphdr *ip = data + ETH_HLEN;

		if ((void *)(ip + 1) > end || take_ipv4(packet, ip) || ip->ihl != 5 || packet->piece || ip->ttl <= 1)
			return 0;
		length = bpf_ntohs(ip->tot_len);
		transport = ip + 1;
	} else if (eth->h_proto == bpf_htons(ETH_P_IPV6)) {
		struct ipv6hdr *ip = data + ETH_HLEN;

		if ((void *)(ip + 1) > end || take_ipv6(packet, ip) || ip->hop_limit <= 1)
			return 0;
		length = sizeof(*ip) + bpf_ntohs(ip->payload_len);
		transport = ip + 1;
	} else {
		return 0;
	}
	headers = packet->l4 - ETH_HLEN;
	if (packet->tuple.protocol == IPPROTO_TCP) {
		struct tcphdr *tcp = transport;

		if ((void *)(tcp + 1) > end)
			return 0;
		packet->tcp_flags = *(__u8 *)(transport + 13);
		headers += sizeof(*tcp);
	} else if (packet->tuple.protocol == IPPROTO_UDP) {
		if (transport + sizeof(struct udphdr) > end)
			return 0;
		headers += sizeof(struct udphdr);
	} else {
		return 0;
	}
	packet->tuple.source_port = *(__be16 *)transport;
	packet->tuple.destination_port = *(__be16 *)(transport + 2);
	packet->tuple.hook = HOOK_FROM_WIRE;
	return length < headers || data + ETH_HLEN + length > end ? 0 : length;
}

/* What a switch floods, or who listens to everything, is another's. The kernel tells them apart only later. */
PURE bool is_for_this_device(struct xdp_md *xdp)
{
	__u32 ifindex = xdp->ingress_ifindex;
	const struct wire *wire = bpf_map_lookup_elem(&wires, &ifindex);
	struct ethhdr *eth = frame_of(xdp);

	return wire && (void *)(eth + 1) <= frame_end(xdp) && same_mac(eth->h_dest, wire->mac);
}

/*
 * Is the packet tc's to judge, although its flow is known? What begins or ends a flow is told and counted there; so is
 * what leaves a backend. A flow that is not busy gains nothing here, and asks for its neighbour there.
 */
PURE bool is_for_tc(const struct packet *packet, const struct flow *flow, __u32 age)
{
	if (packet->tcp_flags & (TCP_FLAG_SYN_BIT | TCP_FLAG_FIN_BIT | TCP_FLAG_RST_BIT))
		return true;
	if ((flow->flags & ~(FLOW_REPLY | FLOW_COUNTED)) != FLOW_MASQUERADE || is_closing(flow->state))
		return true;
	if (age > 1 || (age && bpf_get_prandom_u32() % UNASKED_SECONDS == 0))
		return true;
	return may_be_stale(packet, age) && is_stale(packet, flow, age);
}

/* The way to where the packet goes, which fits: XDP_TX or XDP_REDIRECT, with the addresses of the link in `link`. */
static __noinline int way_out(struct xdp_md *xdp, const struct packet *packet, const struct flow *flow, __u32 length,
			      struct ethhdr *link)
{
	struct bpf_fib_lookup fib = {};
	const struct wire *wire;

	fib_question(packet, &flow->destination, &fib);
	fib.ifindex = xdp->ingress_ifindex;
	fib.tot_len = length;
	if (bpf_fib_lookup(xdp, &fib, sizeof(fib), 0) != BPF_FIB_LKUP_RET_SUCCESS)
		return XDP_PASS;
	wire = bpf_map_lookup_elem(&wires, &fib.ifindex);
	if (!wire || (!packet->ipv6 && wire->flags & WIRE_ROUTE_MTUS))
		return XDP_PASS;
	__builtin_memcpy(link->h_dest, fib.dmac, ETH_ALEN);
	__builtin_memcpy(link->h_source, fib.smac, ETH_ALEN);
	if (wire->flags & WIRE_RETURNS_FRAMES && fib.ifindex == xdp->ingress_ifindex)
		return XDP_TX;
	return wire->flags & WIRE_TAKES_FRAMES ? bpf_redirect(fib.ifindex, 0) : XDP_PASS;
}

/* `change`: of the addresses, which the checksums of transports cover too. Writes all or nothing. */
PURE int rewrite_transport(void *transport, void *end, const struct packet *packet, const struct flow *to, __u64 change)
{
	struct ports *ports = transport, new = {to->source_port, to->destination_port};
	struct ports old = {packet->tuple.source_port, packet->tuple.destination_port};

	change += word_change(*(__u32 *)&old, *(__u32 *)&new);
	if (is_tcp(packet)) {
		struct tcphdr *tcp = transport;

		if ((void *)(tcp + 1) > end)
			return -1;
		tcp->check = check_after(tcp->check, change);
	} else {
		struct udphdr *udp = transport;

		if ((void *)(udp + 1) > end)
			return -1;
		/* 0 says that there is none, and a computed 0 is written as 0xffff */
		if (udp->check)
			udp->check = check_after(udp->check, change) ?: 0xffff;
	}
	*ports = new;
	return 0;
}

/* Gives the packet the addresses and ports of `to`, takes a hop of its life, and puts it on the link. */
PURE int rewrite_frame(struct xdp_md *xdp, const struct packet *packet, const struct flow *to,
		       const struct ethhdr *link)
{
	__u64 change = address_change(&packet->tuple.source, &to->source) +
		       address_change(&packet->tuple.destination, &to->destination);
	void *data = frame_of(xdp), *end = frame_end(xdp);

	if (packet->ipv6) {
		struct ipv6hdr *ip = data + ETH_HLEN;

		if (rewrite_transport(ip + 1, end, packet, to, change))
			return -1;
		__builtin_memcpy(&ip->saddr, &to->source, sizeof(ip->saddr));
		__builtin_memcpy(&ip->daddr, &to->destination, sizeof(ip->daddr));
		ip->hop_limit--;
	} else {
		struct iphdr *ip = data + ETH_HLEN;

		if (rewrite_transport(ip + 1, end, packet, to, change))
			return -1;
		ip->saddr = to->source.words[3];
		ip->daddr = to->destination.words[3];
		ip->ttl--;
		ip->check = check_after(ip->check, change + (__u16)~bpf_htons(0x0100));
	}
	__builtin_memcpy(data, link, 2 * ETH_ALEN);
	return 0;
}

SEC("xdp")
int from_wire_xdp(struct xdp_md *xdp)
{
	struct packet packet = {};
	struct flow flow = {};
	struct ethhdr link = {};
	__u32 length, age = 0;
	int verdict;

	length = parse_plain(xdp, &packet);
	if (!length || flow_find(&packet.tuple, &flow, IN_FLOWS, &age) != FOUND)
		return XDP_PASS;
	if (is_for_tc(&packet, &flow, age) || !is_for_this_device(xdp))
		return XDP_PASS;
	verdict = way_out(xdp, &packet, &flow, length, &link);
	if (verdict == XDP_PASS)
		return XDP_PASS;
	if (flow_is_due(&packet, &flow, age))
		use(flow_touch(&packet, &flow, false, 0));
	return rewrite_frame(xdp, &packet, &flow, &link) ? XDP_PASS : verdict;
}

char _license[] SEC("license") = "Dual BSD/GPL";
