/** The recorded rules of kube-proxy, in the kernel of a node of a lab. */
import { readFileSync } from 'node:fs';
import { run } from '../netns/command.ts';
import type { Node } from '../netns/lab.ts';
import type { Flavour } from './kube-proxy.ts';

const recorded = (name: string): string => readFileSync(new URL(`rules/${name}`, import.meta.url), 'utf8');

/** Packets are counted by objects that kube-proxy makes elsewhere. */
const withoutCounters = (text: string): string => text.replaceAll(/ -m nfacct --nfacct-name +\S+/g, '');

/** As kube-proxy would have written them, but for what it counts. Puts them anew where they are. */
export async function loadRules(node: Node, flavour: Flavour): Promise<void> {
  if (flavour === 'nftables') {
    const clear = ['ip', 'ip6'].map((family) => `table ${family} kube-proxy\ndelete table ${family} kube-proxy\n`);
    await run(node, ['nft', '-f', '-'], { input: clear.join('') + recorded('kube-proxy.nft') });
    return;
  }
  for (const program of ['iptables', 'ip6tables'] as const) {
    const restore = `${program}-${flavour === 'iptables-nft' ? 'nft' : 'legacy'}-restore`;
    await run(node, [restore], { input: withoutCounters(recorded(`${program}-save.txt`)) });
  }
}

/** All rules of everybody, without counters and dates. */
export async function allRules(node: Node): Promise<string> {
  const saves = ['iptables-legacy-save', 'ip6tables-legacy-save', 'iptables-nft-save', 'ip6tables-nft-save'];
  const texts = await Promise.all(saves.map((save) => run(node, [save])));
  const lines = texts
    .join('')
    .split('\n')
    .filter((line) => !line.startsWith('#'));
  const chains = lines.map((line) => line.replace(/ \[\d+:\d+\]$/, ''));
  return [...chains, await run(node, ['nft', '-s', 'list', 'tables'])].join('\n');
}
