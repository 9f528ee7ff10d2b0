import type { Met } from './compare.ts';
import { familyOf } from './reference-services.ts';

const sets = ['internal Cluster', 'internal Local', 'external Cluster', 'external Local'] as const;
const each = (hook: string, verdicts: readonly string[], policies: readonly string[]): string[] =>
  verdicts.flatMap((verdict) => policies.map((policy) => `${hook} ${verdict} ${policy}`));

/**
 * Who may have the last word on what. A socket hook cannot drop: what it lets pass is dropped on its way out. Pods and the node
 * are not bound by externalTrafficPolicy, so that only source ranges drop what they send to an external address.
 */
const possible: readonly string[] = [
  ...each('connect', ['dnat', 'reject'], sets),
  ...each('connect', ['reject', 'pass'], ['none']),
  ...each('from_pod', ['dnat', 'reject'], sets),
  ...each('from_pod', ['drop'], ['internal Local', 'external Cluster', 'external Local']),
  ...each('from_pod', ['reject', 'pass'], ['none']),
  ...each('from_wire', ['dnat', 'reject'], sets),
  ...each('from_wire', ['drop'], ['internal Local', 'external Cluster', 'external Local']),
  ...each('from_wire', ['reject', 'pass'], ['none']),
  ...each('to_wire', ['drop'], ['internal Cluster', 'internal Local', 'external Cluster', 'external Local', 'none']),
  ...each('to_wire', ['pass'], ['none']),
  /* SCTP of the node to itself */
  ...each('none', ['pass'], ['none']),
];

/** What the reference may name as having decided. */
const rules: readonly string[] = [
  'clusterIP',
  'loadBalancer',
  'externalIP',
  'nodePort',
  'undefined port of a clusterIP',
  'unallocated address of a ServiceCIDR',
  'no Service',
  'in source ranges',
  'out of source ranges',
  'no endpoint',
  'no local endpoint',
  'short circuit',
  'terminating endpoints',
  'local terminating endpoints',
  'node hints',
  'zone hints',
  'hints that do not count',
  'affinity',
  'random',
  'rr',
  'lc',
  'client hash',
  'address hash',
  'hairpin',
  'masquerade',
  'source kept',
  'a pod at the wire',
  'SCTP',
  'SCTP of the node',
];

/** What was met, how often. */
export class Coverage {
  worlds = 0;
  flows = 0;
  readonly #cells = new Map<string, number>();

  add({ hook, flow, expected: { verdict, policy, rules: met } }: Met): void {
    this.flows += 1;
    const family = familyOf(flow.to);
    for (const cell of [`${hook} ${verdict} ${policy}`, ...new Set(met)]) {
      const key = `${cell} IPv${family}`;
      this.#cells.set(key, (this.#cells.get(key) ?? 0) + 1);
    }
  }

  #hits(cell: string, family: 4 | 6): number {
    return this.#cells.get(`${cell} IPv${family}`) ?? 0;
  }

  /** Cells that nothing was ever in. */
  missing(): string[] {
    const cells = [...possible, ...rules].flatMap((cell) => ([4, 6] as const).map((family) => ({ cell, family })));
    return cells
      .filter(({ cell, family }) => this.#hits(cell, family) === 0)
      .map(({ cell, family }) => `${cell} IPv${family}`);
  }

  /** For people: a line a cell, a column a family. */
  table(): string {
    const known = new Set([...possible, ...rules]);
    const others = [...this.#cells.keys()].map((key) => key.slice(0, -5)).filter((cell) => !known.has(cell));
    const line = (cell: string) =>
      `  ${cell.padEnd(40)}${[4, 6].map((family) => String(this.#hits(cell, family as 4)).padStart(8)).join('')}`;
    return [`  ${''.padEnd(40)}    IPv4    IPv6`, ...[...known, ...new Set(others)].map(line)].join('\n');
  }
}
