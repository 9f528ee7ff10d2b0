/**
 * Frames that never become packets of the kernel. What XDP sends on is what from_wire at tc makes of the same frame, and what
 * it passes is untouched.
 */
import anyTest from 'ava';
import { flowFlag } from '../src/layout.gen.ts';
import { faults } from '../test/netns/checksum.ts';
import { craft } from '../test/netns/craft.ts';
import { parse } from '../test/netns/packet.ts';
import { type BackendText, nowSeconds, TCP, UDP, xdpVerdict } from './fixture.ts';
import { back, packet, type Way, wayOf } from './way.ts';
import { casts, macs, XdpStage } from './xdp-stage.ts';

const test = anyTest.serial;
const protocols = [
  ['TCP', TCP],
  ['UDP', UDP],
] as const;
let stage: XdpStage;

test.before(async () => {
  stage = await XdpStage.create('xdp');
});
test.after.always(() => stage?.[Symbol.asyncDispose]());
test.beforeEach(() => stage.load());

function portsOf({ sport, dport }: Way): string {
  return [sport, dport].map((port) => port.toString(16).padStart(4, '0')).join('');
}

function poked(frame: Buffer, at: number, byte: number): Buffer {
  frame[at] = byte;
  return frame;
}

for (const cast of casts) {
  const { family } = cast;
  const rest = family === 'IPv4' ? { ttl: 63 } : { hopLimit: 63 };

  for (const [name, protocol] of protocols) {
    test(`${name} over ${family} of a living flow is sent on both ways, as tc would`, async (t) => {
      const { asked, there } = stage.established(t, cast, protocol, cast.there);
      for (const [way, becomes, mac] of [
        [asked, there, macs.other],
        [back(there), back(asked), macs.gateway],
      ] as const) {
        const sent = stage.frame(protocol, way, { payload: 'some more bytes' });
        const { retval, bytes } = await stage.come(sent);
        t.is(retval, xdpVerdict.tx);
        const [before, after] = [parse(sent), parse(bytes)];
        t.deepEqual(faults(after), []);
        t.like(after.ethernet, {
          destination: mac,
          source: stage.uplink.address,
          type: before.ethernet?.type as number,
        });
        t.deepEqual(wayOf(after), becomes);
        t.like(after.ip, rest);
        t.deepEqual(after.payload, before.payload);
        t.deepEqual(bytes.subarray(12), stage.run('from_wire', sent).bytes.subarray(12));
      }
    });

    test(`${name} over ${family} goes by another device that takes frames from XDP, and up where it does not`, async (t) => {
      const { asked, there } = stage.established(t, cast, protocol, cast.aside);
      const sent = stage.frame(protocol, asked);
      const { retval, bytes } = await stage.come(sent);
      t.is(retval, xdpVerdict.redirect);
      const after = parse(bytes);
      t.deepEqual(faults(after), []);
      t.like(after.ethernet, { destination: macs.aside, source: stage.side.address });
      t.deepEqual(wayOf(after), there);
      stage.addWire(stage.side);
      await stage.goesUp(t, 'a device that takes no frames', sent);
    });

    test(`${name} over ${family} goes back by a redirect where the device only takes frames, or up`, async (t) => {
      const { asked } = stage.established(t, cast, protocol, cast.there);
      const sent = stage.frame(protocol, asked);
      stage.addWire(stage.uplink, { takesFrames: true, returnsFrames: false });
      t.is((await stage.come(sent)).retval, xdpVerdict.redirect);
      stage.addWire(stage.uplink, { returnsFrames: false });
      await stage.goesUp(t, 'neither', sent);
    });

    test(`${name} over ${family} goes up where routes have an mtu that only tc knows`, async (t) => {
      const { asked } = stage.established(t, cast, protocol, cast.there);
      const sent = stage.frame(protocol, asked);
      stage.addWire(stage.uplink, { routeMtus: true });
      if (family === 'IPv4') await stage.goesUp(t, 'a narrow route', sent);
      else t.is((await stage.come(sent)).retval, xdpVerdict.tx);
    });

    test(`${name} over ${family} goes up untouched where it is not as plain as can be`, async (t) => {
      const { asked } = stage.established(t, cast, protocol, cast.there);
      const most = 1500 - (family === 'IPv4' ? 20 : 40) - (protocol === TCP ? 20 : 8);
      t.is((await stage.come(stage.frame(protocol, asked, { payload: Buffer.alloc(most) }))).retval, xdpVerdict.tx);
      const one = (ip: object) => stage.frame(protocol, asked, { ip: ip as never });
      const cases: Record<string, Buffer> = {
        'too long for the way': stage.frame(protocol, asked, { payload: Buffer.alloc(most + 1) }),
        'its last hop': one({ ttl: 1, hopLimit: 1 }),
        'no hop left': one({ ttl: 0, hopLimit: 0 }),
        "another's frame": packet(protocol, asked, { flags: 'A' }),
        "everybody's frame": stage.frame(protocol, asked, { ethernet: { destination: 'ff:ff:ff:ff:ff:ff' } }),
        'a VLAN tag': stage.frame(protocol, asked, {
          ethernet: {
            destination: stage.uplink.address,
            vlans: [{ tpid: 0x8100, priority: 0, dropEligible: false, id: 5 }],
          },
        }),
        'longer than the frame': one({ totalLength: 1500, payloadLength: 1480 }),
        'shorter than its headers': one({ totalLength: 27, payloadLength: 7 }),
        ...(family === 'IPv4'
          ? {
              'options that look like its ports': one({ options: portsOf(asked) }),
              'a first piece': one({ moreFragments: true, dontFragment: false }),
              'a later piece': one({ fragmentOffset: 1480, dontFragment: false }),
              'a wrong version': poked(stage.frame(protocol, asked), 14, 0x55),
              'a wrong length of its header': poked(stage.frame(protocol, asked), 14, 0x44),
            }
          : {
              'an extension header': one({ extensions: [{ type: 60, next: 0, data: '00010400000000' }] }),
            }),
        'another protocol': craft({
          ethernet: { destination: stage.uplink.address },
          ip: { source: asked.source, destination: asked.destination, protocol: 132, nextHeader: 132 },
          payload: Buffer.alloc(40),
        }),
        'another port': stage.frame(protocol, { ...asked, sport: asked.sport + 1 }),
      };
      for (const [what, sent] of Object.entries(cases)) await stage.goesUp(t, what, sent);
      const whole = stage.frame(protocol, asked, { payload: '' });
      for (let length = 14; length < whole.length; length++)
        await stage.goesUp(t, `${length} bytes`, whole.subarray(0, length));
      if (protocol === UDP) return;
      for (const flags of ['S', 'AS', 'AF', 'F', 'R', 'AR', 'APF'])
        await stage.goesUp(t, flags, stage.frame(TCP, asked, { flags }));
    });

    test(`${name} over ${family} goes up where the way is not known, or not open`, async (t) => {
      const { asked } = stage.established(t, cast, protocol, cast.there);
      const sent = stage.frame(protocol, asked);
      const via = family === 'IPv4' ? '192.168.50.2' : 'fd00:50::2';
      const net = family === 'IPv4' ? '10.1.2.0/24' : 'fd00:1:2::/64';
      const is6 = family === 'IPv6' ? ['-6'] : [];
      const ip = (...words: string[]) => stage.lab.exec(stage.node, ['ip', ...is6, ...words]);
      const forwarding = family === 'IPv4' ? 'net.ipv4.ip_forward' : 'net.ipv6.conf.all.forwarding';
      const changes: Record<string, readonly [there: () => Promise<unknown>, back: () => Promise<unknown>]> = {
        'an unknown neighbour': [
          () => ip('neighbour', 'del', via, 'dev', 'eth0'),
          () => ip('neighbour', 'replace', via, 'lladdr', macs.other, 'dev', 'eth0', 'nud', 'permanent'),
        ],
        'a prohibited way': [
          () => ip('route', 'replace', 'prohibit', net),
          async () => {
            await ip('route', 'del', 'prohibit', net);
            await ip('route', 'replace', net, 'via', via);
          },
        ],
        'a narrow way': [
          () => ip('route', 'replace', net, 'via', via, 'mtu', 'lock', '1280'),
          () => ip('route', 'replace', net, 'via', via),
        ],
        'no forwarding': [
          () => stage.lab.exec(stage.node, ['sysctl', '-qw', `${forwarding}=0`]),
          () => stage.lab.exec(stage.node, ['sysctl', '-qw', `${forwarding}=1`]),
        ],
      };
      for (const [what, [there, again]] of Object.entries(changes)) {
        const long = stage.frame(protocol, asked, { payload: Buffer.alloc(1300) });
        await there();
        await stage.goesUp(t, what, what === 'a narrow way' ? long : sent);
        await again();
        t.is((await stage.come(sent)).retval, xdpVerdict.tx, `after ${what}`);
      }
      for (const ifindex of [stage.uplink.ifindex, stage.side.ifindex]) {
        stage.addWire({ ifindex, address: '02:00:00:00:00:77' }, { takesFrames: true });
      }
      await stage.goesUp(t, 'a device of another address', sent);
    });

    test(`${name} over ${family} goes up while its flow is new, when it is over, and when it rests`, async (t) => {
      stage.programs.serve({ address: cast.vip, port: 80, protocol, servicePort: 7, any: [cast.there] });
      const asked = { source: cast.client, sport: 4001, destination: cast.vip, dport: 80 };
      await stage.goesUp(t, 'no flow', stage.frame(protocol, asked));
      const there = wayOf(parse(stage.run('from_wire', stage.frame(protocol, asked, { flags: 'S' })).bytes));
      await stage.goesUp(t, 'a flow that is half open', stage.frame(protocol, asked));
      await stage.goesUp(t, 'its reply', stage.frame(protocol, back(there)));
      stage.run('from_wire', stage.frame(protocol, back(there), { flags: 'AS' }));
      stage.run('from_wire', stage.frame(protocol, asked));
      t.is((await stage.come(stage.frame(protocol, asked))).retval, xdpVerdict.tx);
      for (const age of [2, 3, 179, 181, 90_000])
        await stage.goesUp(t, `${age} seconds old`, stage.frame(protocol, asked), age);
      const rows = await stage.programs.flows('flows');
      for (const { key, row } of rows) stage.programs.setFlow('flows', key, { ...row, check: (row.check ^ 1) >>> 0 });
      await stage.goesUp(t, 'a spoilt row', stage.frame(protocol, asked));
      for (const { key, row } of rows)
        stage.programs.setFlow('flows', key, { ...row, flags: row.flags & flowFlag.reply });
      await stage.goesUp(t, 'a spoilt flag', stage.frame(protocol, asked));
      for (const { key, row } of rows) stage.programs.setFlow('flows', key, row);
      t.is((await stage.come(stage.frame(protocol, asked))).retval, xdpVerdict.tx);
      if (protocol === UDP) return;
      stage.run('from_wire', stage.frame(TCP, asked, { flags: 'AF' }));
      t.is((await stage.come(stage.frame(TCP, back(there)))).retval, xdpVerdict.tx, 'half closed');
      stage.run('from_wire', stage.frame(TCP, back(there), { flags: 'AF' }));
      await stage.goesUp(t, 'closed', stage.frame(TCP, asked));
    });

    test(`${name} over ${family} keeps its flow as at tc, and of its seconds one in some goes up`, async (t) => {
      const { asked, there } = stage.established(t, cast, protocol, cast.there);
      let [up, on] = [0, 0];
      while (up + on < 600 && (up === 0 || on < 20)) {
        const { retval } = await stage.come(stage.frame(protocol, on % 2 === 0 ? asked : back(there)), 1);
        if (retval === xdpVerdict.pass) up += 1;
        else on += 1;
      }
      t.true(up > 0 && up < on, `${up} of ${up + on}`);
      const lost = (await stage.programs.flows('flows')).find(({ row }) => row.flags & flowFlag.reply);
      if (lost === undefined) return t.fail();
      stage.programs.dropFlow('flows', lost.key);
      for (let i = 0; i < 600 && (await stage.come(stage.frame(protocol, asked), 1)).retval === xdpVerdict.pass; i++);
      const rows = await stage.programs.flows('flows');
      t.is(rows.length, 2, 'the way back is there again');
      t.true(rows.every(({ row }) => nowSeconds() - row.seen <= 1));
      t.is((await stage.come(stage.frame(protocol, back(there)))).retval, xdpVerdict.tx);
    });
  }

  test(`a backend over ${family} on this node is tc's`, async (t) => {
    const here: BackendText = family === 'IPv4' ? ['10.1.1.11', 8080] : ['fd00:1:1::11', 8080];
    stage.programs.serve({ address: cast.vip, port: 80, protocol: UDP, servicePort: 7, any: [here] });
    const asked = { source: cast.client, sport: 4001, destination: cast.vip, dport: 80 };
    const there = wayOf(parse(stage.run('from_wire', stage.frame(UDP, asked)).bytes));
    stage.run('to_wire', stage.frame(UDP, back(there)));
    stage.run('from_wire', stage.frame(UDP, asked));
    t.is((await stage.programs.flows('flows')).length, 2);
    await stage.goesUp(t, 'a backend of this node', stage.frame(UDP, asked));
  });

  test(`a datagram over ${family} whose backend is gone, or whose address is another Service's, goes up`, async (t) => {
    const { asked } = stage.established(t, cast, UDP, cast.there);
    const none = { nodeIpv4: '0'.repeat(32), nodeIpv6: '0'.repeat(32), podsAtTc: 1 };
    stage.programs.setSwitches({ ...none, hasRemovedBackends: 1 });
    t.is((await stage.come(stage.frame(UDP, asked))).retval, xdpVerdict.tx);
    stage.programs.removeBackend(8, cast.there);
    t.is((await stage.come(stage.frame(UDP, asked))).retval, xdpVerdict.tx);
    stage.programs.removeBackend(7, cast.there);
    await stage.goesUp(t, 'a removed backend', stage.frame(UDP, asked));
    stage.programs.setSwitches(none);
    stage.programs.serve({ address: cast.vip, port: 80, protocol: UDP, servicePort: 9, any: [cast.there] });
    t.is((await stage.come(stage.frame(UDP, asked))).retval, xdpVerdict.tx, 'looked at once a second');
    for (let i = 0; i < 20; i++) await stage.goesUp(t, 'another Service', stage.frame(UDP, asked), 1);
  });

  test(`a UDP checksum over ${family} that says nothing stays, and one that comes to nothing says 0xffff`, async (t) => {
    const { asked, there } = stage.established(t, cast, UDP, cast.there);
    const udp = { sourcePort: asked.sport, destinationPort: asked.dport, checksum: 0 };
    const silent = await stage.come(stage.frame(UDP, asked, { udp }));
    t.is(silent.retval, xdpVerdict.tx);
    t.like(parse(silent.bytes).transport, { checksum: 0 });
    for (let filler = 0; filler <= 0xffff; filler++) {
      const payload = Buffer.from([filler >> 8, filler & 255]);
      if (
        !packet(UDP, there, { payload })
          .subarray(-4, -2)
          .equals(Buffer.from([0xff, 0xff]))
      )
        continue;
      const { bytes } = await stage.come(stage.frame(UDP, asked, { payload }));
      t.like(parse(bytes).transport, { checksum: 0xffff });
      const byTc = stage.run('from_wire', stage.frame(UDP, asked, { payload }));
      t.like(parse(byTc.bytes).transport, { checksum: 0xffff });
      return;
    }
    t.fail('no payload has that checksum');
  });
}
