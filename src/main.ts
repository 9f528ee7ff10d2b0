import yargs, { type Argv, type CommandModule } from 'yargs';
import { UsageError } from './commands/usage.ts';
import { BpfError } from './kernel/kernel.ts';
import { RefusedError, UnsupportedError } from './kernel/refused.ts';

/** Each word is loaded only when it is typed: `dump` must not wait for a YAML parser. */
const words: Record<string, { describe: string; load: () => Promise<{ command: CommandModule }> }> = {
  run: {
    describe: "keep this node's kernel what the cluster or manifests say",
    load: () => import('./commands/run.ts'),
  },
  dump: { describe: 'what the kernel holds, with or without an agent', load: () => import('./commands/dump.ts') },
  explain: { describe: 'where a packet would go, and why', load: () => import('./commands/explain.ts') },
  diff: { describe: 'what the agent would change', load: () => import('./commands/diff.ts') },
  verify: { describe: 'is every row in the kernel as it should be', load: () => import('./commands/verify.ts') },
  trace: {
    describe: 'flows made, ended, refused and dropped, as they happen',
    load: () => import('./commands/trace.ts'),
  },
  check: { describe: 'can this machine run it, and what would it do here', load: () => import('./commands/check.ts') },
  status: {
    describe: 'how the agent, its programs and its maps are doing',
    load: () => import('./commands/status.ts'),
  },
  takeover: {
    describe: 'from kube-proxy to bpfsvc and back, on a node at work',
    load: () => import('./commands/takeover.ts'),
  },
  'support-bundle': {
    describe: 'everything that a person needs who helps from afar, in one file without secrets',
    load: () => import('./commands/support-bundle.ts'),
  },
  unload: { describe: 'take everything away, and tell what was there', load: () => import('./commands/unload.ts') },
  version: {
    describe: 'of bpfsvc, the kernel, libbpf and what is loaded',
    load: () => import('./commands/version.ts'),
  },
};

const EXIT_CODES = 'Exit codes: 0 done, 1 something was found or failed, 2 wrong usage.';
const USAGE = 2;
const FAILED = 1;

async function main(words: readonly string[]): Promise<void> {
  const cli = yargs(words)
    .scriptName('bpfsvc')
    .usage('$0 <command>\n\nKubernetes Services in eBPF, on any CNI that gives pods a veth and routes.')
    .version(false)
    .help('help')
    .alias('help', 'h')
    .strict()
    .demandCommand(1, 'say what to do')
    .recommendCommands()
    .updateStrings({ 'Did you mean %s?': "there is no such command, but there is '%s'" })
    .completion('completion', 'print a shell completion script')
    .wrap(Math.min(120, process.stdout.columns ?? 100))
    .epilogue(EXIT_CODES)
    .exitProcess(false)
    .check(refuseTwice)
    .fail((message, error) => {
      throw error ?? new UsageError(message);
    });
  await (await withCommand(cli, words)).parseAsync();
}

/** Registers every word by its description, and whole only the one that was typed. */
async function withCommand(cli: Argv, typed: readonly string[]): Promise<Argv> {
  const word = typed.find((argument) => argument in words);
  for (const [name, { describe, load }] of Object.entries(words)) {
    if (name === word) cli.command(withExitCodes((await load()).command));
    else cli.command(name, describe);
  }
  return cli;
}

/** Flags that may be given more than once. */
const lists = new Set(['_', 'log', 'device', 'map-size', 'mapSize', 'nodeport-addresses', 'nodeportAddresses']);

function refuseTwice(flags: Record<string, unknown>): true {
  for (const [name, value] of Object.entries(flags)) {
    if (Array.isArray(value) && !lists.has(name)) throw new UsageError(`--${name} is given twice`);
  }
  return true;
}

function withExitCodes(command: CommandModule): CommandModule {
  const { builder } = command;
  if (typeof builder !== 'function') return command;
  return { ...command, builder: async (cli: Argv) => (await builder(cli)).epilogue(EXIT_CODES) };
}

/** Ours, or one that yargs throws instead of telling its fail handler. */
function isUsage(error: unknown): error is Error {
  return error instanceof UsageError || (error instanceof Error && error.name === 'YError');
}

/** Errors of what is loaded only where it is needed. */
const sentences: ReadonlySet<string> = new Set(['ManifestError', 'ClusterError']);

/** One sentence for what a person can do something about; a stack for what they cannot. */
function explain(error: unknown, typed: readonly string[]): { text: string; code: number } {
  if (isUsage(error)) {
    const help = ['bpfsvc', ...typed.filter((word) => word in words).slice(0, 1), '--help'].join(' ');
    return { text: `${error.message.replaceAll(/\s*\n\s*/g, ' ')}: see '${help}'`, code: USAGE };
  }
  if (error instanceof RefusedError || error instanceof UnsupportedError) return { text: error.message, code: FAILED };
  if (!(error instanceof Error)) return { text: String(error), code: FAILED };
  const code = 'code' in error ? error.code : undefined;
  if (code === 'EPERM' || code === 'EACCES') return { text: `${error.message}: run bpfsvc as root`, code: FAILED };
  if (error instanceof BpfError || sentences.has(error.name)) return { text: error.message, code: FAILED };
  return { text: `this is a fault of bpfsvc itself: ${error.stack}`, code: FAILED };
}

/* A reader that has seen enough, such as `head`, is not an error. */
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit(0);
});

const typed = process.argv.slice(2);
try {
  // what people try first
  if (typed[0] === '--version') typed[0] = 'version';
  await main(typed);
} catch (error) {
  const { text, code } = explain(error, typed);
  process.stderr.write(`bpfsvc: ${text}\n`);
  process.exitCode = code;
}
