import { requirePermission } from '../kernel/machine.ts';
import { defaultPinDir } from '../kernel/place.ts';
import type { Sizes } from '../kernel/sizes.ts';
import { readSettledTables } from '../kernel/tables.ts';
import type { Inventory, World } from '../plan/plan.ts';
import { type Tables, tableNames } from '../plan/tables.ts';
import { worldHere } from '../world-here.ts';
import { openCurrent } from './current-generation.ts';
import { readDescribed } from './described.ts';
import { agentChoices, type LoadedFlags } from './loaded-flags.ts';
import { UsageError } from './usage.ts';

export interface Loaded {
  readonly actual: Tables;
  readonly held: Inventory;
  /** What an agent with these flags wants here. */
  readonly world: World;
  readonly sizes: Sizes;
  /** How many are held. */
  readonly rows: number;
}

/** What is loaded, and what manifests and flags would have. Problems of the manifests are told on standard error. */
export async function readLoaded(manifests: string | undefined, flags: LoadedFlags): Promise<Loaded> {
  requirePermission();
  const { described, problems } = await readDescribed(manifests, flags).catch(asUsage);
  for (const { object, reason } of problems) process.stderr.write(`${object}: ${reason}\n`);
  using generation = openCurrent(flags.pinDir ?? defaultPinDir());
  const actual = await readSettledTables(generation.tables);
  const { world, held } = await worldHere(described, agentChoices(flags), actual);
  const rows = tableNames.reduce((sum, name) => sum + actual[name].size, 0);
  return { actual, held, world, sizes: generation.sizes, rows };
}

/** Manifests that cannot be read are wrong words, and no finding. */
export function asUsage(error: unknown): never {
  const isInput = error instanceof Error && ['ManifestError', 'UnknownNodeError', 'ClusterError'].includes(error.name);
  throw isInput ? new UsageError(error.message) : error;
}
