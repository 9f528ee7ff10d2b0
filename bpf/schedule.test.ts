/** How each scheduler shares out connections, and what moves when a backend goes or comes: the programs at a pod and at a wire. */
import anyTest, { type ExecutionContext } from 'ava';
import { connections, connectionsKey, frontendFlag, scheduler } from '../src/layout.gen.ts';
import { addressToHex, endpointText } from '../src/model/address.ts';
import type { Scheduler } from '../src/model/scheduler.ts';
import { parse } from '../test/netns/packet.ts';
import { type Cast, casts } from './cast.ts';
import { type BackendText, type FrontendFacts, loadPrograms, type Programs, TCP, UDP } from './fixture.ts';
import { back, packet, send, type Way, wayOf } from './way.ts';

const test = anyTest.serial;
const sizes = { flows: 1024, half_open: 8192, affinity: 1024, udp_choices: 64, socket_reverse: 64, backends: 65_536 };
const bytes = (hex: string) => Buffer.from(hex, 'hex');

/** Some of a network that clients and backends of this family come from. */
const place = ({ family }: Cast, network: number, n: number): string =>
  family === 'IPv4' ? `10.${network}.${n >> 8}.${n & 255}` : `fd00:${network}::${(n + 1).toString(16)}`;
const manyBackends = (cast: Cast, count: number): BackendText[] =>
  Array.from({ length: count }, (_, n) => [place(cast, 30, n), 8080]);

function facts(cast: Cast, by: Scheduler, any: readonly BackendText[]): FrontendFacts {
  return { address: cast.vip, port: 80, protocol: TCP, servicePort: 7, any, scheduler: by };
}

const toLoopback = { destination: '00:00:00:00:00:00' };

/** So that each connection is a new one. */
let serial = 0;

/** Whom the n-th client gets, at this hook. */
function pick(programs: Programs, cast: Cast, n: number, more: Partial<Way> = {}, hook = 'from_pod'): string {
  const way = {
    source: place(cast, 40, n),
    sport: 5000 + (serial++ % 60_000),
    destination: cast.vip,
    dport: 80,
    ...more,
  };
  const { destination, dport } = wayOf(
    parse(Buffer.from(programs.run(hook, packet(TCP, way, { ethernet: toLoopback })).data)),
  );
  return endpointText(destination, dport);
}

function picks(programs: Programs, cast: Cast, clients: number): string[] {
  return Array.from({ length: clients }, (_, n) => pick(programs, cast, n));
}

function tally(chosen: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const one of chosen) counts.set(one, (counts.get(one) ?? 0) + 1);
  return counts;
}

/** Each of the pool has his share, give or take this part of it. */
function isShared(
  t: ExecutionContext,
  chosen: readonly string[],
  backends: readonly BackendText[],
  slack: number,
): void {
  const counts = tally(chosen);
  t.is(counts.size, backends.length);
  const share = chosen.length / backends.length;
  for (const [one, count] of counts) t.true(Math.abs(count - share) <= slack * share, `${one}: ${count} of ${share}`);
}

/** What `flow_connections` has of a backend; `sockets`: what sockets are counted there beforehand. */
function counted(programs: Programs, [address, port]: BackendText, servicePort = 7): number {
  const key = connectionsKey.encode({ address: addressToHex(address), servicePort, port });
  const row = programs.map('flow_connections').lookup(bytes(key));
  return row === undefined ? 0 : connections.decode(Buffer.from(row).toString('hex')) | 0;
}

function setCount(programs: Programs, map: string, [address, port]: BackendText, count: number): void {
  const key = connectionsKey.encode({ address: addressToHex(address), servicePort: 7, port });
  programs.map(map).update(bytes(key), bytes(connections.encode(count)));
}

