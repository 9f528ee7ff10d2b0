import { faults, type Mutant } from './mutant.ts';

const model = 'src/model/*.test.ts';
const plan = 'src/plan/*.test.ts';

/** Faults of what a node offers to the outside. */
export const outside: readonly Mutant[] = [
  ...faults('src/model/places.ts', model, [
    [
      'an address of a family without clusterIP is served',
      'service.clusterIPs.some((clusterIP) => familyOf(clusterIP) === family)',
      'service.clusterIPs.length > 0',
    ],
    [
      'the unspecified address is served, and so every nodePort',
      '/^(0\\.0\\.0\\.0$|127\\.|22[4-9]\\.|23\\d\\.|::1?$|ff..:)/',
      '/^(127\\.|22[4-9]\\.|23\\d\\.|ff..:)/',
    ],
  ]),
  ...faults('src/model/source-ranges.ts', model, [
    ['ranges of another family close this one', 'familyOf(address) === family);\n  if (ranges', 'true);\n  if (ranges'],
    [
      'a load balancer IP may not ask where the node may',
      'return [...ranges, ...own.map((address) => ({ address, prefixLength: family === 4 ? 32 : 128 }))];',
      'return ranges;',
    ],
  ]),
  ...faults('src/model/frontends.ts', model, [
    ['an externalIP is guarded too', 'service.loadBalancerIPs.includes(address) &&', ''],
    [
      'internalTrafficPolicy Local keeps outside traffic on the node too',
      "if (kind === 'cluster') return internalLocal",
      'if (internalLocal) return internalLocal',
    ],
    [
      'a Service that keeps outside traffic on the node is served as any other',
      "return externalLocal ? 'outside' : 'nobody';",
      "return 'nobody';",
    ],
  ]),
  ...faults('src/model/claims.ts', model, [
    [
      'an older externalIP takes a clusterIP as such',
      'return Number(isCluster(b)) - Number(isCluster(a)) || compareSeniority(a, b);',
      'return compareSeniority(a, b);',
    ],
    [
      'a nodePort is claimed by nobody',
      'if (number > 0) keys.add',
      "if (number > 0 && place.kind !== 'node') keys.add",
    ],
  ]),
  ...faults('src/plan/tables.ts', plan, [
    [
      'a frontend is guarded before its ranges are there',
      "  'source_ranges',\n  'wires',\n  'source_classes',\n  'frontends',\n",
      "  'wires',\n  'source_classes',\n  'frontends',\n  'source_ranges',\n",
    ],
  ]),
  ...faults('src/plan/scope.ts', plan, [
    [
      'who holds a nodePort is not looked for',
      'for (const place of servedPlaces(service)) {',
      "for (const place of servedPlaces(service).filter(({ kind }) => kind === 'cluster')) {",
    ],
  ]),
  ...faults('src/kernel/node-ports.ts', 'src/kernel/node-ports.test.ts', [
    ['all addresses are loopback too', '(cidr.prefixLength > 0 && ', '('],
  ]),
  ...faults('src/kernel/wires.ts', 'src/kernel/wires.test.ts', [
    ['a wire is sent from by an address that leaves', 'own.find(({ flags }) => (flags & DISCOURAGED) === 0) ?? ', ''],
  ]),
];
