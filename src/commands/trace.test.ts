import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import anyTest from 'ava';
import { openPinned, pinPath, runAgentIn, service, writeManifest } from '../../test/agent.ts';
import { runCli, startCli, untilSays } from '../../test/cli.ts';
import { craft } from '../../test/netns/craft.ts';
import { eventually } from '../../test/netns/eventually.ts';
import { makeSandbox } from '../../test/sandbox.ts';
import { pinDir } from '../kernel/pins.ts';
import { Trace } from '../kernel/trace.ts';
import { type Event, eventKind, traceFilter } from '../layout.gen.ts';

const test = anyTest.serial;
const box = makeSandbox();
const path = pinPath(box);
const everything = { namespace: '', service: '', address: '0'.repeat(32), kinds: eventKind.made, reason: 0 };

const manifests = writeManifest(box, 'trace.json', [
  ...service('web', '10.96.0.1', ['10.1.0.1']),
  ...service('api', '10.96.0.2', ['10.1.0.2']),
]);

async function runAgentOnce(sizes = {}): Promise<void> {
  const agent = runAgentIn(box, { manifests, sizes });
  await eventually(() => {
    if (!agent.messages.some((text) => /rows? written/.test(text))) throw new Error('not yet');
  }, 60);
  await agent.stop();
}

test.before(async () => await runAgentOnce());
test.after.always(() => box.close());

const listeners = new Set<ChildProcess>();
test.afterEach.always(async () => {
  for (const child of listeners) await end(child, 'SIGKILL');
  listeners.clear();
});

let lastPort = 40_000;

/** A connection begins, as a packet to a Service at the program that is loaded; returns the client's port. */
function connect(address: string): number {
  using generation = openPinned(box);
  const data = craft({
    ip: { source: '10.1.0.9', destination: address },
    tcp: { sourcePort: ++lastPort, destinationPort: 80, flags: 'S' },
  });
  generation.programs.from_pod.testRun({ data });
  return lastPort;
}

function kindsTold(): number {
  using generation = openPinned(box);
  return traceFilter.decode(Buffer.from(generation.state.trace_filter.lookup(Buffer.alloc(4)) ?? []).toString('hex'))
    .kinds;
}

async function listen(...words: string[]): Promise<{ child: ChildProcess; out: () => string }> {
  const child = startCli(['trace', ...words, '--pin-dir', path]);
  listeners.add(child);
  let text = '';
  child.stdout?.on('data', (chunk) => {
    text += chunk;
  });
  await untilSays(child, /listening/);
  return { child, out: () => text };
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<number | null> {
  if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
  const gone = once(child, 'close');
  child.kill(signal);
  const [code] = await gone;
  return code as number | null;
}

/** Its exit code when it has ended by itself; null if it does not. */
async function ended(child: ChildProcess): Promise<number | null> {
  const timer = setTimeout(() => child.kill('SIGKILL'), 20_000);
  const [code] = await once(child, 'close');
  clearTimeout(timer);
  return code as number | null;
}

/** The client ports in JSON lines. */
const portsIn = (text: string) =>
  [...text.matchAll(/"source":"10\.1\.0\.9:(\d+)","destination":"10\.96/g)].map(([, port]) => Number(port));

test('bpfsvc trace NAMESPACE/NAME tells of that Service alone, and is silent afterwards', async (t) => {
  const { child, out } = await listen('default/api', '-o', 'json', '--count', '2');
  connect('10.96.0.1');
  const ports = [connect('10.96.0.2'), connect('10.96.0.2')];
  t.is(await ended(child), 0);
  t.deepEqual(portsIn(out()), ports);
  t.is(kindsTold(), 0);
});

test('the programs are silent when nobody reads any more, and when it was told to end', async (t) => {
  const { child } = await listen();
  t.not(kindsTold(), 0);
  t.is(await end(child, 'SIGTERM'), 0);
  t.is(kindsTold(), 0);
  const unread = await listen('-o', 'json');
  unread.child.stdout?.destroy();
  connect('10.96.0.1');
  t.is(await ended(unread.child), 0);
  t.is(kindsTold(), 0);
});

test('what a listener that was killed left unread is not told to the next', async (t) => {
  const killed = await listen();
  killed.child.kill('SIGSTOP');
  connect('10.96.0.1');
  await end(killed.child, 'SIGKILL');
  const { child, out } = await listen('-o', 'json', '--count', '1');
  const port = connect('10.96.0.1');
  t.is(await ended(child), 0);
  t.deepEqual(portsIn(out()), [port]);
});

test('a second listener is refused, with the pid of the first', async (t) => {
  const { child } = await listen();
  const second = startCli(['trace', '--pin-dir', path]);
  let stderr = '';
  second.stderr?.on('data', (chunk) => {
    stderr += chunk;
  });
  t.is(await ended(second), 1);
  t.regex(stderr, new RegExp(`^bpfsvc: another bpfsvc trace \\(pid ${child.pid}\\) listens already`));
});

test('Trace follows from one generation to the next, and counts what is lost', async (t) => {
  const told: Event[] = [];
  using trace = new Trace(
    pinDir(path),
    openPinned(box),
    everything,
    (event) => told.push(event),
    (error) => t.fail(error.message),
  );
  const before = trace.generation.hash;
  await runAgentOnce({ frontends: 1024 });
  await eventually(() => {
    if (trace.generation.hash === before) throw new Error('not yet');
  }, 20);
  t.is(trace.takeLost(), 0n);
  told.length = 0;
  for (let i = 0; i < 10_000; i++) connectAgain(trace, i);
  const lost = Number(trace.takeLost());
  await eventually(() => {
    if (told.length + lost < 10_000) throw new Error('not yet');
  }, 20);
  t.true(lost > 0, 'nobody read meanwhile');
  t.is(told.length + lost, 10_000);
  t.is(trace.takeLost(), 0n);
});

/** The same without opening anything. */
function connectAgain({ generation }: Trace, i: number): void {
  const tcp = { sourcePort: 1024 + i, destinationPort: 80, flags: 'S' };
  const data = craft({ ip: { source: '10.1.0.10', destination: '10.96.0.1' }, tcp });
  generation.programs.from_pod.testRun({ data });
}

test('bpfsvc trace says what it cannot do', async (t) => {
  for (const [words, code, text] of [
    [['default/nobody'], 1, /^bpfsvc: the kernel holds nothing of Service default\/nobody\n$/],
    [['web'], 2, /^bpfsvc: 'web' is not NAMESPACE\/NAME: see/],
    [['--address', '10.0.0'], 2, /^bpfsvc: --address 10\.0\.0 is not an IP address: see/],
    [
      ['--reason', 'event_lost'],
      2,
      /^bpfsvc: --reason event_lost: there is no such reason, but made, .*connected_socket/,
    ],
    [['--count', '0'], 2, /^bpfsvc: --count 0 is not a number of events: see/],
    [['--count', 'x'], 2, /^bpfsvc: --count NaN is not a number of events: see/],
  ] as const) {
    const result = await runCli('trace', ...words, '--pin-dir', path);
    t.is(result.code, code, words.join(' '));
    t.regex(result.stderr, text);
    t.is(result.stdout, '');
  }
  const nothing = await runCli('trace', '--pin-dir', `${box.bpfFs}/nothing`);
  t.is(nothing.code, 1);
  t.regex(nothing.stderr, /^bpfsvc: nothing is loaded below/);
});
