import { setTimeout } from 'node:timers/promises';
import anyTest, { type ExecutionContext } from 'ava';
import { faults } from '../test/netns/checksum.ts';
import type { Wanted } from '../test/netns/craft.ts';
import type { Extension, Packet } from '../test/netns/header.ts';
import { parse, quoted } from '../test/netns/packet.ts';
import { type Cast, casts } from './cast.ts';
import { loadPrograms, type Programs, TCP, UDP, verdict } from './fixture.ts';
import { back, packet, send, type Way, wayOf } from './way.ts';

const test = anyTest.serial;
const ETHERNET = 14;
const NOBODY = 9;
const POD_MAC = '02:00:00:00:00:01';
const GATEWAY_MAC = '02:00:00:00:00:02';
let programs: Programs;
let lastPort = 30_000;

test.before(async () => {
  programs = await loadPrograms('tc', { flows: 512, half_open: 512, backends: 64 });
  for (const { vip: address } of casts) {
    for (const protocol of [TCP, UDP]) programs.serve({ address, port: 80, protocol, servicePort: NOBODY, any: [] });
  }
});
test.after.always(() => programs?.[Symbol.dispose]());

function fresh({ client, vip }: Cast): Way {
  lastPort += 1;
  return { source: client, sport: lastPort, destination: vip, dport: 80 };
}

/** The answer to a packet that is rejected. */
function answer(t: ExecutionContext, frame: Buffer): Packet {
  const { retval, out } = send(t, programs, 'from_pod', frame);
  t.is(retval, verdict.redirect);
  t.like(out.ethernet, { source: GATEWAY_MAC, destination: POD_MAC, vlans: [] });
  t.is(out.trailer.length, 0);
  return out;
}

const extensions: Extension[] = [
  { type: 0, next: 0, data: '00010400000000' },
  { type: 60, next: 0, data: '01010c000000000000000000000000' },
];

function oddly(family: Cast['family']): Wanted['ip'] {
  return (family === 'IPv4' ? { options: '0101010194040000' } : { extensions }) as unknown as Wanted['ip'];
}

