/** Packets that are too big for their way and whose sender lets routers cut them. Their pieces come in once more, for all to see. */
import anyTest, { type ExecutionContext } from 'ava';
import { startCapture } from '../test/netns/capture.ts';
import { faults } from '../test/netns/checksum.ts';
import type { Wanted } from '../test/netns/craft.ts';
import { type Packet, parse, quoted } from '../test/netns/packet.ts';
import { cut, join } from '../test/netns/pieces.ts';
import { type BackendText, loadPrograms, type Programs, TCP, UDP, verdict } from './fixture.ts';
import { type NodeStage, nodeCasts, openNode, protocols } from './node-stage.ts';
import { packet, type Way, wayOf } from './way.ts';

const test = anyTest.serial;
const [{ client, vip, node }, ipv6] = nodeCasts;
const MTU = 1280;
/** Behind the narrow way. */
const backend: BackendText = ['10.9.0.11', 8081];
const backend6: BackendText = ['fd00:9::11', 8081];
const payload = Buffer.from(Array.from({ length: 2999 }, (_, i) => i % 251));

let stage: NodeStage;
let programs: Programs;
let lastPort = 4000;

test.before(async () => {
  stage = await openNode('cut');
  const lines = ['10.9.0.0/24 via 192.168.50.2', 'fd00:9::/64 via fd00:50::2'];
  const input = lines.map((line) => `route add ${line} mtu lock ${MTU}`).join('\n');
  await stage.lab.exec(stage.lab.node('n1'), ['ip', '-batch', '-'], { input });
  programs = await loadPrograms('wire', { flows: 2048, half_open: 2048, backends: 64, fragments: 512 });
  programs.addWire(stage.uplink.ifindex);
  for (const protocol of [TCP, UDP]) {
    programs.serve({ address: vip, port: 80, protocol, servicePort: 7, any: [backend] });
    programs.serve({ address: ipv6.vip, port: 80, protocol, servicePort: 7, any: [backend6] });
  }
});
test.after.always(async () => {
  programs?.[Symbol.dispose]();
  await stage?.lab.close();
});

function asks(source = client, destination = vip): Way {
  return { source, sport: ++lastPort, destination, dport: 80 };
}

function frame(protocol: number, way: Way, extra: Parameters<typeof packet>[2] = {}): Buffer {
  const ip = { dontFragment: false, id: 4711, ...extra.ip } as Wanted['ip'];
  return packet(protocol, way, { ethernet: { destination: stage.uplink.address }, payload, ...extra, ip });
}

function run(sent: Buffer): { retval: number; bytes: Buffer } {
  const { retval, data } = stage.inside(() => programs.run('from_wire', sent, stage.uplink.ifindex));
  return { retval, bytes: Buffer.from(data) };
}

/** The frames that come in once more, the last of which is the packet itself. */
async function piecesOf(t: ExecutionContext, sent: Buffer): Promise<Buffer[]> {
  const { lab, uplink } = stage;
  const tap = await startCapture(lab, lab.node('n1'), 'eth0', `ether dst ${uplink.address} and src host ${client}`);
  const { retval, bytes } = run(sent);
  t.is(retval, verdict.redirect);
  return [...(await tap.stop()).map((one) => one.bytes), bytes];
}

function bare(bytes: Buffer): Buffer {
  return bytes.subarray(0, 14 + bytes.readUInt16BE(16));
}

/** Sends each of them in, and puts together what leaves. */
function pass(t: ExecutionContext, pieces: readonly Buffer[]): Packet {
  const out = pieces.map((one) => {
    const { retval, bytes } = run(one);
    t.is(retval, verdict.redirect);
    t.true(bytes.length <= 14 + MTU, 'nothing stands behind a piece that leaves');
    t.deepEqual(faults(parse(bytes)), []);
    return bytes;
  });
  return join(out);
}

