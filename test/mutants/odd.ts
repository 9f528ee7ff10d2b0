import { faults, type Mutant } from './mutant.ts';

const pieces = 'bpf/fragment.test.ts';
const errors = 'bpf/icmp.test.ts';
const answers = 'bpf/reject.test.ts';
const wire = 'bpf/odd-wire.test.ts';
const cutting = 'bpf/cut.test.ts';

/** Faults of what is done to packets that are not a whole TCP or UDP packet right behind the IP header. */
export const odd: readonly Mutant[] = [
  ...faults('bpf/cut.h', cutting, [
    ['what must not be cut is', 'cut.ip.frag_off & DONT_FRAGMENT ||', 'false ||'],
    ['every piece gets the options of the first', 'cut.ip.ihl != 5)', 'false)'],
    ['a checksum is left for a piece to finish', 'if (check && check == fold(', 'if (false && check == fold('],
    ['the last piece promises more', '(last ? cut->more : MORE_FRAGMENTS)', 'MORE_FRAGMENTS'],
    ['pieces of a piece begin at 0', 'cut.offset = bpf_ntohs(cut.ip.frag_off & FRAGMENT_OFFSET);', ''],
    ['later pieces overtake the first one', 'packet->piece == FIRST_PIECE', 'packet->piece == LATER_PIECE'],
  ]),
  ...faults('bpf/route.h', cutting, [
    ['the rest leaves with each piece', 'trim(skb, packet, length, route.mtu) || ', ''],
    ['a narrow route is one byte wider', 'length <= *mtu)', 'length <= *mtu + 1)'],
    ['an mtu of 0 is one', '!*mtu || ', ''],
  ]),
  ...faults('bpf/packet.h', pieces, [
    [
      'a later piece is taken for a first one',
      'packet->piece = ip->frag_off & FRAGMENT_OFFSET ? LATER_PIECE : FIRST_PIECE;',
      'packet->piece = FIRST_PIECE;',
    ],
  ]),
  ...faults('bpf/odd.h', pieces, [
    ['a seventh extension header is stepped over', '#define MAX_EXTENSIONS 6', '#define MAX_EXTENSIONS 7'],
    [
      'a routing header that leads on is stepped over',
      '(protocol == IPPROTO_ROUTING && extension.segments_left)',
      '(protocol == IPPROTO_ROUTING && extension.segments_left > 99)',
    ],
    [
      'extension headers inside pieces are stepped over',
      'if (packet->piece || i == MAX_EXTENSIONS)',
      'if (i == MAX_EXTENSIONS)',
    ],
    [
      'half a TCP header is enough',
      'return bpf_skb_load_bytes(skb, packet->l4 + 13, &packet->tcp_flags, 1) ? ODD_ALONE : ODD_TUPLE;',
      'return ODD_TUPLE;',
    ],
  ]),
  ...faults('bpf/odd.h', errors, [
    [
      'redirects are translated',
      'return type == ICMP_UNREACHABLE ||',
      'return type == 5 || type == ICMP_UNREACHABLE ||',
    ],
  ]),
  ...faults('bpf/fragment.h', pieces, [
    ['all pieces between two hosts are one packet’s', '	key->id = packet->id;\n', ''],
    ['TCP and UDP share their pieces', '	key->protocol = packet->tuple.protocol;\n', ''],
  ]),
  ...faults('bpf/nat.h', pieces, [
    ['the ports of a first piece are forgotten', 'use(fragment_remember(packet));', ''],
    [
      'extension headers make room for ports',
      'if (packet->l4 == packet->l3 + sizeof(struct ipv6hdr))',
      'if (packet->l4 != packet->l3)',
    ],
    [
      'a later piece keeps the checksum of its IPv4 header',
      'return bpf_l3_csum_replace(skb, packet->l3 + __builtin_offsetof(struct iphdr, check), 0, change, 0) |',
      'return',
    ],
  ]),
  ...faults('bpf/tc.bpf.c', pieces, [
    ['a piece without a beginning goes on', 'packet->tuple.hook == HOOK_FROM_POD && !is_tcp', '!skb && !is_tcp'],
  ]),
  ...faults('bpf/icmp.h', errors, [
    [
      'a quoted IPv4 header keeps its checksum',
      'error = bpf_l3_csum_replace(skb, quote->l3 + __builtin_offsetof(struct iphdr, check), 0, change, 0) |',
      'error =',
    ],
    ['a quoted transport header keeps its checksum', '*sum = rewrite_quoted_checksum(skb, quote, change, *sum);', ''],
    ['an ICMP checksum is not told of what is quoted', 'bpf_l4_csum_replace(skb, offset, 0, sum, 0)', 'sum == 0x12345'],
    [
      'an ICMPv6 checksum is not told of its addresses',
      'error |= bpf_l4_csum_replace(skb, offset, 0, change, BPF_F_PSEUDO_HDR);',
      'error |= change == 0x12345;',
    ],
    ['a quote without a UDP checksum gets one', '(!is_tcp(quote) && !check))', 'false)'],
    [
      'a router’s error names the Service',
      'same_address(&packet->tuple.source, &quote.tuple.source) ? &flow->source : &packet->tuple.source',
      '&flow->source',
    ],
    [
      'an error may be for another than the sender of what it quotes',
      '!same_address(&packet->tuple.destination, &quote.tuple.destination)',
      'packet->l4 == 0',
    ],
    [
      'errors about flows that are over are translated',
      'if (found != FOUND && found != TENTATIVE)',
      'if (found == NONE)',
    ],
    ['a quoted later piece has ports', 'ip.ihl < 5 ||\n	    ip.frag_off & FRAGMENT_OFFSET', 'ip.ihl < 5'],
  ]),
  ...faults('bpf/reject.h', answers, [
    ['everything is answered, however much', 'if (!tokens->left)', 'if (tokens->left > REJECTS_AT_ONCE)'],
    ['a bucket is never filled again', 'tokens->left += earned;', ''],
    ['an answer goes to many', 'first < 224', 'first < 240'],
    ['a frame to all is answered', 'skb->pkt_type != PACKET_MULTICAST &&', 'skb->pkt_type != 99 &&'],
    ['the padding of a frame is quoted', 'length < there ? length : there', 'length < there ? there : there'],
    [
      'an RST acknowledges IP options',
      'data = ip_length(skb, packet) - (packet->l4 - packet->l3) - old.doff * 4;',
      'data = ip_length(skb, packet) - answer_header(packet) - old.doff * 4;',
    ],
    ['an error is longer than every host must take', '#define ICMP_LENGTH 576', '#define ICMP_LENGTH 580'],
    [
      'a quote is summed without its end',
      'at < ICMPV6_LENGTH && at < length; at += CHUNK',
      'at < ICMPV6_LENGTH && at + CHUNK < length; at += CHUNK',
    ],
  ]),
  ...faults('bpf/reject.h', wire, [
    ['a later piece is answered', 'return packet->piece != LATER_PIECE && ', 'return '],
  ]),
  ...faults('bpf/wire.bpf.c', wire, [
    [
      'a piece without a beginning leaves',
      'if (found != FOUND || frontend->flags & FRONTEND_ADDRESS)',
      'if (found != FOUND || (frontend->flags & FRONTEND_ADDRESS && packet->piece != LATER_PIECE))',
    ],
  ]),
];
