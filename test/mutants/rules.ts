import { faults, type Mutant } from './mutant.ts';

const fuzz = 'test/fuzz/fuzz.test.ts';

/** Rules read wrongly: random worlds tell. */
export const rules: readonly Mutant[] = [
  ...faults('src/model/endpoints.ts', fuzz, [
    [
      'zone hints go before those of nodes',
      'if (byNode !== null) return byNode;',
      'if (byNode !== null && !node.zone) return byNode;',
    ],
    [
      'hints count although one endpoint has none',
      'if (!ready.every((endpoint) => hintsOf(endpoint).length > 0)) return null;',
      'if (!ready.some((endpoint) => hintsOf(endpoint).length > 0)) return null;',
    ],
    [
      'who terminates is chosen beside who is ready',
      'return preferred.length > 0 ? preferred : fallback;',
      'return [...preferred, ...fallback];',
    ],
    [
      'who only terminates is nobody at all',
      'hasAny: ready.length > 0 || leaving.length > 0',
      'hasAny: ready.length > 0',
    ],
  ]),
  ...faults('src/kube/slices.ts', fuzz, [
    ['of one endpoint twice, who terminates wins', '(terminating ? 0 : 4)', '(terminating ? 4 : 0)'],
  ]),
  ...faults('src/model/frontends.ts', fuzz, [
    [
      'source ranges guard every external address',
      "service.loadBalancerIPs.includes(address) && kind !== 'cluster'",
      "kind !== 'cluster'",
    ],
    [
      'internalTrafficPolicy is for clients from outside',
      "if (kind === 'cluster') return internalLocal ? 'everybody' : 'nobody';",
      "if (kind === 'cluster') return internalLocal ? 'outside' : 'nobody';",
    ],
  ]),
  ...faults('src/model/claims.ts', fuzz, [
    ['the younger has the address', 'return bornA < bornB ? -1 : 1;', 'return bornA < bornB ? 1 : -1;'],
  ]),
  ...faults('src/model/source-ranges.ts', fuzz, [
    [
      'ranges of the other family close this one',
      'if (ranges.length === 0 || ranges.some(',
      'if (service.sourceRanges.length === 0 || ranges.some(',
    ],
    ['a load balancer IP is no source of its own', 'return [...ranges, ...own.map(', 'return [...ranges, ...[].map('],
  ]),
  ...faults('bpf/pool.h', fuzz, [
    [
      'affinity outlives its backend’s place in the set',
      '!pool_contains(pool.start, pool.count, &wanted))',
      '!pool.count)',
    ],
    ['affinity forgets', 'bpf_map_update_elem(&affinity, &key, &fresh, BPF_ANY);', '(void)fresh;'],
  ]),
  ...faults('bpf/choose.h', fuzz, [
    [
      'nobody at all is the same as nobody here',
      'return frontend->flags & FRONTEND_HAS_ENDPOINT ? REASON_DROP_NO_LOCAL_ENDPOINT',
      'return frontend ? REASON_DROP_NO_LOCAL_ENDPOINT',
    ],
    [
      'a pod that is its own backend keeps its source',
      '		flow->source = packet->tuple.destination;\n		flow->flags |= FLOW_HAIRPIN;',
      '		flow->flags |= FLOW_HAIRPIN;',
    ],
  ]),
];
