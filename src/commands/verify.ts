import type { Argv, CommandModule } from 'yargs';
import { counted } from '../count.ts';
import type { Deviation } from '../drift.ts';
import { addLoadedFlags, type LoadedFlags } from './loaded-flags.ts';

export const command: CommandModule = {
  command: 'verify',
  describe: 'is every row in the kernel what the manifests want, byte by byte',
  builder,
  handler: (args) => handle(args as unknown as LoadedFlags),
} as CommandModule;

function builder(cli: Argv): Argv {
  const own = cli.usage(
    "$0 verify --manifests FILE|DIR\n$0 verify --kubeconfig FILE\n\nReads every row of the service tables back and compares it with what an agent with these flags wants. Changes nothing; what differs is what the agent's next audit repairs. Exit code 1 if anything does.",
  );
  return addLoadedFlags(own)
    .example('$0 verify --manifests shop.yaml', 'with the flags of run')
    .example('$0 verify --manifests shop.yaml -o json', 'each row that differs, with its bytes');
}

async function handle(flags: LoadedFlags): Promise<void> {
  const { readLoaded } = await import('./loaded.ts');
  const { deviationOf, driftOf } = await import('../drift.ts');
  const { actual, world, held, sizes, rows } = await readLoaded(flags.manifests, flags);
  const steps = driftOf(world, held, sizes, { holdDeletes: false });
  const deviations = steps.map((step) => deviationOf(step, actual));
  const json = () => `${JSON.stringify({ rows, deviations }, null, 2)}\n`;
  process.stdout.write(flags.output === 'json' ? json() : text(deviations, rows));
  if (deviations.length > 0) process.exitCode = 1;
}

function text(deviations: readonly Deviation[], rows: number): string {
  const one = ({ table, row, found, wanted }: Deviation) =>
    `${table}: ${row}\n  found   ${found ?? '-'}\n  wanted  ${wanted ?? '-'}\n`;
  const end =
    deviations.length === 0
      ? `${rows} rows are as they should be\n`
      : `${counted(deviations.length, 'row')} not as wanted, of ${rows}\n`;
  return deviations.map(one).join('') + end;
}