for (const [name, protocol] of protocols) {
  /* as a local sender leaves it: the sum of the pseudo header, to be finished by whoever puts it on a wire */
  const unfinished = (sent: Buffer): Buffer => {
    const at = 14 + 20 + (protocol === TCP ? 16 : 6);
    const length = sent.length - 34;
    const words = [...[12, 14, 16, 18].map((offset) => sent.readUInt16BE(14 + offset)), protocol, length];
    let sum = words.reduce((total, word) => total + word, 0);
    while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
    const copy = Buffer.from(sent);
    copy.writeUInt16BE(sum, at);
    return copy;
  };

  test(`${name} that is too big is cut as it came, and reaches its backend whole`, async (t) => {
    for (const alter of [(sent: Buffer) => sent, unfinished]) {
      const way = asks();
      const pieces = await piecesOf(t, alter(frame(protocol, way)));
      t.is(pieces.length, 3);
      t.true(pieces.every((one) => bare(one).length <= 14 + MTU));
      t.deepEqual(
        pieces
          .map((one) => parse(bare(one)).ip)
          .map((ip) => (ip?.version === 4 ? [ip.id, ip.ttl, ip.moreFragments] : [])),
        [
          [4711, 64, true],
          [4711, 64, true],
          [4711, 64, false],
        ],
      );
      const whole = join(pieces.map(bare));
      t.deepEqual([faults(whole), wayOf(whole), whole.payload], [[], way, payload]);
      const out = pass(t, pieces);
      t.deepEqual([faults(out), out.payload], [[], payload]);
      t.deepEqual(wayOf(out), { source: node, sport: way.sport, destination: backend[0], dport: backend[1] });
    }
  });

  test(`${name} that must not be cut is not, and its sender is told`, (t) => {
    const option = { options: '01010101' } as Wanted['ip'];
    for (const sent of [
      frame(protocol, asks(), { ip: { dontFragment: true } as Wanted['ip'] }),
      frame(protocol, asks(), { ip: option }),
      frame(protocol, asks(ipv6.client, ipv6.vip)),
    ]) {
      const before = programs.count(7, 'reject_too_big');
      const out = parse(run(sent).bytes);
      t.deepEqual(faults(out), []);
      t.truthy(quoted(out));
      t.is(programs.count(7, 'reject_too_big'), before + 1n);
    }
  });
}

test('a checksum that is none stays none, and one that is wrong stays wrong', async (t) => {
  for (const checksum of [0, 0xbad]) {
    const way = asks();
    const udp = { sourcePort: way.sport, destinationPort: way.dport, checksum };
    const whole = join((await piecesOf(t, frame(UDP, way, { udp }))).map(bare));
    t.like(whole.transport, { checksum });
  }
});

test('pieces that are too big are cut once more, whichever comes first', async (t) => {
  const way = asks();
  const [first, second, third] = cut(frame(UDP, way), 1400, 4712) as [Buffer, Buffer, Buffer];
  const begun = await piecesOf(t, first);
  const pieces = [...(await piecesOf(t, second)), ...begun];
  t.deepEqual([begun.length, pieces.length], [2, 4]);
  const ordered = [...begun, ...pieces.slice(0, 2), third];
  const whole = join(ordered.map(bare));
  t.deepEqual([faults(whole), wayOf(whole), whole.payload], [[], way, payload]);
  const offsets = ordered.map((one) => parse(bare(one)).ip).map((ip) => (ip?.version === 4 ? ip.fragmentOffset : -1));
  t.deepEqual(offsets, [0, 1256, 1400, 2656, 2800]);
  const out = pass(t, ordered);
  t.deepEqual([faults(out), out.payload], [[], payload]);
});

test('the mtu of a route that is not locked counts for IPv4, and of several prefixes that of the narrowest', (t) => {
  const wide: BackendText = ['10.1.2.11', 8081];
  programs.serve({ address: vip, port: 81, protocol: UDP, servicePort: 8, any: [wide] });
  const told = (): number | undefined => {
    const way = { ...asks(), dport: 81 };
    const { transport } = parse(
      run(frame(UDP, way, { payload: Buffer.alloc(1400), ip: { dontFragment: true } as Wanted['ip'] })).bytes,
    );
    return transport.kind === 'icmp' ? transport.rest : undefined;
  };
  t.is(told(), undefined);
  programs.addRouteMtu('0.0.0.0', 96, 1300);
  t.is(told(), undefined, 'of a wire that has none');
  programs.addWire(stage.uplink.ifindex, '::', '::', false, { routeMtus: true });
  t.is(told(), 1300);
  programs.addRouteMtu('10.1.0.0', 112, 1399);
  t.is(told(), 1399);
  programs.addRouteMtu('10.1.0.0', 112, 1428);
  t.is(told(), undefined, 'it fits');
  programs.addRouteMtu('10.1.0.0', 112, 0);
  t.is(told(), undefined, 'what the kernel tells');
});
