import { setTimeout as sleep } from 'node:timers/promises';
import type { Argv, CommandModule } from 'yargs';
import { requirePermission } from '../kernel/machine.ts';
import { pinDir } from '../kernel/pins.ts';
import { defaultPinDir } from '../kernel/place.ts';
import { RefusedError } from '../kernel/refused.ts';
import { readRow, readRows } from '../kernel/tables.ts';
import { Trace, type Wanted } from '../kernel/trace.ts';
import { type Event, eventKind, reason, servicePortName, u32 } from '../layout.gen.ts';
import { addressToHex, noAddressHex, parseAddress } from '../model/address.ts';
import { openCurrent } from './current-generation.ts';
import { refFrom, type ServiceRef } from './service-ref.ts';
import { type TraceItem, traceItem } from './trace-items.ts';
import { traceTable } from './trace-text.ts';
import { UsageError } from './usage.ts';

interface TraceFlags {
  service?: string;
  address?: string;
  reason?: string;
  output: 'text' | 'json';
  count?: number;
  pinDir?: string;
}

/** What nobody reads is not kept for ever. */
const UNREAD_BYTES = 2 ** 22;

export const command: CommandModule = {
  command: 'trace [service]',
  describe: 'flows made, ended, refused and dropped, as they happen',
  builder,
  handler: (args) => trace(args as unknown as TraceFlags),
} as CommandModule;

function builder(cli: Argv): Argv {
  return cli
    .usage(
      '$0 trace [NAMESPACE/NAME]\n\nTells of flows as they are made and end, and of what is refused and dropped. The programs in the kernel tell, and only what is asked for: no agent has to run. One at a time may listen. That a flow was idle for too long shows only when its addresses are wanted again, and sockets do not tell their end.',
    )
    .positional('service', { type: 'string', describe: 'only this Service, as NAMESPACE/NAME' })
    .option('address', {
      type: 'string',
      requiresArg: true,
      describe: 'only where this is the address of the client, the Service or the backend',
    })
    .option('reason', {
      type: 'string',
      requiresArg: true,
      describe: 'only this reason, as dump -o wide has it, or one of made, ended, refused, dropped',
    })
    .option('output', {
      alias: 'o',
      requiresArg: true,
      choices: ['text', 'json'] as const,
      default: 'text' as const,
      describe: 'json: an object on each line',
    })
    .option('count', { type: 'number', requiresArg: true, describe: 'end after so many' })
    .option('pin-dir', {
      type: 'string',
      requiresArg: true,
      describe: 'where things are pinned',
      defaultDescription: 'bpfsvc in the BPF filesystem',
    })
    .example('$0 trace', 'everything that begins or ends')
    .example('$0 trace default/web --address 10.1.0.9', 'what one client does with one Service')
    .example('$0 trace --reason dropped -o json', 'all drops, for programs');
}

async function trace(flags: TraceFlags): Promise<void> {
  const wanted = wantedBy(flags);
  const { count = Number.POSITIVE_INFINITY } = flags;
  if (!(count >= 1)) throw new UsageError(`--count ${flags.count} is not a number of events`);
  requirePermission();
  const path = flags.pinDir ?? defaultPinDir();
  const generation = openCurrent(path);
  requireService(await readRows(generation.tables.names), flags.service);

  const stop = new AbortController();
  const failure: { error?: Error } = {};
  const table = traceTable();
  const print = (item: TraceItem) => (flags.output === 'json' ? `${JSON.stringify(item)}\n` : table(item));
  let told = 0;
  let unread = 0n;
  using listening = new Trace(
    pinDir(path),
    generation,
    wanted,
    (event) => {
      if (told >= count) return;
      told++;
      if (process.stdout.writableLength < UNREAD_BYTES) process.stdout.write(print(itemOf(event, listening)));
      else unread++;
      if (told >= count) stop.abort();
    },
    (error) => {
      failure.error = error;
      stop.abort();
    },
  );
  /* A reader that is gone ends the process in the middle of a write. */
  process.on('exit', () => listening.close());
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => stop.abort());
  process.stderr.write(`bpfsvc: listening${flags.service ? ` for ${flags.service}` : ''}, until Ctrl-C\n`);
  while (!stop.signal.aborted) {
    await sleep(1000, undefined, { signal: stop.signal }).catch(() => undefined);
    const lost = listening.takeLost() + unread;
    unread = 0n;
    if (lost > 0n) process.stdout.write(lostLine(lost, flags.output));
  }
  if (failure.error) throw failure.error;
}

function lostLine(lost: bigint, output: TraceFlags['output']): string {
  const time = new Date().toISOString();
  if (output === 'json') return `${JSON.stringify({ time, event: 'lost', count: Number(lost) })}\n`;
  return `... ${lost} events were lost: they came faster than they were read. Ask for one Service, address or reason.\n`;
}

function wantedBy({ service, address, reason: why }: TraceFlags): Wanted {
  const [namespace = '', name = '', ...more] = service === undefined ? [] : service.split('/');
  if (service !== undefined && (!namespace || !name || more.length > 0)) {
    throw new UsageError(`'${service}' is not NAMESPACE/NAME`);
  }
  if (Math.max(Buffer.byteLength(namespace), Buffer.byteLength(name)) > 63) {
    throw new UsageError(`'${service}' is longer than the name of a Service can be`);
  }
  const parsed = address === undefined ? undefined : parseAddress(address);
  if (parsed === null) throw new UsageError(`--address ${address} is not an IP address`);
  return {
    namespace,
    service: name,
    address: parsed === undefined ? noAddressHex : addressToHex(parsed),
    ...reasonBy(why),
  };
}

function reasonBy(why: string | undefined): Pick<Wanted, 'kinds' | 'reason'> {
  const { made, ended, refused, dropped } = eventKind;
  const kinds = made | ended | refused | dropped;
  if (why === undefined) return { kinds, reason: 0 };
  if (why in eventKind) return { kinds: eventKind[why as keyof typeof eventKind], reason: 0 };
  const { event_lost, ...reasons } = reason;
  if (why in reasons) return { kinds, reason: reasons[why as keyof typeof reasons] };
  const words = [...Object.keys(eventKind), ...Object.keys(reasons)].join(', ');
  throw new UsageError(`--reason ${why}: there is no such reason, but ${words}`);
}

/** Whoever mistyped a name would wait for ever. */
function requireService(names: ReadonlyMap<string, string>, asked: string | undefined): void {
  if (asked === undefined) return;
  const isKnown = [...names.values()].some((value) => {
    const { namespace, service } = servicePortName.decode(value);
    return `${namespace}/${service}` === asked;
  });
  if (!isKnown) throw new RefusedError(`the kernel holds nothing of Service ${asked}`);
}

function itemOf(event: Event, { generation }: Trace): TraceItem {
  const bootTime = BigInt(Date.now()) * 1_000_000n - process.hrtime.bigint();
  return traceItem(event, serviceOf(event.servicePort, generation), bootTime);
}

function serviceOf(id: number, { tables }: Trace['generation']): ServiceRef {
  return refFrom(id, id === 0 ? undefined : readRow(tables.names, u32.encode(id)));
}
