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
      'return !same_address(&backend->address, &packet->tuple.source);',
      'return true;',
    ],
    [
      'what comes in by a wire of pods is outside',
      'packet->tuple.hook == HOOK_FROM_POD || packet->of_pods',
      'packet->tuple.hook == HOOK_FROM_POD',
    ],
    ['who the agent knows is outside', 'return class ? *class : SOURCE_OUTSIDE;', 'return SOURCE_OUTSIDE;'],
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
