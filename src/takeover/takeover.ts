import { endSockets, untranslatedSockets } from '../kernel/service-sockets.ts';
import { keptConnections } from './connections.ts';
import type { FoundRules } from './found-rules.ts';
import { keepNat, letNatGo } from './kept-nat.ts';
import { removalText } from './leftovers.ts';
import { kubeProxyTable } from './nft-rules.ts';
import type { Family } from './peer.ts';
import type { Survey } from './survey.ts';
import { findIptables, findTool, runTool } from './tools.ts';

/** Why taking over would break something, each with its cure; empty: nothing stands in the way. */
export function hindrances(
  { agent, running, disagreements, rules }: Survey,
  { acceptDifferences }: { readonly acceptDifferences: boolean },
): string[] {
  return [...agentHindrances(agent), ...running.map(whyRunning), ...missing(), ...rules.obstacles.filter(isUnread)];

  function missing(): string[] {
    const lost = disagreements.filter(({ known }) => known === 'kube-proxy');
    if (lost.length === 0 || acceptDifferences) return [];
    const places = lost.slice(0, 3).map(({ place }) => place);
    const more = lost.length > places.length ? ` and ${lost.length - places.length} more` : '';
    return [
      `kube-proxy serves what bpfsvc does not: ${places.join(', ')}${more}; if these rules are merely old, --accept-differences`,
    ];
  }
}

function isUnread(obstacle: string): boolean {
  return obstacle.includes('cannot be read');
}

function agentHindrances({ pid, status, silence }: Survey['agent']): string[] {
  if (pid === null) return ["no agent runs: start 'bpfsvc run' first"];
  if (status === null) return [`the agent does not tell how it is: ${silence}`];
  const { synced, refusedRows, lastPass, healthz, unattached } = status;
  return [
    ...(synced && lastPass !== null ? [] : ['the agent has not read and programmed everything yet: wait for it']),
    ...(refusedRows > 0 ? [`the kernel refuses ${refusedRows} rows: see the agent's log`] : []),
    ...(unattached.length > 0
      ? [`the agent could not attach at ${unattached.map(({ where }) => where).join(', ')}`]
      : []),
    ...(healthz.report.healthy ? [] : ["the agent is behind with changes: see 'bpfsvc status'"]),
  ];
}

function whyRunning({ text, isPod }: Survey['running'][number]): string {
  const cure = isPod
    ? "keep its DaemonSet off this node, as 'bpfsvc takeover --help' says"
    : 'stop it, and keep it from being started again';
  return `kube-proxy is alive (${text}), and would write its rules again: ${cure}`;
}

/** What was done, in the order in which it was done. */
export interface Done {
  /** Rules that do nothing hold address translation for kube-proxy's connections. */
  readonly keepsNat: boolean;
  readonly removed: readonly string[];
  /** Chains that stay, since somebody else needs them. */
  readonly kept: readonly { readonly where: string; readonly because: string }[];
  /** Connected UDP sockets of the node that ask by a Service's own address, and that nobody would translate any more. */
  readonly endedSockets: number;
}

/** Other programs change rules, too: what was read a moment ago may be gone. */
const ATTEMPTS = 5;

/**
 * Removes what kube-proxy left. Each step is one transaction of the kernel's, and the first keeps established connections,
 * so that it may end in the middle and be begun anew at any time.
 */
export async function takeOver({ rules, isService }: Survey, readAgain: () => Promise<FoundRules>): Promise<Done> {
  const families = familiesOf(rules);
  if (families.length > 0) await keepNat(families, await findIptables());
  const removed: string[] = [];
  let now = rules;
  for (let attempt = 1; ; attempt += 1) {
    try {
      await removeRules(now, removed);
      break;
    } catch (error) {
      if (attempt === ATTEMPTS) throw error;
      now = await readAgain();
    }
  }
  return {
    keepsNat: families.length > 0,
    removed,
    kept: keptChains(rules),
    endedSockets: await endForgotten(isService),
  };
}

/**
 * A socket that was connected before the hooks were there sends to the Service's address for as long as it lives, and once
 * it rests for two minutes the kernel forgets who its backend was. What it still knows is left alone.
 */
async function endForgotten(isService: Survey['isService']): Promise<number> {
  const asking = await untranslatedSockets(isService);
  const known = asking.length > 0 ? await keptConnections(isService) : null;
  if (known === null) return 0;
  return await endSockets(asking.filter(({ local, remote }) => !known.has(local, remote)));
}

/** Those in which kube-proxy left anything that goes. */
export function familiesOf({ nftFamilies, leftovers }: FoundRules): Family[] {
  const own = leftovers.filter(({ leftover }) => leftover.chains.length > 0).map(({ tools }) => tools.family);
  return ([4, 6] as const).filter((family) => nftFamilies.includes(family) || own.includes(family));
}

async function removeRules({ nftFamilies, leftovers, sets }: FoundRules, removed: string[]): Promise<void> {
  if (nftFamilies.length > 0) {
    const names = nftFamilies.map((family) => `${family === 4 ? 'ip' : 'ip6'} ${kubeProxyTable}`);
    await runTool(findTool('nft') as string, [names.map((name) => `delete table ${name}\n`).join('')]);
    removed.push(...names.map((name) => `nftables table ${name}`));
  }
  for (const { tools, leftover } of leftovers) {
    if (leftover.chains.length === 0) continue;
    await runTool(tools.restore, ['--noflush', '-w', '10'], removalText(leftover));
    const counts = `${leftover.chains.length} chains and ${leftover.jumps.length} jumps to them`;
    removed.push(`${tools.flavour}, IPv${tools.family}, table ${leftover.table}: ${counts}`);
  }
  for (const set of sets) {
    await runTool(findTool('ipset') as string, ['destroy', set]);
    removed.push(`ipset ${set}`);
  }
}

function keptChains({ leftovers }: FoundRules): Done['kept'] {
  return leftovers.flatMap(({ tools, leftover }) =>
    leftover.kept.map(({ chain, because }) => ({
      where: `${tools.flavour}, IPv${tools.family}, table ${leftover.table}: chain ${chain}`,
      because,
    })),
  );
}

/** Once nothing needs the kept rules any more. Returns whether they were there, and are gone. */
export async function finish({ rules, connections, natKept }: Survey): Promise<boolean> {
  if (!natKept || familiesOf(rules).length > 0 || connections === null) return false;
  const { tcp, udp, sctp } = connections.counts;
  const isOver = tcp + udp + sctp === 0;
  return isOver && (await letNatGo(await findIptables()));
}
