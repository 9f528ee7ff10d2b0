/** What the kernel holds for a node, read past the agent; and what it should hold, planned from nothing. */

import { join } from 'node:path';
import { BpfLink } from 'libbpf-ts';
import { noDetector } from '../../src/kernel/detector.ts';
import { classifyDevices } from '../../src/kernel/devices.ts';
import { openGeneration } from '../../src/kernel/generation.ts';
import { readNetwork } from '../../src/kernel/network.ts';
import { defaultNodePorts } from '../../src/kernel/node-ports.ts';
import { currentGeneration, listLinkPins, pinDir } from '../../src/kernel/pins.ts';
import { readSettledTables } from '../../src/kernel/tables.ts';
import { readDriverFeatures } from '../../src/kernel/xdp.ts';
import { defaultRanges } from '../../src/kube/allocate.ts';
import { readManifests } from '../../src/kube/manifests.ts';
import { parse } from '../../src/kube/parse.ts';
import { frontend, switches, u32 } from '../../src/layout.gen.ts';
import { parseCidr } from '../../src/model/address.ts';
import { makeWorld, ownNode } from '../../src/own-node.ts';
import { checkOf } from '../../src/plan/check.ts';
import { inventory, makePlan } from '../../src/plan/plan.ts';
import { byTable, emptyTables, nodeTableNames, type Tables } from '../../src/plan/tables.ts';
import { enterNetns } from './inside.ts';
import type { Node } from './lab.ts';

export interface Pinned {
  /** The name of the generation. */
  readonly hash: string;
  readonly tables: Tables;
  /** By pin. */
  readonly links: Readonly<Record<string, { readonly id: number; readonly programId: number }>>;
  /** Ids of the kernel, by name: another one is another object, for they are not given out again. */
  readonly programs: Readonly<Record<string, number>>;
  readonly maps: Readonly<Record<string, number>>;
}

/** What is pinned below a directory and current. */
export async function readPinned(path: string): Promise<Pinned> {
  const dir = pinDir(path);
  using generation = openGeneration(dir, currentGeneration(dir) ?? '');
  if (generation === undefined) throw new Error(`nothing is loaded below ${path}`);
  const links = listLinkPins(dir).map((pin) => {
    using link = BpfLink.openPinned(join(dir.links, pin));
    const { id, programId } = link.info();
    return [pin, { id, programId }] as const;
  });
  const { hash, programs, tables, state } = generation;
  return {
    hash,
    tables: await readSettledTables(tables),
    links: Object.fromEntries(links),
    programs: idsOf(programs),
    maps: idsOf({ ...tables, ...state }),
  };
}

function idsOf(things: Readonly<Record<string, { readonly info: { readonly id: number } }>>): Record<string, number> {
  return Object.fromEntries(Object.entries(things).map(([name, { info }]) => [name, info.id]));
}

/**
 * What a look-up of each row gives, whatever segments the pools happen to be in: 'table key' → all bytes of the row with
 * the pools' own bytes in place of where they are. A check word that is wrong, or a slot that is not there, is said
 * there too, and so is equal to nothing. Removed backends are left out: they are what was, not what is wanted.
 */
export function lookups(tables: Tables): Map<string, string> {
  const found = new Map<string, string>();
  for (const table of ['names', 'source_ranges', ...nodeTableNames] as const) {
    if (table === 'removed_backends' || table === 'switches') continue;
    for (const [key, value] of tables[table]) found.set(`${table} ${key}`, value);
  }
  for (const [key, value] of tables.switches) {
    const { hasRemovedBackends: _, ...rest } = switches.decode(value);
    found.set(`switches ${key}`, JSON.stringify(rest));
  }
  for (const [key, value] of tables.frontends) found.set(`frontends ${key}`, frontendLookup(tables, key, value));
  return found;
}

function frontendLookup(tables: Tables, key: string, value: string): string {
  const { any, local, check, ...rest } = frontend.decode(value);
  const pool = ({ start, count }: typeof any): string[] =>
    Array.from({ length: count }, (_, i) => tables.backends.get(u32.encode(start + i)) ?? 'no such slot');
  const isWhole = checkOf(key, value.slice(0, -8)) === check;
  return JSON.stringify({ ...rest, any: pool(any), local: pool(local), ...(!isWhole && { check: 'wrong' }) });
}

/** The rows that are not the same in both, a few of them. */
export function differences(a: ReadonlyMap<string, string>, b: ReadonlyMap<string, string>): string[] {
  const keys = [...new Set([...a.keys(), ...b.keys()])].filter((key) => a.get(key) !== b.get(key));
  return keys.slice(0, 5).map((key) => `${key}: ${a.get(key) ?? 'nothing'} and ${b.get(key) ?? 'nothing'}`);
}

/** The tables that a plan from nothing makes of a folder of manifests, for the node that the calling thread looks from. */
export async function plannedTables(node: Node, manifests: string, serviceCidrs: string): Promise<Tables> {
  const { objects } = await readManifests(manifests);
  const leave = enterNetns(node.netns);
  const [network, driverFeatures] = await Promise.all([readNetwork(), readDriverFeatures()]).finally(leave);
  const parsed = parse(objects, { serviceProxyName: null, ranges: defaultRanges }, null);
  const cidrs = serviceCidrs.split(',').flatMap((text) => parseCidr(text) ?? []);
  const nodeAddresses = ownNode(parsed, node.name)?.internalIPs ?? [];
  const devices = classifyDevices(network, { nodeAddresses, overrides: new Map() });
  const world = makeWorld(parsed, {
    name: node.name,
    serviceCidrs: cidrs,
    network,
    devices,
    nodePorts: defaultNodePorts,
    detector: noDetector,
    podsAtTc: true,
    primaryAddress: null,
    driverFeatures,
  });
  const roomy = byTable(() => 2 ** 26);
  const tables = emptyTables();
  for (const step of makePlan(world, inventory(emptyTables()), 'all', roomy, { holdDeletes: false }).steps) {
    if (step.op === 'set') tables[step.table].set(step.key, step.value);
  }
  return tables;
}

/** Takes every flow out of the tables, as floods or time would. */
export async function forgetFlows(path: string): Promise<void> {
  const dir = pinDir(path);
  using generation = openGeneration(dir, currentGeneration(dir) ?? '');
  if (generation === undefined) throw new Error(`nothing is loaded below ${path}`);
  for (const map of [generation.state.flows, generation.state.half_open]) {
    const { keySize } = map.info;
    const keys: Uint8Array[] = [];
    for await (const rows of map.entries()) {
      for (let i = 0; i < rows.count; i++) keys.push(rows.keys.slice(i * keySize, (i + 1) * keySize));
    }
    for (const key of keys) map.delete(key);
  }
}
