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
      'if (!(outside && frontend->flags & FRONTEND_LOCAL_OUTSIDE))',
      'if (true)',
    ],
  ]),
  ...faults('bpf/connect.bpf.c', 'bpf/nodeport.test.ts', [
    ['sockets are outside', 'choose_backend(frontend, false, ', 'choose_backend(frontend, true, '],
  ]),
];
