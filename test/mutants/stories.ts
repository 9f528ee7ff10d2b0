import { faults, type Mutant } from './mutant.ts';

const stories = 'test/scenarios/stories.test.ts';

/** Faults that show only over time: in what a change leaves behind, after a restart, or in one order of objects. */
export const inStories: readonly Mutant[] = [
  ...faults('src/own-node.ts', stories, [
    ['the node moves to another zone and nobody notices', 'JSON.stringify([node.zone, ', 'JSON.stringify(['],
  ]),
  ...faults('src/model/claims.ts', stories, [
    [
      'the first to claim an address has it',
      'return nameA < nameB ? -1 : nameA > nameB ? 1 : 0;',
      'return nameA < nameB ? 1 : nameA > nameB ? -1 : 0;',
    ],
  ]),
  ...faults('src/kube/slices.ts', stories, [
    [
      'of an endpoint in two slices the first one is believed',
      'if (other === undefined || rank(endpoint) > rank(other))',
      'if (other === undefined)',
    ],
  ]),
  ...faults('src/plan/scope.ts', stories, [
    [
      'who left out an endpoint is not told when it is no Service any more',
      '  if (moved.size === 0) return;',
      '  if (moved.size >= 0) return;',
    ],
  ]),
  ...faults('src/keeper.ts', stories, [
    [
      'after a restart the kernel is taken for empty',
      'return inventory(tables);',
      'return inventory({ ...tables, frontends: new Map() });',
    ],
  ]),
  ...faults('bpf/pool.h', stories, [
    ['affinity holds for who left the pool', '!pool_contains(pool.start, pool.count, &wanted))', '!pool.count)'],
  ]),
  ...faults('bpf/choose.h', stories, [
    [
      'that nobody answers comes before the source ranges',
      'if (!is_in_source_ranges(frontend, &packet->tuple.source))',
      'if (pool_of(frontend, outside).count && !is_in_source_ranges(frontend, &packet->tuple.source))',
    ],
    [
      'undefined ports of every Service address are refused',
      'of_service = owner == FOUND && frontend->flags & FRONTEND_ADDRESS;',
      'of_service = owner == FOUND;',
    ],
    [
      'a nodePort goes before a Service at the same address',
      '	/* most connections that begin are to a Service */\n',
      '	if (is_node_address(&key.address))\n		key.address = any;\n',
    ],
  ]),
];
