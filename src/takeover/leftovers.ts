import type { Rule, Table } from './iptables-text.ts';

/** What of one table of iptables is kube-proxy's, and what can be taken away of it. */
export interface Leftover {
  readonly table: string;
  /** Chains that go. */
  readonly chains: readonly string[];
  /** Rules in chains of others that lead to these and go with them, as in '-D CHAIN SPEC'. */
  readonly jumps: readonly Rule[];
  /** Chains that stay, since somebody else's rule leads to them. */
  readonly kept: readonly KeptChain[];
}

export interface KeptChain {
  readonly chain: string;
  /** The rule that needs it, as iptables-save writes it. */
  readonly because: string;
}

/** Those of kube-proxy's iptables and IPVS modes. KUBE-FIREWALL, KUBE-KUBELET-CANARY, KUBE-IPTABLES-HINT and KUBE-MARK-DROP are the kubelet's. */
const chainNames: ReadonlySet<string> = new Set([
  'KUBE-SERVICES',
  'KUBE-EXTERNAL-SERVICES',
  'KUBE-NODEPORTS',
  'KUBE-POSTROUTING',
  'KUBE-MARK-MASQ',
  'KUBE-FORWARD',
  'KUBE-PROXY-FIREWALL',
  'KUBE-PROXY-CANARY',
  'KUBE-SOURCE-RANGES-FIREWALL',
  'KUBE-NODE-PORT',
  'KUBE-LOAD-BALANCER',
  'KUBE-IPVS-FILTER',
  'KUBE-IPVS-OUT-FILTER',
]);
const chainPattern = /^KUBE-(?:SVC|SVL|SEP|EXT|FW|XLB)-[A-Z2-7]{16}$/;

const builtIn: ReadonlySet<string> = new Set(['PREROUTING', 'INPUT', 'FORWARD', 'OUTPUT', 'POSTROUTING']);

export function isKubeProxyChain(chain: string): boolean {
  return chainNames.has(chain) || chainPattern.test(chain);
}

/** The sets of kube-proxy's IPVS mode. */
export function isKubeProxySet(name: string): boolean {
  return /^KUBE-(?:6-)?(?:LOOP-BACK|CLUSTER-IP|EXTERNAL-IP(?:-LOCAL)?|LOAD-BALANCER(?:-LOCAL|-FW|-SOURCE-IP|-SOURCE-CIDR)?|NODE-PORT-(?:LOCAL-)?(?:TCP|UDP|SCTP-HASH)|HEALTH-CHECK-NODE-PORT|IPVS-IPS)$/.test(
    name,
  );
}

/** A jump that kube-proxy itself writes: from a built-in chain, with a comment of its own or to its canary. */
function isOwnJump({ chain, words }: Rule): boolean {
  return builtIn.has(chain) && words.some((word, i) => words[i - 1] === '--comment' && /^kubernetes /.test(word));
}

/** One for each table that has anything of kube-proxy's. */
export function leftoversOf(tables: readonly Table[]): Leftover[] {
  return tables.flatMap((table) => {
    const own = table.chains.filter(isKubeProxyChain);
    if (own.length === 0) return [];
    const kept = keptChains(table);
    const jumps = table.rules.filter(
      (rule) => isKubeProxyChain(rule.target) && isOwnJump(rule) && !kept.has(rule.target),
    );
    return [
      {
        table: table.name,
        chains: own.filter((chain) => !kept.has(chain)),
        jumps,
        kept: [...kept].map(([chain, because]) => ({ chain, because })),
      },
    ];
  });
}

/**
 * Chain → why it stays. What a foreign rule leads to stays, with all that this leads to; and where marks are still set, the
 * chain that acts on them does.
 */
function keptChains({ chains, rules }: Table): Map<string, string> {
  const kept = new Map<string, string>();
  const keep = (chain: string, because: string): void => {
    if (!isKubeProxyChain(chain) || kept.has(chain)) return;
    kept.set(chain, because);
    for (const rule of rules) if (rule.chain === chain) keep(rule.target, because);
  };
  for (const rule of rules) {
    if (!isKubeProxyChain(rule.chain) && !isOwnJump(rule)) keep(rule.target, `-A ${rule.chain} ${rule.spec}`);
  }
  const mark = kept.get('KUBE-MARK-MASQ');
  if (mark !== undefined && chains.includes('KUBE-POSTROUTING')) keep('KUBE-POSTROUTING', mark);
  return kept;
}

/** Input for `iptables-restore --noflush`: all of a table in one transaction, or nothing of it. */
export function removalText({ table, chains, jumps }: Leftover): string {
  return [
    `*${table}`,
    ...chains.map((chain) => `:${chain} - [0:0]`),
    ...jumps.map(({ chain, spec }) => `-D ${chain} ${spec}`),
    ...chains.map((chain) => `-X ${chain}`),
    'COMMIT',
    '',
  ].join('\n');
}
