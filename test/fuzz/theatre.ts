/**
 * The real programs, asked about one world after the other: loaded once, in one network namespace, their maps filled anew for
 * each. Takes this process into another cgroup and network until it is closed.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readDescribed } from '../../src/commands/described.ts';
import type { DescriptionFlags } from '../../src/commands/description-flags.ts';
import { describedWorld } from '../../src/described-node.ts';
import { desiredTables } from '../../src/desired.ts';
import { localAddressesOf, settings, stageOf } from '../../src/explain/offline.ts';
import { openSockets, type Stage } from '../../src/explain/stage.ts';
import { netnsCookie } from '../../src/kernel/kernel.ts';
import { encodeConfig, readObjects } from '../../src/kernel/objects.ts';
import { enterPrivateNetwork } from '../../src/kernel/private-network.ts';
import { Rehearsal } from '../../src/kernel/rehearsal.ts';
import { emptyTables } from '../../src/plan/tables.ts';
import type { Options, World } from './objects.ts';

/** Of a world that anybody would call small. */
const ROOM = 1024;

export interface Theatre extends AsyncDisposable {
  /** What was shown before is gone then. Sockets, and so the node, have a stage of their own. */
  show(world: World): Promise<Record<'packets' | 'sockets', Stage>>;
}

export async function openTheatre(): Promise<Theatre> {
  const folder = mkdtempSync(join(tmpdir(), 'bpfsvc-fuzz-'));
  const network = await enterPrivateNetwork([]);
  const objects = readObjects();
  const rehearsal = await Rehearsal.open(objects, encodeConfig(0n, settings), emptyTables(), ROOM);
  /* its packets; what sockets are told does not depend on it */
  const masquerading = { ...settings, masqueradeAll: true };
  const ofAll = await Rehearsal.open(objects, encodeConfig(0n, masquerading), emptyTables(), ROOM);
  const sockets = await openSockets(rehearsal, encodeConfig(netnsCookie(), settings), undefined);
  if ('missing' in sockets) throw new Error(`sockets cannot be asked here: ${sockets.missing}`);
  return {
    async show(world) {
      const file = join(folder, 'world.json');
      writeFileSync(file, JSON.stringify({ apiVersion: 'v1', kind: 'List', items: world.objects }));
      const { described, problems } = await readDescribed(file, flagsOf(world.options));
      const local = localAddressesOf(described);
      network.setLocal(local);
      const inWords = describedWorld(described, network.wire);
      const { tables } = desiredTables(inWords);
      rehearsal.replace(tables);
      ofAll.replace(tables);
      const asked = world.options.masqueradeAll ? ofAll : rehearsal;
      const known = { world: inWords, parsed: described.parsed, problems };
      return {
        packets: stageOf(described, known, { tables, rehearsal: asked, sockets }),
        sockets: stageOf(described, known, { tables, rehearsal, sockets }),
      };
    },
    async [Symbol.asyncDispose]() {
      await sockets[Symbol.asyncDispose]();
      rehearsal.close();
      ofAll.close();
      network[Symbol.dispose]();
      rmSync(folder, { recursive: true });
    },
  };
}

function flagsOf({ node, detectLocalMode, clusterCidr, nodePortAddresses, masqueradeAll }: Options): DescriptionFlags {
  const isByCluster = detectLocalMode === 'ClusterCIDR';
  return {
    node,
    ...(!isByCluster && { detectLocalMode }),
    ...(isByCluster && clusterCidr.length > 0 && { clusterCidr: clusterCidr.join(',') }),
    nodeportAddresses: [...nodePortAddresses],
    nodePortRange: '30000-32767',
    ...(masqueradeAll && { masqueradeAll }),
  };
}
