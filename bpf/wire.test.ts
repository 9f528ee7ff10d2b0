import anyTest from 'ava';
import { craft } from '../test/netns/craft.ts';
import { type BackendText, type FrontendFacts, loadPrograms, TCP, UDP, verdict } from './fixture.ts';
import { packet, send, type Way } from './way.ts';

/** The same story in both families: the names of who takes part. */
interface Cast {
  readonly family: 'IPv4' | 'IPv6';
  readonly client: string;
  readonly other: string;
  readonly vip: string;
  readonly vip2: string;
  readonly backends: readonly BackendText[];
}

const casts: readonly Cast[] = [
  {
    family: 'IPv4',
    client: '192.0.2.10',
    other: '192.0.2.11',
    vip: '10.96.0.1',
    vip2: '10.96.0.2',
    backends: [['10.1.1.21', 8080]],
  },
  {
    family: 'IPv6',
    client: '2001:db8::10',
    other: '2001:db8::11',
    vip: 'fd00:96::1',
    vip2: 'fd00:96::2',
    backends: [['fd00:1:1::21', 8080]],
  },
];

const sizes = { flows: 512, half_open: 512, affinity: 1024, udp_choices: 64, socket_reverse: 64, backends: 64 };

const test = anyTest.serial;

function facts(cast: Cast, more: Partial<FrontendFacts> = {}): FrontendFacts {
  return { address: cast.vip, port: 80, protocol: TCP, servicePort: 7, any: cast.backends, ...more };
}

function toVip(cast: Cast, sport: number, vip: string = cast.vip): Way {
  return { source: cast.client, sport, destination: vip, dport: 80 };
}

for (const cast of casts) {
  const { family } = cast;

  test(`to_wire over ${family} stops service addresses that nobody translated, whatever the protocol, and no others`, async (t) => {
    using programs = await loadPrograms('wire', sizes);
    programs.serve(facts(cast));
    programs.addServiceCidr(family === 'IPv4' ? '10.96.0.0' : 'fd00:96::', family === 'IPv4' ? 96 + 16 : 64);
    const to = (destination: string) => ({ ...toVip(cast, 4001), destination });
    t.is(send(t, programs, 'to_wire', packet(TCP, to(cast.vip), { flags: 'A' })).retval, verdict.shot);
    t.is(send(t, programs, 'to_wire', packet(UDP, to(cast.vip))).retval, verdict.shot);
    const ping = craft({
      ip: { source: cast.client, destination: cast.vip },
      icmp: { type: family === 'IPv4' ? 8 : 128 },
    });
    t.is(send(t, programs, 'to_wire', ping).retval, verdict.shot);
    t.is(programs.count(7, 'drop_untranslated'), 3n);
    t.is(send(t, programs, 'to_wire', packet(TCP, to(cast.vip2))).retval, verdict.shot);
    t.is(programs.count(0, 'drop_unallocated'), 1n);
    t.is(send(t, programs, 'to_wire', packet(TCP, to(cast.other))).retval, verdict.unspec);
  });
}

test('a fragment to a service address is stopped by to_wire', async (t) => {
  using programs = await loadPrograms('wire', sizes);
  const [cast] = casts as [Cast];
  programs.serve(facts(cast, { protocol: UDP }));
  for (const ip of [{ moreFragments: true }, { fragmentOffset: 1480 }]) {
    const frame = craft({
      ip: { source: cast.client, destination: cast.vip, dontFragment: false, ...ip },
      udp: { sourcePort: 4001, destinationPort: 80 },
      payload: 'hello',
    });
    t.is(programs.run('to_wire', frame).retval, verdict.shot);
  }
});
