import { faults, type Mutant } from './mutant.ts';

const policy = 'bpf/policy.test.ts';

/** Faults of what a Service means to whom. */
export const policies: readonly Mutant[] = [
  ...faults('bpf/pool.h', policy, [
    [
      'a policy for the outside holds for pods too',
      'outside ? FRONTEND_LOCAL_ONLY | FRONTEND_LOCAL_OUTSIDE : FRONTEND_LOCAL_ONLY;',
      'outside ? FRONTEND_LOCAL_ONLY | FRONTEND_LOCAL_OUTSIDE : FRONTEND_LOCAL_ONLY | FRONTEND_LOCAL_OUTSIDE;',
    ],
    [
      'nobody is outside',
      'outside ? FRONTEND_LOCAL_ONLY | FRONTEND_LOCAL_OUTSIDE : FRONTEND_LOCAL_ONLY;',
      'outside ? FRONTEND_LOCAL_ONLY : FRONTEND_LOCAL_ONLY;',
    ],
  ]),
  ...faults('bpf/choose.h', policy, [
    [
      'a backend of the local set may see the node',
      'return class == SOURCE_OUTSIDE && frontend->flags & FRONTEND_LOCAL_OUTSIDE;',
      'return false;',
    ],
    [
      'a pod behind a wire is its own client',
      '!is_masqueraded_always(frontend) && !same_address(&backend->address, &packet->tuple.source);',
      '!is_masqueraded_always(frontend) && packet && backend;',
    ],
    [
      'what comes in by a wire of pods is outside',
      'packet->tuple.hook == HOOK_FROM_POD || packet->of_pods',
      'packet->tuple.hook == HOOK_FROM_POD',
    ],
    [
      'who the agent knows is outside',
      'return class ? *class : SOURCE_OUTSIDE;',
      'return class ? SOURCE_OUTSIDE : SOURCE_OUTSIDE;',
    ],
  ]),
  ...faults('bpf/masquerade.h', 'bpf/masquerade-all.test.ts', [
    [
      'the way back is marked too',
      'config.masquerade_mark && (flow->flags & (FLOW_EXIT | FLOW_REPLY)) == FLOW_EXIT',
      'config.masquerade_mark && flow->flags & FLOW_EXIT',
    ],
    ['a pod sees any wire’s address', 'packet->ipv6 ? node->node_ipv6 : node->node_ipv4', 'packet->tuple.source'],
  ]),
  ...faults('bpf/wire.bpf.c', 'bpf/masquerade-all.test.ts', [
    ['what is marked leaves as it came', 'if (is_marked(skb) && may_begin(&packet))', 'if (false)'],
    ['a flow at its exit ends with the mark', 'flow.flags & (FLOW_REPLY | FLOW_EXIT)', 'flow.flags & (FLOW_REPLY)'],
  ]),
  ...faults('bpf/frontend.h', 'bpf/masquerade-all.test.ts', [
    [
      'externalTrafficPolicy Local does not show the client',
      'config.masquerade_mark && !(frontend->flags & FRONTEND_LOCAL_OUTSIDE)',
      'config.masquerade_mark && frontend',
    ],
  ]),
  ...faults('bpf/asked.h', 'bpf/nodeport.test.ts', [
    ['sockets of pods are masqueraded by nobody', 'if (is_masqueraded_always(frontend))', 'if (false)'],
  ]),
  ...faults('src/kube/families.ts', 'src/kube/families.test.ts', [
    ['clusterIPs count without ipFamilies', "spec.clusterIP !== '' && !(byHand && wantsBoth(spec))", 'false'],
  ]),
  ...faults('src/kernel/detector.ts', 'src/kernel/detector.test.ts', [
    ['a node’s pods are any pods', "are: 'own_pod' }", "are: 'pod' }"],
    [
      'clusterCIDR counts in every mode',
      "detector.mode === 'ClusterCIDR' ? detector.cidrs : []",
      "'cidrs' in detector ? detector.cidrs : podCidrs",
    ],
    ['the ports of the bridge do not count', '[link, links.find(({ ifindex }) => ifindex === link.master)]', '[link]'],
  ]),
  ...faults('bpf/connect.bpf.c', 'bpf/nodeport.test.ts', [
    ['sockets are outside', 'choose_backend(frontend, false, ', 'choose_backend(frontend, true, '],
  ]),
];
