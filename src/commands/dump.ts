import { setTimeout as sleep } from 'node:timers/promises';
import type { Argv, CommandModule } from 'yargs';
import { bootSeconds } from '../kernel/clock.ts';
import { readConnections } from '../kernel/connections.ts';
import { readCounters } from '../kernel/counters.ts';
import type { Generation } from '../kernel/generation.ts';
import { requirePermission } from '../kernel/machine.ts';
import { defaultPinDir } from '../kernel/place.ts';
import { RefusedError } from '../kernel/refused.ts';
import { readRows, readSettledTables } from '../kernel/tables.ts';
import { openCurrent } from './current-generation.ts';
import { affinityItems, flowItems } from './dump-flows.ts';
import { backendItems, countersOf, frontendItems, serviceItems } from './dump-items.ts';
import { affinityText, backendsText, flowsText, frontendsText, noServiceText, servicesText } from './dump-text.ts';
import type { Reading, ServiceRef } from './service-ref.ts';
import { UsageError } from './usage.ts';

const kinds = {
  services: kind(serviceItems, servicesText),
  frontends: kind(frontendItems, frontendsText),
  backends: kind(backendItems, backendsText),
  flows: kind(flowItems, flowsText),
  affinity: kind(affinityItems, affinityText),
} as const;
type KindName = keyof typeof kinds;

interface DumpFlags {
  what?: string;
  service?: string;
  output: 'text' | 'wide' | 'json';
  namespace?: string;
  watch: boolean;
  pinDir?: string;
}

export const command: CommandModule = {
  command: 'dump [what] [service]',
  describe: 'what the kernel holds, with or without an agent',
  builder,
  handler: (args) => dump(args as unknown as DumpFlags),
} as CommandModule;

function builder(cli: Argv): Argv {
  return cli
    .usage(
      '$0 dump [services|frontends|backends|flows|affinity] [NAMESPACE/NAME]\n\nTells what the kernel holds, in the words of Services. Reads pinned maps, so that it works when the agent is dead.',
    )
    .positional('what', { type: 'string', describe: 'what to show', defaultDescription: 'services' })
    .positional('service', { type: 'string', describe: 'only this Service, as NAMESPACE/NAME' })
    .option('output', {
      alias: 'o',
      requiresArg: true,
      choices: ['text', 'wide', 'json'] as const,
      default: 'text' as const,
      describe: 'wide has more columns; json has all fields',
    })
    .option('namespace', { alias: 'n', type: 'string', requiresArg: true, describe: 'only Services of this namespace' })
    .option('all-namespaces', {
      alias: 'A',
      type: 'boolean',
      conflicts: 'namespace',
      describe: 'those of all namespaces, which is the default',
    })
    .option('watch', { alias: 'w', type: 'boolean', default: false, describe: 'show it again whenever it changed' })
    .option('pin-dir', {
      type: 'string',
      requiresArg: true,
      describe: 'where things are pinned',
      defaultDescription: 'bpfsvc in the BPF filesystem',
    })
    .example('$0 dump', 'all Services')
    .example('$0 dump default/web -o wide', 'one of them, with all it counted')
    .example('$0 dump backends -n shop', 'who answers for a namespace')
    .example('$0 dump flows -o json', 'what is remembered of connections, for programs');
}

async function dump(flags: DumpFlags): Promise<void> {
  const { what, service } = wordsOf(flags);
  requirePermission();
  const path = flags.pinDir ?? defaultPinDir();
  let last: string | undefined;
  do {
    const text = await render(path, what, service, flags);
    if (text !== last) process.stdout.write(last !== undefined && process.stdout.isTTY ? `\x1b[H\x1b[2J${text}` : text);
    last = text;
    if (flags.watch) await sleep(1000);
  } while (flags.watch);
}

/** `dump NAMESPACE/NAME` is short for `dump services NAMESPACE/NAME`. */
function wordsOf({ what = 'services', service }: DumpFlags): { what: KindName; service: string | undefined } {
  if (what in kinds) {
    if (service !== undefined && !service.includes('/')) throw new UsageError(`'${service}' is not NAMESPACE/NAME`);
    return { what: what as KindName, service };
  }
  if (what.includes('/') && service === undefined) return { what: 'services', service: what };
  throw new UsageError(`dump does not know '${what}', but ${Object.keys(kinds).join(', ')} and NAMESPACE/NAME`);
}

async function render(path: string, what: KindName, service: string | undefined, flags: DumpFlags): Promise<string> {
  using generation = openCurrent(path);
  const reading = await read(generation, what);
  const items = kinds[what].items(reading).filter((item) => isAskedFor(item, service, flags));
  if (service !== undefined && items.length === 0 && !flags.watch) {
    throw new RefusedError(`the kernel holds nothing of Service ${service} among its ${what}`);
  }
  const isAll = what === 'services' && service === undefined && flags.namespace === undefined;
  const ofNoService = countersOf(reading.counters.get(0));
  if (flags.output === 'json') {
    const document = { kind: what, generation: generation.hash, items, ...(isAll && { ofNoService }) };
    return `${JSON.stringify(document, undefined, 2)}\n`;
  }
  const isWide = flags.output === 'wide';
  return `${kinds[what].text(items, isWide)}${isAll && isWide ? noServiceText(ofNoService) : ''}`;
}

function isAskedFor({ namespace, name }: ServiceRef, service: string | undefined, flags: DumpFlags): boolean {
  if (service !== undefined && `${namespace}/${name}` !== service) return false;
  return flags.namespace === undefined || flags.namespace === namespace;
}

async function read({ tables, state }: Generation, what: KindName): Promise<Reading> {
  const none = new Map<string, string>();
  return {
    tables: await readSettledTables(tables),
    counters: what === 'services' ? await readCounters(state.counters) : new Map(),
    connections: what === 'backends' ? await readConnections(state) : new Map(),
    flows: what === 'flows' ? await readRows(state.flows) : none,
    halfOpen: what === 'flows' ? await readRows(state.half_open) : none,
    affinity: what === 'affinity' ? await readRows(state.affinity) : none,
    nowSeconds: bootSeconds(),
  };
}

interface Kind {
  readonly items: (reading: Reading) => readonly ServiceRef[];
  readonly text: (items: readonly ServiceRef[], wide: boolean) => string;
}

function kind<Item extends ServiceRef>(
  items: (reading: Reading) => readonly Item[],
  text: (items: readonly Item[], wide: boolean) => string,
): Kind {
  return { items, text: text as Kind['text'] };
}
