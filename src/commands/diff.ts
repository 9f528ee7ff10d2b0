import type { Argv, CommandModule } from 'yargs';
import type { Change } from '../difference.ts';
import type { Tables } from '../plan/tables.ts';
import { addLoadedFlags, type LoadedFlags } from './loaded-flags.ts';

interface DiffFlags extends LoadedFlags {
  readonly against?: string;
}

export const command: CommandModule = {
  command: 'diff',
  describe: 'what the agent would change, here or between two states of the manifests',
  builder,
  handler: (args) => handle(args as unknown as DiffFlags),
} as CommandModule;

function builder(cli: Argv): Argv {
  const own = cli
    .usage(
      '$0 diff --manifests FILE|DIR [--against FILE|DIR]\n$0 diff --kubeconfig FILE\n\nWhat an agent with these manifests, or this API server, and flags would change: in what is loaded here, or with --against in what those other manifests come to, on any node and without a kernel. Exit code 1 if there is a difference.',
    )
    .option('against', {
      type: 'string',
      requiresArg: true,
      describe: 'the manifests before; without, what is loaded is',
    });
  return addLoadedFlags(own)
    .example('$0 diff --manifests new.yaml', 'what would change here')
    .example('$0 diff --manifests new.yaml --against old.yaml --node worker-1', 'what would change there');
}

async function handle(flags: DiffFlags): Promise<void> {
  const { differenceOf } = await import('../difference.ts');
  const { differenceText } = await import('./diff-text.ts');
  const [before, after] = await (flags.against === undefined
    ? loaded(flags.manifests, flags)
    : described(flags.manifests, flags.against, flags));
  const changes: Change[] = differenceOf(before, after);
  const json = () => `${JSON.stringify(changes, null, 2)}\n`;
  process.stdout.write(flags.output === 'json' ? json() : differenceText(changes));
  if (changes.length > 0) process.exitCode = 1;
}

/** The same number in both states. */
const WIRE = 2;

type States = readonly [before: Tables, after: Tables];

async function loaded(manifests: string | undefined, flags: DiffFlags): Promise<States> {
  const { readLoaded } = await import('./loaded.ts');
  const { driftOf } = await import('../drift.ts');
  const { withSteps } = await import('../plan/fold.ts');
  const { actual, world, held, sizes } = await readLoaded(manifests, flags);
  return [actual, withSteps(actual, driftOf(world, held, sizes, { holdDeletes: false }))];
}

async function described(manifests: string | undefined, against: string, flags: DiffFlags): Promise<States> {
  const { readDescribed } = await import('./described.ts');
  const { asUsage } = await import('./loaded.ts');
  const { describedWorld } = await import('../described-node.ts');
  const { desiredTables } = await import('../desired.ts');
  const tables = async (path: string | undefined) => {
    const read = await readDescribed(path, flags);
    const { tables: rows, problems } = desiredTables(describedWorld(read.described, WIRE));
    for (const { object, reason } of [...read.problems, ...problems]) {
      process.stderr.write(`${path ?? 'API server'}: ${object}: ${reason}\n`);
    }
    return rows;
  };
  return [await tables(against).catch(asUsage), await tables(manifests).catch(asUsage)];
}
