import { faults, type Mutant } from './mutant.ts';

/** Faults of what the driver sends on by itself. */
export const xdp: readonly Mutant[] = [
  ...faults('bpf/xdp.bpf.c', 'bpf/xdp.test.ts', [
    ['XDP sends on an IPv4 packet on its last hop', 'packet->piece || ip->ttl <= 1', 'packet->piece || ip->ttl < 1'],
    ['XDP sends on an IPv6 packet on its last hop', '|| ip->hop_limit <= 1', '|| ip->hop_limit < 1'],
    ['XDP takes options for ports', ' || ip->ihl != 5', ''],
    ['XDP takes a piece for a whole', ' || packet->piece || ip->ttl', ' || ip->ttl'],
    ['XDP sends on what a frame does not hold', 'data + ETH_HLEN + length > end', 'false'],
    ['XDP sends on what is shorter than its headers', 'length < headers ||', 'headers > 9999 ||'],
    ["XDP sends on another's frame", 'same_mac(eth->h_dest, wire->mac)', 'true'],
    ['XDP sends on a FIN that tc never sees', 'TCP_FLAG_SYN_BIT | TCP_FLAG_FIN_BIT |', 'TCP_FLAG_SYN_BIT |'],
    ['XDP sends on a RST that tc never sees', ' | TCP_FLAG_RST_BIT))', '))'],
    ['XDP serves a flow that is closed', ' || is_closing(flow->state))', ')'],
    ['XDP keeps an idle flow from its neighbour', 'age > 1 || ', ''],
    ['XDP never asks for a neighbour again', 'bpf_get_prandom_u32() % UNASKED_SECONDS == 0', 'false'],
    [
      'XDP stays with a backend that left',
      'return may_be_stale(packet, age) && is_stale(packet, flow, age);',
      'return false;',
    ],
    ['XDP does not ask whether it fits', 'fib.tot_len = length;', 'fib.tot_len = length ? 0 : 1;'],
    ['XDP sends by a device that takes no frames', 'wire->flags & WIRE_TAKES_FRAMES ? ', 'true ? '],
    ['XDP sends back where that gets stuck', 'wire->flags & WIRE_RETURNS_FRAMES && ', ''],
    ['XDP minds no mtu of a route', ' || (!packet->ipv6 && wire->flags & WIRE_ROUTE_MTUS)', ''],
    ['XDP makes a checksum for UDP that has none', 'if (udp->check)', 'if (true)'],
    ['XDP says of a UDP checksum that there is none', ' ?: 0xffff', ''],
    ['XDP forgets the hop in the checksum', 'change + (__u16)~bpf_htons(0x0100)', 'change'],
    ['XDP leaves the source MAC', 'data, link, 2 * ETH_ALEN', 'data, link, ETH_ALEN'],
    ['XDP lets its flows age', '\t\tuse(flow_touch(&packet, &flow, false, 0));\n', '\t\treturn verdict;\n'],
  ]),
  ...faults('src/kernel/xdp.ts', 'src/kernel/xdp.test.ts', [
    ["somebody else's XDP program is not seen", ' && !own.has(link.ifindex)', ' && own.has(link.ifindex)'],
    ['software gets XDP unasked', "if (link.kind !== '') return", "if (link.kind === '-') return"],
    ['XDP does not mind VLANs', 'if (tagged.length > 0) return', 'if (tagged.length > 9) return'],
  ]),
  ...faults('src/kernel/attach.ts', 'src/kernel/attach.test.ts', [
    [
      'a driver without XDP is tried for ever',
      "if (hook.target.kind === 'xdp') leave(",
      "if (hook.pin === 'xdp') leave(",
    ],
    [
      'an XDP link is attached anew each time',
      "if (hook.target.kind === 'xdp') return info.kind === 'xdp';",
      "if (hook.target.kind === 'xdp') return false;",
    ],
  ]),
  ...faults('src/kernel/wires.ts', 'src/kernel/wires.test.ts', [
    ['a veth sends back to a peer that sleeps', "link.kind !== 'veth' && ", ''],
    ['a device of layer 3 takes frames', 'takesFrames: isEthernet && ', 'takesFrames: '],
  ]),
];
