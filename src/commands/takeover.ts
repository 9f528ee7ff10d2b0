import type { Argv, CommandModule } from 'yargs';
import { requirePermission } from '../kernel/machine.ts';
import { defaultPinDir } from '../kernel/place.ts';
import { RefusedError } from '../kernel/refused.ts';
import { parseSeconds } from './usage.ts';

interface TakeoverFlags {
  readonly dryRun: boolean;
  readonly back: boolean;
  readonly acceptDifferences: boolean;
  readonly setSysctls: boolean;
  readonly wait?: string;
  readonly pinDir?: string;
  readonly output: 'text' | 'json';
}

export const command: CommandModule = {
  command: 'takeover',
  describe: 'from kube-proxy to bpfsvc and back, on a node at work',
  builder,
  handler: (args) => handle(args as unknown as TakeoverFlags),
} as CommandModule;

const usage = `$0 takeover [--dry-run]
$0 takeover --back [--dry-run]

Run it on the node, in its network namespace, with an agent at work there. New connections are bpfsvc's from the moment
the agent has attached; those that kube-proxy translated go on in the kernel until they end. This removes what kube-proxy
left (chains, tables and sets of its own, nothing of others), once kube-proxy is gone. It may be run again at any time.

kube-proxy in a DaemonSet leaves one node when that node has a label which its pods must not have:
  kubectl -n kube-system patch daemonset kube-proxy -p '{"spec":{"template":{"spec":{"affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[{"matchExpressions":[{"key":"bpfsvc","operator":"DoesNotExist"}]}]}}}}}}}'
  kubectl label node NAME bpfsvc=on

--back, with kube-proxy at work again and the agent stopped: new connections are kube-proxy's from then on; those that
bpfsvc translates go on until 'bpfsvc unload'.`;

function builder(cli: Argv): Argv {
  return cli
    .usage(usage)
    .option('dry-run', { type: 'boolean', default: false, describe: 'only tell what differs and what would be done' })
    .option('back', { type: 'boolean', default: false, describe: 'from bpfsvc to kube-proxy' })
    .option('accept-differences', {
      type: 'boolean',
      default: false,
      describe: 'also where the other one serves what this one does not',
    })
    .option('set-sysctls', {
      type: 'boolean',
      default: false,
      describe: 'undo those settings of kube-proxy that are harmful now',
    })
    .option('wait', { type: 'string', requiresArg: true, describe: 'for so long for kube-proxy to end: 30s, 5m' })
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
      describe: 'json has all there is to know',
    })
    .example('$0 takeover --dry-run', 'what would differ')
    .example('$0 takeover --wait 2m', 'while the DaemonSet leaves the node');
}

async function handle(flags: TakeoverFlags): Promise<void> {
  const waitSeconds = flags.wait === undefined ? 0 : parseSeconds('--wait', flags.wait);
  requirePermission();
  const path = flags.pinDir ?? defaultPinDir();
  const { openCurrent } = await import('./current-generation.ts');
  const { survey } = await import('../takeover/survey.ts');
  const { takeoverDocument, takeoverText } = await import('./takeover-text.ts');
  using generation = openCurrent(path);
  const found = await survey(path, generation);
  const seen = flags.back || waitSeconds === 0 ? found : await withoutProxy(path, generation, found, waitSeconds);
  const direction = flags.back ? await back(path, generation, seen, flags) : await there(seen, flags);
  const document = takeoverDocument(generation.hash, seen, direction);
  process.stdout.write(flags.output === 'json' ? `${JSON.stringify(document, null, 2)}\n` : takeoverText(document));
  const [hindrance] = direction.hindrances;
  if (hindrance === undefined) return;
  if (!flags.dryRun) throw new RefusedError(`nothing was done: ${hindrance}`);
  process.exitCode = 1;
}

type Survey = Awaited<ReturnType<typeof import('../takeover/survey.ts').survey>>;
type Generation = ReturnType<typeof import('./current-generation.ts').openCurrent>;

/** Looks again each second while kube-proxy is alive. */
async function withoutProxy(path: string, generation: Generation, found: Survey, seconds: number): Promise<Survey> {
  const { setTimeout: sleep } = await import('node:timers/promises');
  const { runningProxies } = await import('../takeover/running-proxy.ts');
  const { survey } = await import('../takeover/survey.ts');
  if (found.running.length === 0) return found;
  for (let left = seconds; left > 0 && (await runningProxies()).length > 0; left -= 1) await sleep(1000);
  return await survey(path, generation);
}

/** What the two directions tell. `done` is null where nothing was. */
export interface Direction {
  readonly direction: 'to bpfsvc' | 'to kube-proxy';
  readonly hindrances: readonly string[];
  readonly done: readonly string[] | null;
  /** What else there is to know, and to do. */
  readonly notes: readonly string[];
}

async function there(seen: Survey, flags: TakeoverFlags): Promise<Direction> {
  const { familiesOf, finish, hindrances, takeOver } = await import('../takeover/takeover.ts');
  const { readRules } = await import('../takeover/found-rules.ts');
  const { applySettings } = await import('../takeover/settings.ts');
  const direction = { direction: 'to bpfsvc' as const, hindrances: hindrances(seen, flags) };
  const isThere = familiesOf(seen.rules).length > 0;
  if (flags.dryRun || direction.hindrances.length > 0) return { ...direction, done: null, notes: [] };
  const { removed, kept, endedSockets, keepsNat } = await takeOver(seen, readRules);
  const isFinished = await finish(seen);
  const written = flags.setSysctls ? applySettings(seen.settings) : [];
  return {
    ...direction,
    done: [
      ...(keepsNat ? ['rules that do nothing keep address translation at work for established connections'] : []),
      ...removed.map((what) => `removed ${what}`),
      ...(endedSockets > 0
        ? [`ended ${endedSockets} connected UDP sockets of this node: the kernel has forgotten their backends`]
        : []),
      ...written.map((name) => `set ${name} back`),
      ...(isFinished
        ? ['the last connection of kube-proxy is over: removed the rules that kept address translation']
        : []),
    ],
    notes: [
      ...kept.map(({ where, because }) => `${where} stays: a rule of somebody else leads to it: ${because}`),
      ...(isThere || (seen.natKept && !isFinished)
        ? ["run 'bpfsvc takeover' again when kube-proxy's connections are over: then the last of it goes"]
        : []),
    ],
  };
}

async function back(path: string, generation: Generation, seen: Survey, flags: TakeoverFlags): Promise<Direction> {
  const { backHindrances, livingConnections, stepAside } = await import('../takeover/handing-back.ts');
  const direction = { direction: 'to kube-proxy' as const, hindrances: backHindrances(seen, flags) };
  const living = await livingConnections(generation);
  const end = `${living} TCP connections still need bpfsvc's programs: 'bpfsvc unload' when they are over, which cuts those that are not`;
  if (flags.dryRun || direction.hindrances.length > 0) return { ...direction, done: null, notes: [end] };
  const rows = await stepAside(path, generation);
  return { ...direction, done: [`removed ${rows} rows: new connections are kube-proxy's`], notes: [end] };
}
