import type { Argv, CommandModule } from 'yargs';
import { requirePermission } from '../kernel/machine.ts';
import { defaultPinDir } from '../kernel/place.ts';
import { unload } from '../kernel/unload.ts';

export const command: CommandModule = {
  command: 'unload',
  describe: 'take everything away, and tell what was there',
  builder: (cli: Argv): Argv =>
    cli
      .usage(
        '$0 unload\n\nDetaches all programs and removes all maps, flows and counters. Refuses while an agent runs.',
      )
      .option('pin-dir', {
        type: 'string',
        requiresArg: true,
        describe: 'where things are pinned',
        defaultDescription: 'bpfsvc in the BPF filesystem',
      })
      .example('$0 unload', 'of the default pin directory')
      .example('$0 unload --pin-dir /sys/fs/bpf/node2', 'of another one'),
  handler: async (args) => await unloadAndTell(args.pinDir as string | undefined),
};

/** Also what `run --cleanup` does. Nothing to take away is success. */
export async function unloadAndTell(pinDir: string | undefined): Promise<void> {
  requirePermission();
  const path = pinDir ?? defaultPinDir();
  const { links, filters, generations, state } = await unload(path);
  const lines = [
    ...links.map((name) => `detached ${name}`),
    ...filters.map((where) => `detached the clsact filter at ${where}`),
    ...generations.map((hash) => `removed generation ${hash}`),
    ...state.map((name) => `removed ${name}`),
  ];
  process.stdout.write(lines.length > 0 ? `${lines.join('\n')}\n` : `nothing was loaded below ${path}\n`);
}
