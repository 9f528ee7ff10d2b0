import type { Argv, CommandModule } from 'yargs';
import { requirePermission } from '../kernel/machine.ts';
import { defaultPinDir } from '../kernel/place.ts';

interface BundleFlags {
  readonly file?: string;
  readonly log: readonly string[];
  readonly pinDir?: string;
}

export const command: CommandModule = {
  command: 'support-bundle [file]',
  describe: 'everything that a person needs who helps from afar, in one file without secrets',
  builder: (cli: Argv): Argv =>
    cli
      .usage(
        '$0 support-bundle [FILE.tar.gz]\n\nStatus, dumps, checks, versions, devices, routes, settings and metrics of this node, as text and JSON in one archive. What looks like a credential is blotted out, and neither kubeconfigs nor manifests nor the environment are read; look through it nevertheless before you give it away. Works with the agent dead.',
      )
      .positional('file', {
        type: 'string',
        describe: 'where to',
        defaultDescription: 'bpfsvc-NODE-TIME.tar.gz here',
      })
      .option('log', {
        type: 'string',
        array: true,
        requiresArg: true,
        default: [],
        describe: "a file with the agent's log, of which the end is taken",
        defaultDescription: 'where its standard error goes to, if that is a file',
      })
      .option('pin-dir', {
        type: 'string',
        requiresArg: true,
        describe: 'where things are pinned',
        defaultDescription: 'bpfsvc in the BPF filesystem',
      })
      .example('$0 support-bundle', '')
      .example('$0 support-bundle node7.tar.gz --log /var/log/bpfsvc.log', ''),
  handler: (args) => handle(args as unknown as BundleFlags),
} as CommandModule;

async function handle({ file, log, pinDir }: BundleFlags): Promise<void> {
  requirePermission();
  const { collect } = await import('../support/collect.ts');
  const { writeArchive } = await import('../support/archive.ts');
  const { name, parts } = await collect({ path: pinDir ?? defaultPinDir(), logs: log });
  const target = file ?? `${name}.tar.gz`;
  await writeArchive(target, name, parts);
  const missing = parts.filter(({ fault }) => fault !== undefined);
  process.stdout.write(`${target}: ${parts.length} files\n`);
  for (const { path, fault } of missing) process.stdout.write(`${path} could not be had: ${fault}\n`);
}
