import type { Argv, CommandModule } from 'yargs';
import { kernelRelease, libbpfVersion } from '../kernel/kernel.ts';
import { currentGeneration, pinDir } from '../kernel/pins.ts';
import { defaultPinDir } from '../kernel/place.ts';
import { layoutHash } from '../layout.gen.ts';
import { ownVersion } from '../own-version.ts';

export const command: CommandModule = {
  command: 'version',
  describe: 'of bpfsvc, the kernel, libbpf and what is loaded',
  builder: (cli: Argv): Argv =>
    cli
      .usage('$0 version')
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
      .example('$0 version', '')
      .example('$0 version -o json', ''),
  handler: (args) => {
    const facts = versions((args.pinDir as string | undefined) ?? defaultPinDir());
    process.stdout.write(args.output === 'json' ? `${JSON.stringify(facts)}\n` : toText(facts));
  },
};

/** Without `generation` where this user may not look. */
function versions(pins: string): Record<string, string | null> {
  return {
    bpfsvc: ownVersion(),
    kernel: kernelRelease().text,
    libbpf: libbpfVersion().replace(/^v/, ''),
    node: process.versions.node,
    layout: layoutHash,
    ...generationBelow(pins),
  };
}

function generationBelow(pins: string): { generation?: string | null } {
  try {
    return { generation: currentGeneration(pinDir(pins)) ?? null };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EACCES') throw error;
    return {};
  }
}

function toText(facts: Record<string, string | null>): string {
  return Object.entries({ ...facts, generation: 'generation' in facts ? facts.generation : 'only root may look' })
    .map(([name, value]) => `${name.padEnd(12)}${value ?? 'none loaded'}\n`)
    .join('');
}
