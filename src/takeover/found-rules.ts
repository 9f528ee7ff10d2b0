import { existsSync } from 'node:fs';
import { hasIpvsDevice } from '../kernel/network.ts';
import { iptablesPeer } from './iptables-rules.ts';
import { parseSave } from './iptables-text.ts';
import { isKubeProxySet, type Leftover, leftoversOf } from './leftovers.ts';
import { type NftTable, parseNftList } from './nft-list.ts';
import { kubeProxyTable, nftPeer } from './nft-rules.ts';
import type { Family, Peer } from './peer.ts';
import { findIptables, findTool, type Iptables, legacyTables, runTool } from './tools.ts';

/** Everything of kube-proxy's that is in the kernel of this network namespace. */
export interface FoundRules {
  readonly peers: readonly Peer[];
  readonly leftovers: readonly { readonly tools: Iptables; readonly leftover: Leftover }[];
  /** Families that have nftables' table. */
  readonly nftFamilies: readonly Family[];
  /** ipsets of IPVS mode. */
  readonly sets: readonly string[];
  /** What is there and cannot be read here, or not be taken away: for people. */
  readonly obstacles: readonly string[];
}

export async function readRules(): Promise<FoundRules> {
  const tools = await findIptables();
  const texts = await Promise.all(tools.map(async (one) => ({ tools: one, tables: parseSave(await saved(one)) })));
  const nft = await readNft();
  const families = [4, 6] as const;
  const nftFamilies = families.filter((family) => nftPeer(family, nft) !== null);
  const peers = [
    ...nftFamilies.map((family) => nftPeer(family, nft)),
    ...texts.map(({ tools: { flavour, family }, tables }) => iptablesPeer(flavour, family, tables)),
  ];
  return {
    peers: peers.filter((peer) => peer !== null),
    leftovers: texts.flatMap(({ tools: one, tables }) =>
      leftoversOf(tables).map((leftover) => ({ tools: one, leftover })),
    ),
    nftFamilies,
    sets: await readSets(),
    obstacles: [...unreadable(tools), ...(await ipvs())],
  };
}

/** All of legacy's tables at once: without a name it asks only for those that are there. */
async function saved({ flavour, family, save }: Iptables): Promise<string> {
  if (flavour === 'iptables-legacy' && legacyTables(family).length === 0) return '';
  return await runTool(save, []);
}

async function readNft(): Promise<NftTable[]> {
  const nft = findTool('nft');
  if (nft === undefined) return [];
  const { nftables = [] } = JSON.parse(await runTool(nft, ['-j', 'list', 'tables'])) as { nftables?: object[] };
  const listed = nftables.flatMap((one) => ('table' in one ? [one.table as { family: string; name: string }] : []));
  const own = listed.filter(({ family, name }) => name === kubeProxyTable && (family === 'ip' || family === 'ip6'));
  const texts = await Promise.all(own.map(({ family, name }) => runTool(nft, ['-j', 'list', 'table', family, name])));
  return texts.flatMap(parseNftList);
}

async function readSets(): Promise<string[]> {
  const ipset = findTool('ipset');
  if (ipset === undefined) return [];
  return (await runTool(ipset, ['list', '-name'])).split('\n').filter(isKubeProxySet);
}

function unreadable(tools: readonly Iptables[]): string[] {
  const isMissing = (family: Family) =>
    legacyTables(family).length > 0 && !tools.some((one) => one.family === family && one.flavour === 'iptables-legacy');
  return [
    ...(findTool('nft') === undefined ? ['rules of nftables cannot be read: install nftables'] : []),
    ...([4, 6] as const).flatMap((family) =>
      isMissing(family)
        ? [`rules of legacy iptables are there for IPv${family} and cannot be read: install iptables`]
        : [],
    ),
  ];
}

/** What IPVS does, nobody reads here. */
async function ipvs(): Promise<string[]> {
  const isLoaded = existsSync('/proc/self/net/ip_vs');
  const device = await hasIpvsDevice();
  if (!isLoaded && !device) return [];
  const where = [...(device ? ['device kube-ipvs0'] : []), ...(isLoaded ? ['/proc/net/ip_vs'] : [])].join(', ');
  return [
    `kube-proxy's IPVS mode was here (${where}): its virtual servers are neither compared nor removed, and established connections through them cannot be kept; 'kube-proxy --cleanup' removes them`,
  ];
}