for (const cast of casts) {
  const { family } = cast;

  test(`random gives each of ${family} its share by chance`, async (t) => {
    using programs = await loadPrograms('tc', sizes);
    const pool = manyBackends(cast, 4);
    programs.serve(facts(cast, 'random', pool));
    /* of 1600, 400 each: 0.35 of that are 8 standard deviations, once in 10^15 */
    isShared(t, picks(programs, cast, 1600), pool, 0.35);
  });

  test(`rr gives each of ${family} its turn, in the order of the pool, and goes on in that order when one goes`, async (t) => {
    using programs = await loadPrograms('tc', sizes);
    const pool = manyBackends(cast, 5);
    const texts = pool.map(([address, port]) => endpointText(address, port));
    programs.serve(facts(cast, 'rr', pool));
    const chosen = picks(programs, cast, 20);
    const first = texts.indexOf(chosen[0] ?? '');
    t.deepEqual(
      chosen,
      chosen.map((_, n) => texts[(first + n) % 5]),
    );
    programs.serve(facts(cast, 'rr', pool.toSpliced(2, 1)));
    const left = texts.toSpliced(2, 1);
    const after = picks(programs, cast, 8);
    const next = left.indexOf(after[0] ?? '');
    t.deepEqual(
      after,
      after.map((_, n) => left[(next + n) % 4]),
    );
  });

  for (const by of ['sh', 'maglev'] as const) {
    for (const count of [5, 100]) {
      test(`${by} shares clients out over ${count} backends of ${family}, and each client gets the same one again`, async (t) => {
        using programs = await loadPrograms('tc', sizes);
        using atWire = await loadPrograms('wire', sizes);
        const pool = manyBackends(cast, count);
        programs.serve(facts(cast, by, pool));
        const flags = frontendFlag.local_outside | frontendFlag.has_endpoint;
        atWire.serve({ ...facts(cast, by, []), local: pool, flags });
        const chosen = picks(programs, cast, 40 * count);
        isShared(t, chosen, pool, count === 5 ? 0.35 : 0.6);
        for (let n = 0; n < 40; n++) t.is(pick(programs, cast, n), chosen[n] ?? '');
        for (let n = 0; n < 40; n++) t.is(pick(atWire, cast, n, {}, 'from_wire'), chosen[n] ?? '', 'from outside');
      });
    }
  }

  test(`sh over few of ${family} moves only the clients of who went, and to who comes only his own`, async (t) => {
    using programs = await loadPrograms('tc', sizes);
    const pool = manyBackends(cast, 8);
    programs.serve(facts(cast, 'sh', pool));
    const before = picks(programs, cast, 800);
    programs.serve(facts(cast, 'sh', pool.toSpliced(3, 1)));
    const without = picks(programs, cast, 800);
    const gone = endpointText(...(pool[3] as [string, number]));
    for (const [n, one] of before.entries()) if (one !== gone) t.is(without[n] ?? '', one);
    t.false(without.includes(gone));
    programs.serve(facts(cast, 'sh', pool));
    t.deepEqual(picks(programs, cast, 800), before);
  });

  for (const [by, count] of [
    ['maglev', 8],
    ['maglev', 100],
    ['sh', 100],
  ] as const) {
    test(`${by} over ${count} of ${family} moves little more than the clients of who went`, async (t) => {
      using programs = await loadPrograms('tc', sizes);
      const pool = manyBackends(cast, count);
      programs.serve(facts(cast, by, pool));
      const before = picks(programs, cast, 2000);
      programs.serve(facts(cast, by, pool.toSpliced(3, 1)));
      const after = picks(programs, cast, 2000);
      const gone = endpointText(...(pool[3] as [string, number]));
      const moved = before.filter((one, n) => one !== after[n]).length;
      const had = before.filter((one) => one === gone).length;
      t.false(after.includes(gone));
      t.true(moved >= had);
      t.true(moved - had < 0.06 * 2000, `${moved} moved, ${had} had to`);
    });
  }

  test(`sh gives a client of ${family} the same pod by each port of a Service, and knows backends at one address apart`, async (t) => {
    using programs = await loadPrograms('tc', sizes);
    const pool = manyBackends(cast, 6);
    programs.serve(facts(cast, 'sh', pool));
    const twin = pool.map(([address]): BackendText => [address, 9090]);
    programs.serve({ ...facts(cast, 'sh', twin), port: 81, servicePort: 8 });
    for (let n = 0; n < 100; n++)
      t.is(pick(programs, cast, n).replace(/:8080$/, ':9090'), pick(programs, cast, n, { dport: 81 }));
    const [address] = pool[0] as BackendText;
    const shared: BackendText[] = [1, 2, 3].map((port) => [address, port]);
    programs.serve(facts(cast, 'sh', shared));
    isShared(t, picks(programs, cast, 600), shared, 0.35);
  });

  for (const count of [7, 70]) {
    test(`dh gives all clients of an address the same of ${count} backends of ${family}, and addresses their share`, async (t) => {
      using programs = await loadPrograms('tc', sizes);
      const pool = manyBackends(cast, count);
      programs.serve(facts(cast, 'dh', pool));
      const row = {
        any: { start: 0, count },
        local: { start: 0, count: 0 },
        servicePort: 7,
        affinitySeconds: 0,
        flags: 4,
      };
      const chosen = Array.from({ length: 200 }, (_, n) => {
        const destination = place(cast, 96, 10 + n);
        programs.setFrontend(destination, 80, TCP, { ...row, scheduler: scheduler.dh });
        programs.setFrontend(destination, 0, 0, { ...row, any: row.local, flags: 1 });
        const [first = '', ...others] = [1, 2, 3].map((client) => pick(programs, cast, client, { destination }));
        for (const other of others) t.is(other, first);
        return first;
      });
      t.true(tally(chosen).size > count / 2);
      t.true(Math.max(...tally(chosen).values()) < 4 * Math.ceil(200 / count));
    });
  }

  for (const by of ['lc', 'sed', 'nq'] as const) {
    test(`${by} chooses of ${family} whoever has the fewest connections, of sockets and flows`, async (t) => {
      using programs = await loadPrograms('tc', sizes);
      const pool = manyBackends(cast, 4);
      programs.serve(facts(cast, by, pool));
      const chosen = tally(picks(programs, cast, 40));
      t.deepEqual([...chosen.values()], [10, 10, 10, 10]);
      for (const one of pool) t.is(counted(programs, one), 10);
      setCount(programs, 'socket_connections', pool[1] as BackendText, 9);
      setCount(programs, 'flow_connections', pool[1] as BackendText, 0);
      setCount(programs, 'flow_connections', pool[2] as BackendText, -3 >>> 0);
      const after = [50, 51, 52].map((n) => pick(programs, cast, n));
      t.deepEqual(new Set(after), new Set([endpointText(...(pool[2] as [string, number]))]));
    });
  }

  test(`lc of more than 64 backends of ${family} asks 64 of them`, async (t) => {
    using programs = await loadPrograms('tc', sizes);
    const pool = manyBackends(cast, 96);
    programs.serve(facts(cast, 'lc', pool));
    for (const one of pool) setCount(programs, 'socket_connections', one, 1);
    for (const one of pool.filter((_, n) => n % 32 === 0)) setCount(programs, 'socket_connections', one, 0);
    const free = pool.filter((_, n) => n % 32 === 0).map(([address, port]) => endpointText(address, port));
    const [first, second] = [1, 2].map((n) => pick(programs, cast, n));
    t.true(free.includes(first ?? ''));
    t.true(free.includes(second ?? ''));
    t.not(first, second);
    for (const [n, one] of pool.entries()) setCount(programs, 'socket_connections', one, n < 64 ? 9 : 0);
    const last = pool.slice(64).map(([address, port]) => endpointText(address, port));
    t.true(
      [3, 4, 5, 6].some((n) => last.includes(pick(programs, cast, n))),
      'and not always the first ones',
    );
  });

  test(`a TCP flow of ${family} is counted until both sides closed it, or one broke it off`, async (t) => {
    using programs = await loadPrograms('tc', sizes);
    const backend = cast.backend;
    programs.serve(facts(cast, 'lc', [backend]));
    const begin = (sport: number, flags: string): [Way, Way] => {
      const way = { source: cast.client, sport, destination: cast.vip, dport: 80 };
      const there = wayOf(send(t, programs, 'from_pod', packet(TCP, way)).out);
      send(t, programs, 'from_pod', packet(TCP, way)); // sent again: the same connection
      send(t, programs, 'to_pod', packet(TCP, back(there), { flags }));
      send(t, programs, 'from_pod', packet(TCP, way, { flags: 'A' }));
      return [way, there];
    };
    const [first, firstThere] = begin(5001, 'AS');
    const [second] = begin(5002, 'AS');
    t.is(counted(programs, backend), 2);
    send(t, programs, 'from_pod', packet(TCP, first, { flags: 'FA' }));
    t.is(counted(programs, backend), 2, 'half closed');
    send(t, programs, 'to_pod', packet(TCP, back(firstThere), { flags: 'FA' }));
    t.is(counted(programs, backend), 1);
    send(t, programs, 'from_pod', packet(TCP, first, { flags: 'A' }));
    send(t, programs, 'from_pod', packet(TCP, second, { flags: 'R' }));
    send(t, programs, 'from_pod', packet(TCP, second, { flags: 'R' }));
    t.is(counted(programs, backend), 0);
    /* the same port again, in the place of the flow that is over */
    begin(5001, 'AS');
    t.is(counted(programs, backend), 1);
    send(t, programs, 'to_pod', packet(TCP, back(firstThere), { flags: 'R' }));
    t.is(counted(programs, backend), 0);
    t.is(programs.count(7, 'connected_pod'), 3n);
  });

  test(`a UDP flow of ${family} that leaves a removed backend is counted where it goes`, async (t) => {
    using programs = await loadPrograms('tc', sizes);
    const pool = manyBackends(cast, 2);
    programs.serve({ ...facts(cast, 'lc', pool), protocol: UDP });
    const way = { source: cast.client, sport: 6001, destination: cast.vip, dport: 80 };
    const there = wayOf(send(t, programs, 'from_pod', packet(UDP, way)).out);
    const [old, other] = there.destination === pool[0]?.[0] ? pool : pool.toReversed();
    t.deepEqual([counted(programs, old as BackendText), counted(programs, other as BackendText)], [1, 0]);
    programs.serve({ ...facts(cast, 'lc', [other as BackendText]), protocol: UDP });
    programs.removeBackend(7, old as BackendText);
    const noAddress = addressToHex('::');
    programs.setSwitches({ podsAtTc: 1, nodeIpv4: noAddress, nodeIpv6: noAddress, hasRemovedBackends: 1 });
    t.is(wayOf(send(t, programs, 'from_pod', packet(UDP, way)).out).destination, other?.[0] ?? '');
    t.deepEqual([counted(programs, old as BackendText), counted(programs, other as BackendText)], [0, 1]);
  });

  for (const by of ['random', 'rr', 'lc', 'sh', 'dh', 'maglev'] as const) {
    test(`session affinity goes before ${by}, over ${family}, and a backend that left is chosen anew by it`, async (t) => {
      using programs = await loadPrograms('tc', sizes);
      const pool = manyBackends(cast, 5);
      programs.serve({ ...facts(cast, by, pool), affinitySeconds: 600 });
      const first = pick(programs, cast, 1);
      for (let n = 0; n < 12; n++) t.is(pick(programs, cast, 1), first);
      const left = pool.filter(([address, port]) => endpointText(address, port) !== first);
      programs.serve({ ...facts(cast, by, left), affinitySeconds: 600 });
      const second = pick(programs, cast, 1);
      t.not(second, first);
      for (let n = 0; n < 12; n++) t.is(pick(programs, cast, 1), second);
    });
  }
}
