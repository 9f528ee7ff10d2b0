import { faults, type Mutant } from './mutant.ts';

const packets = 'bpf/tc.test.ts';
const sockets = 'bpf/connect.test.ts';
const maps = 'native/map.test.ts';
const wire = 'bpf/wire.test.ts';

/** Faults of what is compiled: the BPF programs, and the addon with its face. */
export const programs: readonly Mutant[] = [
  ...faults('bpf/checksum.h', packets, [
    [
      'a word of an IPv6 address is left out of the sum',
      'word_change(old->words[1], new->words[1])',
      'word_change(old->words[1], old->words[1])',
    ],
  ]),
  ...faults('bpf/nat.h', packets, [
    [
      'the checksum is not told of new ports',
      'checksum_offset(packet), from, into, flags | sizeof(into))',
      'checksum_offset(packet), from, from, flags | sizeof(into))',
    ],
    [
      'the IPv4 header keeps its old checksum',
      'header.check = check_after(ip->check, change);',
      'header.check = ip->check;',
    ],
    [
      'a datagram without a checksum gets one',
      '__u64 flags = is_tcp(packet) ? 0 : BPF_F_MARK_MANGLED_0;',
      '__u64 flags = 0;',
    ],
  ]),
  ...faults('bpf/check.h', packets, [
    ['programs take another half for the check word', 'checksum->sum >> 32', 'checksum->sum >> 31'],
  ]),
  ...faults('bpf/frontend.h', packets, [
    ['a row of frontends need not prove itself', 'if (frontend_check(key, copy) == copy->check)', 'if (key)'],
  ]),
  ...faults('bpf/flow.h', packets, [
    [
      'a row is used at any hook: the key of the way back has the same one',
      'twin->hook = flow->flags & (FLOW_HAIRPIN | FLOW_MASQUERADE) ? key->hook : ((key->hook - 1) ^ 1) + 1;',
      'twin->hook = key->hook;',
    ],
    [
      'a flow that is over takes the way back of another with it',
      'if (other && is_twin_of(other, key))\n\t\tdelete_row(flows, &twin);',
      'if (other)\n\t\tdelete_row(flows, &twin);',
    ],
  ]),
  ...faults('bpf/tc.bpf.c', packets, [
    [
      'to_pod looks for the rows of from_pod',
      'parse_transport(skb, ETH_HLEN, HOOK_TO_POD, &packet)',
      'parse_transport(skb, ETH_HLEN, HOOK_FROM_POD, &packet)',
    ],
  ]),
  ...faults('bpf/choose.h', packets, [
    ['a pod that reaches itself gets its own address for a peer', 'flow->source = packet->tuple.destination;', ''],
    [
      'a drop and a reject change places',
      'frontend->flags & FRONTEND_HAS_ENDPOINT ? REASON_DROP_NO_LOCAL_ENDPOINT',
      '!(frontend->flags & FRONTEND_HAS_ENDPOINT) ? REASON_DROP_NO_LOCAL_ENDPOINT',
    ],
    [
      'TCP that did not begin here is taken for a beginning',
      'return is_connection(packet) ? is_start(packet) : packet->piece != LATER_PIECE;',
      'return packet->piece != LATER_PIECE;',
    ],
    [
      'a UDP flow stays with a backend that left',
      'return is_removed(flow->service_port, &flow->destination, flow->destination_port) ||',
      'return is_removed(0, &flow->destination, flow->destination_port) ||',
    ],
  ]),
  ...faults('bpf/flow.h', wire, [
    ['a masqueraded flow waits for its replies at to_wire', '(FLOW_HAIRPIN | FLOW_MASQUERADE)', 'FLOW_HAIRPIN'],
  ]),
  ...faults('bpf/masquerade.h', wire, [
    ['a privileged port is kept', 'bpf_ntohs(flow->source_port) >= 1024 && ', ''],
    ['the number of a NodePort is kept', '!is_node_port(&search->ports.reply)', 'true'],
    ['the port of a socket of the node is kept', '!socket_has(search->skb, &search->ports.reply)', 'true'],
  ]),
  ...faults('bpf/hop.h', wire, [
    ['a packet lives for ever', 'ipv4.ttl--;', ''],
    ['an IPv6 packet lives for ever', 'ipv6[1]--;', ''],
  ]),
  ...faults('bpf/route.h', wire, [
    ['who is at the end of its hops goes on', 'if (hop_limit(skb, packet) <= 1)\n\t\treturn HOPS_ENDED;', ''],
    ['a packet that does not fit goes on', '&flow->destination, length, &route', '&flow->destination, 0, &route'],
    ['the source is of no row where the kernel does not tell', 'if (!config.fib_source || ', 'if ('],
  ]),
  ...faults('bpf/choose.h', wire, [
    ['source ranges are for other families', '.prefix_length = 32 + 128', '.prefix_length = 128'],
    [
      'whoever is outside the source ranges may ask',
      'if (!is_in_source_ranges(frontend, &packet->tuple.source))',
      'if (false)',
    ],
    ['NodePorts are everywhere', 'if (is_node_address(&key.address)) {', 'if (true) {'],
    [
      'all ports of an external address are ours',
      'owner == FOUND && frontend->flags & FRONTEND_ADDRESS',
      'owner == FOUND',
    ],
  ]),
  ...faults('bpf/wire.bpf.c', wire, [
    ['frames of others are translated', 'if (skb->pkt_type != PACKET_HOST)', 'if (false)'],
    [
      'a backend here sees the node',
      '	case WAY_LOCAL:\n\t\tflow->flags &= FLOW_EXIT | FLOW_COUNTED;\n\t\treturn 0;\n',
      '',
    ],
    [
      'a lost connection ends in silence',
      'return reject(skb, packet, frontend.service_port, REASON_REJECT_NO_FLOW);',
      'return skb ? TC_ACT_SHOT : TC_ACT_OK;',
    ],
    [
      'what nobody translated leaves the node',
      'return drop(&packet->tuple, frontend.service_port, REASON_DROP_UNTRANSLATED);',
      'return TC_ACT_UNSPEC;',
    ],
    [
      'an address that no Service has leaves the node',
      'return drop(&packet->tuple, 0, REASON_DROP_UNALLOCATED);',
      'return TC_ACT_UNSPEC;',
    ],
  ]),
  ...faults('bpf/flow_replace.h', packets, [
    ['a port used again leaves the way back of the connection before', 'delete_row(flows, &before);', ''],
    ['a port used again takes the way back of another', '&reply, &old, BPF_NOEXIST)', '&reply, &old, BPF_ANY)'],
  ]),
  ...faults('bpf/schedule.h', packets, [
    [
      'the last backend of a pool is never chosen',
      '(__u64)bpf_get_prandom_u32() * pool->count) >> 32), backend)',
      '(__u64)bpf_get_prandom_u32() * (pool->count > 1 ? pool->count - 1 : 1)) >> 32), backend)',
    ],
  ]),
  ...faults('bpf/pool.h', packets, [
    [
      'session affinity holds a client to a backend that left',
      ' || !pool_contains(pool.start, pool.count, &wanted))',
      ')',
    ],
    ['session affinity has no end', 'seconds_since(old->seen) >= frontend->affinity_seconds', '!old'],
    [
      'a Local policy chooses from all',
      'return has_local_pool(frontend, outside) ? frontend->local : frontend->any;',
      'return frontend->any;',
    ],
  ]),
  ...faults('bpf/reject.h', packets, [
    [
      'the RST acknowledges one byte too little',
      'bpf_ntohl(old.seq) + old.syn + old.fin + data',
      'bpf_ntohl(old.seq) + data',
    ],
  ]),
  ...faults('native/map.ts', maps, [['noexist overwrites', 'noexist: 1, exist: 2', 'noexist: 0, exist: 2']]),
  ...faults('native/src/map.c', maps, [
    ['a key that is too long reaches the kernel', 'if (size == want)', 'if (size >= want)'],
  ]),
  ...faults('bpf/flow.h', packets, [
    ['no hint of the row for the way back', 'flow_hint_set(reply, tentative);', '(void)reply;'],
    ['no hint of the row for the way there', 'flow_hint_set(forward, tentative);', '(void)forward;'],
    [
      'what got no answer in the rows of an older flow stays as long as an established one',
      'else if (tentative || !(flow->state & FLOW_REPLIED))',
      'else if (tentative)',
    ],
  ]),
  ...faults('bpf/flow_begin.h', packets, [
    [
      'a second flow over one backend takes the way back of the first',
      'if (reply_key_is_taken(reply, key, &row))\n\t\treturn false;',
      'flow_delete(reply);',
    ],
    ['no hint that half_open has rows', 'flow_hint_both(key, reply, true);', 'flow_hint_both(key, reply, false);'],
  ]),
  ...faults('bpf/flow_state.h', packets, [
    [
      'a flow is established before its client answered',
      'return flow->state & FLOW_REPLIED && !(flow->flags & FLOW_REPLY) &&',
      'return flow &&',
    ],
    [
      'the way a bridge took is never learnt',
      'if (source_mac && is_zero_mac(twin->next_hop))',
      'if (!source_mac && is_zero_mac(twin->next_hop))',
    ],
    [
      'traffic one way lets the way back die',
      'if (seconds_between(twin->seen, now) > ONE_WAY_SECONDS)',
      'if (!twin->seen)',
    ],
    ['an evicted row does not come back', 'if (!twin) { /* evicted', 'if (!twin && tentative) { /* evicted'],
  ]),
  ...faults('bpf/state.h', packets, [
    ['rows of the generation before do not count', 'if (row || !config.takes_over)', 'if (row || before)'],
    [
      'what is forgotten comes back from the generation before',
      'if (config.takes_over)\n\t\tbpf_map_delete_elem(before, key);',
      'use(!before);',
    ],
  ]),
  ...faults('bpf/connect.bpf.c', sockets, [
    [
      'an unconnected socket keeps a backend that left',
      'is_removed(peer.service_port, &peer.address, peer.port))',
      'is_removed(0, &peer.address, peer.port))',
    ],
    ['the peer of a socket is its backend', 'if (peer_find(socket_reverse, &key, &peer))', 'if (ipv6 && !ctx)'],
    [
      'an unconnected socket changes its backend',
      'if (sends && remembered_choice(call, frontend, backend))',
      'if (sends && !backend && remembered_choice(call, frontend, backend))',
    ],
    [
      'a port that is not the Service’s is let through',
      'return refuse(&call.frontend, frontend.service_port, REASON_REJECT_UNDEFINED_PORT);',
      'return ALLOW;',
    ],
    [
      'without an endpoint the caller waits',
      'return refuse(&call.frontend, frontend.service_port, REASON_REJECT_NO_ENDPOINT);',
      'return ALLOW;',
    ],
  ]),
  ...faults('bpf/socket.h', sockets, [
    [
      'peers of the generation before do not count',
      'struct socket_peer *row = take_row(map, before, key);',
      'struct socket_peer *row = bpf_map_lookup_elem(before ? map : before, key);',
    ],
    ['IPv6 addresses lose a word', 'ctx->user_ip6[2] = address->words[2];', 'ctx->user_ip6[2] = address->words[1];'],
    ['a refusal says EPERM', 'bpf_set_retval(-ECONNREFUSED);', ''],
  ]),
  ...faults('bpf/asked.h', sockets, [
    ['pods with tc are served by the socket, too', 'if (call->in_host || !node->pods_at_tc)', 'if (!node || call)'],
    ['the node’s sockets are left to tc', 'if (call->in_host || !node->pods_at_tc)', 'if (!node->pods_at_tc)'],
    [
      'all pods are one affine client',
      'cookie = bpf_get_netns_cookie(ctx);',
      'cookie = config.host_netns_cookie + !ctx;',
    ],
  ]),
];
