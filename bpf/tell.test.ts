/** What the programs that ship tell of flows, and what they keep to themselves. */
import anyTest, { type ExecutionContext } from 'ava';
import { RingBuffer } from 'libbpf-ts';
import {
  type Event,
  event,
  eventKind,
  eventKindName,
  flowState,
  frontendFlag,
  hook,
  maps,
  reason,
  reasonName,
  type TraceFilter,
} from '../src/layout.gen.ts';
import { addressFromHex, addressToHex } from '../src/model/address.ts';
import { type Cast, casts } from './cast.ts';
import { loadPrograms, nowSeconds, type Programs, TCP, UDP } from './fixture.ts';
import { back, packet, send, type Way, wayOf } from './way.ts';

const test = anyTest.serial;
const bytes = (hex: string) => Buffer.from(hex, 'hex');
const everything = eventKind.made | eventKind.ended | eventKind.refused | eventKind.dropped;
const SERVICE = 7;

/** tc's programs with one Service, a listener at their ring, and its filter. */
class Stage implements Disposable {
  readonly programs: Programs;
  readonly cast: Cast;
  readonly #told: Event[] = [];
  readonly #ring: RingBuffer;
  #wake = (): void => {};

  constructor(programs: Programs, cast: Cast) {
    this.programs = programs;
    this.cast = cast;
    const { vip, backend } = cast;
    programs.serve({ address: vip, port: 80, protocol: TCP, servicePort: SERVICE, any: [backend] });
    const name = { namespace: 'default', service: 'web', port: 'http', number: 80, protocol: TCP };
    programs.map('names').update(bytes(maps.names.key.encode(SERVICE)), bytes(maps.names.value.encode(name)));
    this.#ring = new RingBuffer(programs.map('events'), (record) => {
      this.#told.push(event.decode(Buffer.from(record).toString('hex')));
      this.#wake();
    });
  }

  listen(filter: Partial<TraceFilter> = {}): void {
    const row = {
      namespace: '',
      service: '',
      address: addressToHex('::'),
      kinds: everything,
      reason: 0,
      until: nowSeconds() + 60,
      ...filter,
    };
    this.programs.map('trace_filter').update(Buffer.alloc(4), bytes(maps.trace_filter.value.encode(row)));
  }

  /** The next events, as many; there must be no other before them. */
  async next(count: number): Promise<Event[]> {
    while (this.#told.length < count) {
      await new Promise<void>((resolve, reject) => {
        const timer = setTimeout(() => reject(new Error(`told ${this.#told.map(brief)}, and no more`)), 10_000);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    return this.#told.splice(0, count);
  }

  /** A client's way to the Service. */
  way(sport: number): Way {
    return { source: this.cast.client, sport, destination: this.cast.vip, dport: 80 };
  }

  send(t: ExecutionContext, program: string, way: Way, flags: string): Way {
    return wayOf(send(t, this.programs, program, packet(TCP, way, { flags })).out);
  }

  /** A connection, established; the way it goes on. */
  connect(t: ExecutionContext, sport: number): Way {
    const there = this.send(t, 'from_pod', this.way(sport), 'S');
    this.send(t, 'to_pod', back(there), 'AS');
    this.send(t, 'from_pod', this.way(sport), 'A');
    return there;
  }

  [Symbol.dispose](): void {
    this.#ring.close();
    this.programs[Symbol.dispose]();
  }
}

async function setStage(cast: Cast): Promise<Stage> {
  return new Stage(await loadPrograms('tc', { flows: 512, half_open: 512, events: 4096 }), cast);
}

const brief = (told: Event) => `${eventKindName(told.kind)} ${reasonName(told.reason)}`;

/** 'client > asked => what it becomes', ports and all. */
function tuples({ asked, ...to }: Event): string {
  const text = (address: string, port: number) => `${addressFromHex(address)} ${port}`;
  return [
    `${text(asked.source, asked.sourcePort)} > ${text(asked.destination, asked.destinationPort)}`,
    `${text(to.source, to.sourcePort)} > ${text(to.destination, to.destinationPort)}`,
  ].join(' => ');
}

for (const cast of casts) {
  const { family, client, vip, other, backend } = cast;
  const flow = `${client} 40000 > ${vip} 80 => ${client} 40000 > ${backend[0]} ${backend[1]}`;

  test(`over ${family} a flow is told when it is made and when both have closed it, and not in between`, async (t) => {
    using stage = await setStage(cast);
    stage.listen();
    const before = process.hrtime.bigint();
    const there = stage.connect(t, 40000);
    for (const flags of ['A', 'AP', 'AF']) stage.send(t, 'from_pod', stage.way(40000), flags);
    stage.send(t, 'to_pod', back(there), 'AF');
    stage.send(t, 'from_pod', stage.way(40000), 'A');
    const [made, ended] = (await stage.next(2)) as [Event, Event];
    t.is(brief(made), 'made connected_pod');
    t.is(brief(ended), 'ended ended_fin');
    t.is(tuples(made), flow);
    t.is(tuples(ended), flow, 'the client’s side of it, though the backend had the last word');
    t.is(made.asked.hook, hook.from_pod);
    t.is(ended.asked.hook, hook.to_pod);
    t.like(made, { servicePort: SERVICE, process: 0, command: '' });
    t.is(made.asked.protocol, TCP);
    t.true(made.time >= before && ended.time >= made.time && ended.time <= process.hrtime.bigint());
  });

  test(`over ${family} the end of a flow has its reason, and is told once`, async (t) => {
    using stage = await setStage(cast);
    stage.listen({ kinds: eventKind.ended });
    const reset = stage.connect(t, 40000);
    stage.send(t, 'to_pod', back(reset), 'R');
    stage.send(t, 'from_pod', stage.way(40000), 'S');
    t.deepEqual((await stage.next(1)).map(brief), ['ended ended_reset'], 'and not again when its port is used again');

    stage.connect(t, 40001);
    for (const { key, row } of await stage.programs.flows('flows')) {
      if ([key.sourcePort, key.destinationPort].includes(40001)) {
        stage.programs.setFlow('flows', key, { ...row, seen: (nowSeconds() - 86_500) >>> 0 });
      }
    }
    stage.send(t, 'from_pod', stage.way(40001), 'S');
    t.deepEqual((await stage.next(1)).map(brief), ['ended ended_idle']);

    stage.connect(t, 40002);
    stage.programs.serve({ address: vip, port: 80, protocol: TCP, servicePort: SERVICE, any: [[other, 8080]] });
    stage.send(t, 'from_pod', stage.way(40002), 'S');
    const [replaced] = (await stage.next(1)) as [Event];
    t.is(brief(replaced), 'ended ended_replaced');
    t.is(tuples(replaced), flow.replaceAll('40000', '40002'));
  });

  test(`over ${family} what is refused and dropped is told with what was asked`, async (t) => {
    using stage = await setStage(cast);
    stage.listen();
    const asked = `${client} 40000 > ${vip} 81 => :: 0 > :: 0`;
    send(t, stage.programs, 'from_pod', packet(UDP, { ...stage.way(40000), dport: 81 }));
    const [refused] = (await stage.next(1)) as [Event];
    t.is(brief(refused), 'refused reject_undefined_port');
    t.is(tuples(refused), asked);
    t.is(refused.servicePort, SERVICE);
    const flags = frontendFlag.has_endpoint | frontendFlag.local_only;
    stage.programs.serve({ address: vip, port: 80, protocol: TCP, servicePort: SERVICE, any: [], flags });
    stage.programs.run('from_pod', packet(TCP, stage.way(40000)));
    const [dropped] = (await stage.next(1)) as [Event];
    t.is(brief(dropped), 'dropped drop_no_local_endpoint');
    t.is(tuples(dropped), asked.replace('81', '80'));
  });

  const heard: [what: string, filter: Partial<TraceFilter>, isHeard: boolean][] = [
    ['everything', {}, true],
    ['flows made', { kinds: eventKind.made }, true],
    ['ends and drops', { kinds: eventKind.ended | eventKind.dropped | eventKind.refused }, false],
    ['this reason', { reason: reason.connected_pod }, true],
    ['another reason', { reason: reason.connected_wire }, false],
    ['the client', { address: addressToHex(client) }, true],
    ['the Service’s address', { address: addressToHex(vip) }, true],
    ['the backend', { address: addressToHex(backend[0]) }, true],
    ['somebody else', { address: addressToHex(other) }, false],
    ['the Service', { namespace: 'default', service: 'web' }, true],
    ['one of that name elsewhere', { namespace: 'shop', service: 'web' }, false],
    ['one whose name begins so', { namespace: 'default', service: 'webs' }, false],
    ['all of it', { namespace: 'default', service: 'web', address: addressToHex(client), kinds: eventKind.made }, true],
    ['all but one', { namespace: 'default', service: 'web', address: addressToHex(other) }, false],
    ['everything, but gone since', { until: nowSeconds() - 1 }, false],
    ['nothing', { kinds: 0 }, false],
  ];
  test(`over ${family} programs tell only what is asked for`, async (t) => {
    using stage = await setStage(cast);
    for (const [i, [what, filter, isHeard]] of heard.entries()) {
      stage.listen(filter);
      stage.send(t, 'from_pod', stage.way(41_000 + i), 'S');
      stage.listen();
      stage.send(t, 'from_pod', stage.way(42_000 + i), 'S');
      const told = await stage.next(isHeard ? 2 : 1);
      const ports = told.map(({ asked }) => asked.sourcePort);
      t.deepEqual(ports, isHeard ? [41_000 + i, 42_000 + i] : [42_000 + i], what);
    }
  });
}

test('events for which there is no room are counted, and nothing else suffers', async (t) => {
  const [cast] = casts;
  const programs = await loadPrograms('tc', { flows: 512, half_open: 512, events: 4096 });
  using stage = new Stage(programs, cast);
  stage.listen();
  for (let i = 0; i < 50; i++) stage.send(t, 'from_pod', stage.way(40_000 + i), 'S');
  const lost = Number(programs.count(0, 'event_lost'));
  t.is(lost, 50 - Math.floor(4096 / (8 + event.size)));
  t.is(programs.count(SERVICE, 'connected_pod'), 50n);
  await stage.next(50 - lost);
  stage.send(t, 'from_pod', stage.way(50_000), 'S');
  t.is((await stage.next(1))[0]?.asked.sourcePort, 50_000, 'and when it was read there is room again');
});

test('a flow of which only one side has closed has not ended', async (t) => {
  const [cast] = casts;
  using stage = await setStage(cast);
  stage.listen({ kinds: eventKind.ended });
  stage.connect(t, 40000);
  stage.send(t, 'from_pod', stage.way(40000), 'AF');
  stage.send(t, 'from_pod', stage.way(40000), 'R');
  t.deepEqual((await stage.next(1)).map(brief), ['ended ended_reset']);
  const states = (await stage.programs.flows('flows')).map(({ row }) => row.state & flowState.reset);
  t.deepEqual(states, [flowState.reset, flowState.reset]);
});
