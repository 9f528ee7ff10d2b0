import { faults, type Mutant } from './mutant.ts';

const nodeports = 'bpf/nodeport.test.ts';
const removals = 'src/plan/removals.test.ts';

/** Faults of what sockets do about NodePorts and outside addresses, and of how UDP leaves a backend. */
export const sockets: readonly Mutant[] = [
  ...faults('bpf/connect.bpf.c', nodeports, [
    [
      'the any-address meets the rows of NodePorts',
      '	any_to_loopback(&call.frontend.address);\n',
      '	if (!connected && false)\n		any_to_loopback(&call.frontend.address);\n',
    ],
    [
      'source ranges stop nobody',
      '|| !may_ask(&call, &frontend, node))',
      '|| (!may_ask(&call, &frontend, node) && !node))',
    ],
    [
      'a socket bound to loopback is sent to a pod',
      'if (is_out_of_reach(ctx, call, backend, node))',
      'if (is_out_of_reach(ctx, call, backend, node) && !node)',
    ],
  ]),
  ...faults('bpf/asked.h', nodeports, [
    [
      'a pod’s loopback is the node’s',
      'if (!row || (!call->in_host && row->flags & NODE_ADDRESS_LOCALHOST))',
      'if (!row)',
    ],
    [
      'the ports that an outside address does not have are refused',
      ' && !(frontend->flags & FRONTEND_EXTERNAL_ADDRESS)',
      '',
    ],
    [
      'a pod asks Services with source ranges as the node',
      'return call->in_host && !is_zero_address(&key.source)',
      'return !is_zero_address(&key.source)',
    ],
    [
      'a socket bound to loopback does not reach the node itself',
      '!same_address(&backend->address, &node->node_ipv4) &&',
      'same_address(&backend->address, &backend->address) &&',
    ],
  ]),
  ...faults('bpf/asked.h', 'test/netns/udp.test.ts', [
    [
      'a pod that is its own backend may not answer itself',
      'return !call->in_host && node->pods_at_tc && call->frontend.protocol == IPPROTO_UDP;',
      'return !call && node->pods_at_tc;',
    ],
  ]),
  ...faults('bpf/bind.h', nodeports, [
    [
      'a NodePort can be bound on an address of the node',
      'if (!is_any(bound) && !bpf_map_lookup_elem(&node_addresses, bound))',
      'if (!is_any(bound))',
    ],
    ['a NodePort cannot be bound by a pod', '|| bpf_get_netns_cookie(ctx) != config.host_netns_cookie)', ')'],
    ['the port of post_bind is taken for network order', 'bpf_htons(ctx->src_port)', 'ctx->src_port'],
    [
      'a socket on :: takes NodePorts of IPv4',
      '!(is_zero_address(bound) && takes_nodeport(&ipv4, port, protocol, &frontend))',
      'true',
    ],
  ]),
  ...faults('bpf/pool.h', 'bpf/tc.test.ts', [
    ['nothing is removed', 'return has_removed_backends() && ', 'return key.zero && '],
    [
      'a backend removed from one Service is from all',
      '.service_port = service_port, .port = port}',
      '.service_port = service_port & 0, .port = port}',
    ],
  ]),
  ...faults('bpf/choose.h', 'bpf/tc.test.ts', [
    [
      'a flow stays with the Service that gave its address away',
      '(age && flow->service_port && has_new_owner(packet, flow))',
      '(age > 9999 && flow->service_port && has_new_owner(packet, flow))',
    ],
  ]),
  ...faults('src/plan/removals.ts', removals, [
    [
      'who terminates is removed',
      'endpoints.filter(({ ready, serving }) => ready || serving)',
      'endpoints.filter(({ ready }) => ready)',
    ],
    ['who is back stays removed', 'if (serves(removal)) removals.delete(key)', 'if (serves(removal)) continue'],
    [
      'a removal is forgotten while a flow points at it',
      'if (!inUse.has(key) && removed < settled)',
      'if (removed < settled)',
    ],
    ['a removal is never forgotten', 'if (!inUse.has(key) && removed < settled)', 'if (false)'],
    ['TCP counts too', "filter(({ protocol }) => protocol === 'UDP') ?? []", 'filter(() => true) ?? []'],
  ]),
];
