import type { Argv, CommandModule } from 'yargs';
import { requirePermission } from '../kernel/machine.ts';
import { defaultPinDir } from '../kernel/place.ts';
import { RefusedError } from '../kernel/refused.ts';

interface StatusFlags {
  readonly pinDir?: string;
  readonly output: 'text' | 'json';
}

export const command: CommandModule = {
  command: 'status',
  describe: 'how the agent, its programs and its maps are doing',
  builder: (cli: Argv): Argv =>
    cli
      .usage(
        '$0 status\n\nHow this node is doing, on one screen; also with the agent dead, which it says. Exit code 1 unless all is well.',
      )
      .option('pin-dir', {
        type: 'string',
        requiresArg: true,
        describe: 'where things are pinned',
        defaultDescription: 'bpfsvc in the BPF filesystem',
      })
      .option('output', {
        alias: 'o',
        requiresArg: true,
        choices: ['text', 'json'] as const,
        default: 'text' as const,
        describe: 'for people or for programs',
      })
      .example('$0 status', '')
      .example('$0 status -o json', 'with all problems'),
  handler: (args) => handle(args as unknown as StatusFlags),
} as CommandModule;

async function handle(flags: StatusFlags): Promise<void> {
  requirePermission();
  const path = flags.pinDir ?? defaultPinDir();
  const { openCurrent } = await import('./current-generation.ts');
  const { nodeStatus } = await import('../status.ts');
  const { statusText } = await import('./status-text.ts');
  const open = () => {
    try {
      return { generation: openCurrent(path) };
    } catch (error) {
      if (error instanceof RefusedError) return { why: error.message };
      throw error;
    }
  };
  const opened = open();
  using generation = opened.generation;
  const status = await nodeStatus(path, generation ?? opened.why ?? '');
  process.stdout.write(flags.output === 'json' ? `${JSON.stringify(status, null, 2)}\n` : statusText(status));
  if (status.troubles.length > 0) process.exitCode = 1;
}
