import { type AgentInquiry, askAgent } from '../agent-inquiry.ts';
import type { Generation } from '../kernel/generation.ts';
import { readNetwork } from '../kernel/network.ts';
import { readSysctl } from '../kernel/sysctls.ts';
import { readSettledTables } from '../kernel/tables.ts';
import { addressFromHex, parseAddress } from '../model/address.ts';
import type { Tables } from '../plan/tables.ts';
import { type Served, servedOf } from '../served.ts';
import { compare, type Disagreement } from './comparison.ts';
import { type IsService, type KeptConnections, keptConnections } from './connections.ts';
import { type FoundRules, readRules } from './found-rules.ts';
import { isNatKept } from './kept-nat.ts';
import { addressPlace, type Flavour, nodePortPlace, type Peer } from './peer.ts';
import { type RunningProxy, runningProxies } from './running-proxy.ts';
import { type Setting, settings } from './settings.ts';
import { findIptables } from './tools.ts';

/** All that taking over goes by, read at one time. */
export interface Survey {
  readonly agent: AgentInquiry;
  readonly running: readonly RunningProxy[];
  readonly rules: FoundRules;
  readonly disagreements: readonly (Disagreement & Pick<Peer, 'flavour' | 'family'>)[];
  readonly policies: readonly PolicyNote[];
  readonly connections: KeptConnections | null;
  readonly natKept: boolean;
  readonly settings: readonly Setting[];
  readonly isService: IsService;
}

/** A rule for all Services that the two proxies do not share. */
export interface PolicyNote {
  readonly flavour: Flavour;
  readonly family: 4 | 6;
  readonly policy: 'masquerade' | 'nodePort addresses' | 'undefined ports' | 'forward';
  readonly kubeProxy: string;
  readonly bpfsvc: string;
}

export async function survey(path: string, { tables: maps }: Pick<Generation, 'tables'>): Promise<Survey> {
  const tables = await readSettledTables(maps);
  const rules = await readRules();
  const ours = servedOf(tables);
  const isService = await serviceTest([...ours.values(), ...rules.peers.flatMap(({ served }) => [...served.values()])]);
  const nodePorts = nodePortAddresses(tables);
  return {
    agent: await askAgent(path),
    running: await runningProxies(),
    rules,
    disagreements: rules.peers.flatMap((peer) =>
      compare(peer, ours).map((one) => ({ ...one, flavour: peer.flavour, family: peer.family })),
    ),
    policies: rules.peers.flatMap((peer) => policyNotes(peer, nodePorts)),
    connections: await keptConnections(isService),
    natKept: await isNatKept(await findIptables()),
    settings: settings(readSysctl),
    isService,
  };
}

function nodePortAddresses(tables: Tables): string[] {
  return [...tables.node_addresses.keys()].map(addressFromHex).sort();
}

/** Is it a place where one of the proxies is asked? */
async function serviceTest(served: readonly Served[]): Promise<IsService> {
  const places = new Set(served.map(({ place }) => place));
  const { addresses } = await readNetwork();
  const own = new Set(addresses.map(({ address }) => address));
  return (text, port, protocol) => {
    const address = parseAddress(text) ?? text;
    const family = address.includes(':') ? 6 : 4;
    return (
      places.has(addressPlace(address, port, protocol)) ||
      (own.has(address) && places.has(nodePortPlace(port, protocol, family)))
    );
  };
}

function policyNotes({ flavour, family, policies }: Peer, ownNodePorts: readonly string[]): PolicyNote[] {
  const note = (policy: PolicyNote['policy'], kubeProxy: string, bpfsvc: string): PolicyNote[] =>
    kubeProxy === bpfsvc ? [] : [{ flavour, family, policy, kubeProxy, bpfsvc }];
  const own = ownNodePorts.filter((address) => address.includes(':') === (family === 6));
  const theirs = policies.nodePorts === 'all' ? 'all addresses of the node' : [...policies.nodePorts].sort().join(', ');
  return [
    ...note(
      'masquerade',
      `sources ${policies.masquerade} towards clusterIPs`,
      'sources from outside, for backends elsewhere',
    ),
    ...note('nodePort addresses', theirs || 'none', own.join(', ') || 'none'),
    ...(flavour === 'nftables'
      ? []
      : note('undefined ports', 'pass on to where routes lead', 'of a clusterIP are refused')),
    ...(policies.forwardDrops
      ? note('forward', 'KUBE-FORWARD lets Services through where FORWARD drops', 'the CNI or the firewall must do so')
      : []),
  ];
}
