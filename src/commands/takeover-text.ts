import type { Connections } from '../takeover/connections.ts';
import type { Survey } from '../takeover/survey.ts';
import { columns } from './columns.ts';
import { factText } from './diff-text.ts';
import type { Direction } from './takeover.ts';

/** What `takeover -o json` prints. */
export type TakeoverDocument = ReturnType<typeof takeoverDocument>;

/** A plain value of what was seen and done. */
export function takeoverDocument(
  generation: string,
  { agent, running, rules, disagreements, policies, connections, natKept, settings }: Survey,
  direction: Direction,
): {
  readonly generation: string;
  readonly agent: { readonly pid: number | null; readonly silence: string };
  readonly running: readonly { readonly pid: number | null; readonly isPod: boolean; readonly text: string }[];
  readonly rules: readonly { readonly flavour: string; readonly family: number; readonly places: number }[];
  readonly disagreements: Survey['disagreements'];
  readonly policies: Survey['policies'];
  readonly leftovers: readonly { readonly where: string; readonly chains: number }[];
  readonly obstacles: readonly string[];
  readonly connections: Connections | null;
  readonly natKept: boolean;
  readonly sysctls: Survey['settings'];
} & Direction {
  return {
    generation,
    agent: { pid: agent.pid, silence: agent.silence },
    running,
    rules: rules.peers.map(({ flavour, family, served }) => ({ flavour, family, places: served.size })),
    disagreements,
    policies,
    leftovers: [
      ...rules.nftFamilies.map((family) => ({
        where: `nftables, table ${family === 4 ? 'ip' : 'ip6'} kube-proxy`,
        chains: 0,
      })),
      ...rules.leftovers.map(({ tools, leftover }) => ({
        where: `${tools.flavour}, IPv${tools.family}, table ${leftover.table}`,
        chains: leftover.chains.length,
      })),
      ...rules.sets.map((set) => ({ where: `ipset ${set}`, chains: 0 })),
    ].filter(({ where, chains }) => chains > 0 || !where.startsWith('iptables')),
    obstacles: rules.obstacles,
    connections: connections?.counts ?? null,
    natKept,
    sysctls: settings,
    ...direction,
  };
}

/** More differences than a person reads are counted. */
const TOLD = 50;

export function takeoverText(document: TakeoverDocument): string {
  return [
    rulesText(document),
    differencesText(document),
    policiesText(document),
    connectionsText(document),
    sysctlsText(document),
    ...document.obstacles.map((obstacle) => `note: ${obstacle}\n`),
    endText(document),
  ].join('');
}

function rulesText({ rules, leftovers }: TakeoverDocument): string {
  if (rules.length === 0 && leftovers.length === 0) return 'nothing of kube-proxy is here\n';
  const read = rules.map(({ flavour, family, places }) => `${flavour}, IPv${family}: ${places} places\n`);
  const left = leftovers.map(({ where, chains }) => `to remove: ${where}${chains > 0 ? `, ${chains} chains` : ''}\n`);
  return `kube-proxy's rules:\n${[...read, ...left].map((line) => `  ${line}`).join('')}`;
}

const signs = { 'kube-proxy': '-', bpfsvc: '+', both: '~' } as const;
const changes = { 'kube-proxy': 'removed', bpfsvc: 'added', both: 'changed' } as const;

function differencesText({ disagreements, rules }: TakeoverDocument): string {
  if (rules.length === 0) return '';
  if (disagreements.length === 0) return 'both serve the same: no difference\n';
  const lines = disagreements.slice(0, TOLD).map(({ known, flavour, service, place, facts }) => {
    const line = `  ${signs[known]} ${service === '' ? place : `${service}  ${place}`}  (${flavour})`;
    return [line, ...facts.map((fact) => `      ${factText(changes[known], fact)}`)].join('\n');
  });
  const more = disagreements.length > TOLD ? `  and ${disagreements.length - TOLD} more\n` : '';
  return `differences, - only kube-proxy, + only bpfsvc, ~ otherwise:\n${lines.join('\n')}\n${more}`;
}

function policiesText({ policies }: TakeoverDocument): string {
  if (policies.length === 0) return '';
  const rows = policies.map(({ flavour, family, policy, kubeProxy, bpfsvc }) => [
    policy,
    `${flavour}, IPv${family}`,
    kubeProxy,
    bpfsvc,
  ]);
  return `\n${columns(['POLICY', 'RULES', 'KUBE-PROXY', 'BPFSVC'], rows)}`;
}

function connectionsText({ connections, natKept }: TakeoverDocument): string {
  const kept = natKept ? '; rules that keep address translation are there' : '';
  if (connections === null) return `\nconnections of kube-proxy: cannot be counted here${kept}\n`;
  const { tcp, udp, sctp } = connections;
  return `\nconnections of kube-proxy that live on: ${tcp} TCP, ${udp} UDP, ${sctp} SCTP${kept}\n`;
}

function sysctlsText({ sysctls }: TakeoverDocument): string {
  if (sysctls.length === 0) return '';
  const rows = sysctls.map(({ name, value, now, reason }) => [name, value, now, reason]);
  return `\n${columns(['SYSCTL', 'VALUE', 'NOW', 'BECAUSE'], rows)}\n`;
}

function endText({ hindrances, done, notes, direction }: TakeoverDocument): string {
  if (hindrances.length > 0) return hindrances.map((one) => `in the way: ${one}\n`).join('');
  if (done === null) return `nothing is in the way ${direction}\n${notes.map((note) => `note: ${note}\n`).join('')}`;
  const lines = [...done, ...notes.map((note) => `note: ${note}`)];
  return lines.length === 0 ? 'nothing was left to do\n' : `${lines.join('\n')}\n`;
}