for (const cast of casts) {
  const { family, client, vip } = cast;
  const is4 = family === 'IPv4';
  const room = is4 ? 28 : 48;
  const most = is4 ? 576 : 1280;

  for (const { name, extra, data } of [
    { name: 'a SYN', extra: {}, data: 0 },
    { name: 'a SYN with data', extra: { payload: 'early' }, data: 5 },
    { name: 'a SYN with much data', extra: { payload: Buffer.alloc(1400, 'x') }, data: 1400 },
    { name: 'a SYN behind options or extension headers', extra: { ip: oddly(family) }, data: 0 },
  ]) {
    test(`the RST over ${family} for ${name} has every field right`, (t) => {
      const way = fresh(cast);
      const out = answer(t, packet(TCP, way, { payload: '', ...extra }));
      t.deepEqual(wayOf(out), back(way));
      t.like(out.transport, { kind: 'tcp', sequence: 0, acknowledgement: 1001 + data, flags: 'AR', window: 0 });
      t.like(out.transport, { reserved: 0, urgent: 0, options: '' });
      t.is(out.payload.length, 0);
      if (is4) t.like(out.ip, { ttl: 64, protocol: TCP, totalLength: 40, options: '', fragmentOffset: 0, dscp: 0 });
      else t.like(out.ip, { hopLimit: 64, nextHeader: TCP, payloadLength: 20, trafficClass: 0, flowLabel: 0 });
    });
  }

  for (const { name, extra } of [
    { name: 'without data', extra: { payload: '' } },
    { name: 'of odd length', extra: { payload: 'abc' } },
    { name: 'that fits to the byte', extra: { payload: Buffer.alloc(most - room - room, 'y') } },
    { name: 'one byte longer than fits', extra: { payload: Buffer.alloc(most - room - room + 1, 'y') } },
    { name: 'of a whole frame', extra: { payload: Buffer.alloc(1500 - room, 'y') } },
    { name: 'larger than a frame', extra: { payload: Buffer.alloc(3000, 'y') } },
    { name: 'behind options or extension headers', extra: { ip: oddly(family), payload: 'abc' } },
  ]) {
    test(`the port unreachable over ${family} for a datagram ${name} has every field right`, (t) => {
      const way = fresh(cast);
      const frame = packet(UDP, way, extra);
      const out = answer(t, frame);
      const length = Math.min(most, frame.length - ETHERNET + room);
      if (is4) t.like(out.ip, { ttl: 64, protocol: 1, totalLength: length, options: '', moreFragments: false });
      else t.like(out.ip, { hopLimit: 64, nextHeader: 58, payloadLength: length - 40, flowLabel: 0, extensions: [] });
      t.like(out.ip, { source: vip, destination: client });
      t.like(out.transport, is4 ? { type: 3, code: 3, rest: 0 } : { type: 1, code: 4, rest: 0 });
      t.deepEqual(out.payload, frame.subarray(ETHERNET, ETHERNET + length - room));
      t.like(quoted(out)?.ip, { source: client, destination: vip });
    });
  }

  test(`a frame over ${family} padded by Ethernet is quoted without the padding`, (t) => {
    const frame = packet(UDP, fresh(cast), { payload: 'x' });
    const out = answer(t, Buffer.concat([frame, Buffer.alloc(18, 0xee)]));
    t.deepEqual(out.payload, frame.subarray(ETHERNET));
  });

  for (const source of is4
    ? ['224.0.0.1', '255.255.255.255', '0.0.0.0', '127.0.0.1']
    : ['ff02::1', '::', '::1', 'ff0e::1']) {
    test(`nothing is answered over ${family} to ${source}`, (t) => {
      for (const protocol of [TCP, UDP]) {
        const before = programs.count(NOBODY, 'reject_no_endpoint');
        const { retval } = programs.run('from_pod', packet(protocol, { ...fresh(cast), source }));
        t.is(retval, verdict.shot);
        t.is(programs.count(NOBODY, 'reject_no_endpoint'), before + 1n, 'counted all the same');
      }
    });
  }

  test(`a frame to all over ${family} is not answered`, (t) => {
    for (const destination of ['ff:ff:ff:ff:ff:ff', '01:00:5e:00:00:01']) {
      const ethernet = { destination, source: POD_MAC };
      t.is(programs.run('from_pod', packet(UDP, fresh(cast), { ethernet })).retval, verdict.shot);
    }
  });
}

test('a flood is not answered for long, what is not is counted, and a while later it is again', async (t) => {
  const [cast] = casts;
  const frame = packet(UDP, fresh(cast));
  const limited = (): bigint => programs.count(NOBODY, 'reject_limit');
  const answered = (): bigint => programs.count(NOBODY, 'reject_no_endpoint');
  const [silent, told] = [limited(), answered()];
  let sent = 0;
  for (; sent < 200_000 && limited() === silent; sent += 500) {
    for (let i = 0; i < 500; i++) programs.run('from_pod', frame);
  }
  t.true(limited() > silent);
  t.true(answered() > told, 'a burst is answered');
  t.is(answered() - told + limited() - silent, BigInt(sent), 'each is either');
  await setTimeout(50);
  t.deepEqual(faults(parse(Buffer.from(programs.run('from_pod', frame).data))), []);
  t.is(programs.run('from_pod', frame).retval, verdict.redirect);
});

test('IPv6 headers too long to be copied are not answered: those of IPv4 end at 60 bytes', (t) => {
  const cast = casts.find(({ family }) => family === 'IPv6') as Cast;
  const extensions = [{ type: 60, next: 0, data: '0c'.concat('0164', '00'.repeat(100)) }];
  const frame = packet(UDP, fresh(cast), { ip: { extensions } as unknown as Wanted['ip'] });
  t.is(programs.run('from_pod', frame).retval, verdict.shot);
});
