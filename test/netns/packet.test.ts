import test from 'ava';
import fc from 'fast-check';
import { build } from './build.ts';
import { checksum, faults } from './checksum.ts';
import { craft, type Wanted } from './craft.ts';
import { addressBytes, addressText } from './header.ts';
import { type Packet, parse, quoted } from './packet.ts';
import { readPcap } from './pcap.ts';

// Packets that a Linux kernel sent, read from the wire with all offloads off.
const wire = {
  'TCP SYN':
    'c633e350d346e6d84120cbfc08004500003c269c40004006fd080a01010b0a01020b934a0050fbc1622400000000a002faf02a300000020405b40402080a4363d6e0000000000103030a',
  'TCP data, IPv6':
    'e6d84120cbfcc633e350d34686dd6001e0d2003a063efd000001000200000000000000000011fd00000100010000000000000000001100508d2847875fce9a9e3ae58018003fb5d800000101080a6a218404fae5662e6e327031205b666430303a313a313a3a31315d3a33363133360a',
  'UDP of odd length':
    'e6d84120cbfcc633e350d34686dd600d5caa0021113efd000001000200000000000000000011fd0000010001000000000000000000110050ea1a0021aa506e327031205b666430303a313a313a3a31315d3a3539393330',
  'ICMP port unreachable':
    'e6d84120cbfcc633e350d346080045c0003a4cc600003e0118260a01020b0a01010b03031430000000004500001ebd1d40003e11689a0a01010b0a01020b875a0051000a220d3f0a',
  'ICMPv6 port unreachable':
    'e6d84120cbfcc633e350d34686dd60009f22003a3a3efd000001000200000000000000000011fd0000010001000000000000000000110104308700000000600162a9000a113efd000001000100000000000000000011fd00000100020000000000000000001196590051000a2ffd3f0a',
  'ICMPv6 behind hop-by-hop options':
    '333300000016e6d84120cbfc86dd6000000000380001fe80000000000000e4d841fffe20cbfcff0200000000000000000000000000163a000502000001008f00b1cb0000000204000000ff0200000000000000000001ff00001104000000ff0200000000000000000001ff20cbfc',
};
const frame = (name: keyof typeof wire): Buffer => Buffer.from(wire[name], 'hex');

for (const name of Object.keys(wire) as (keyof typeof wire)[]) {
  test(`parse() finds a real packet right, and build() gives back its bytes: ${name}`, (t) => {
    const packet = parse(frame(name));
    t.deepEqual(faults(packet), []);
    t.deepEqual(build(packet), frame(name));
  });

  test(`faults() sees any single byte that was changed: ${name}`, (t) => {
    const good = frame(name);
    // Behind the link header, whose check sequence is the card's affair.
    for (let i = 14; i < good.length; i++) {
      const bad = Buffer.from(good);
      bad[i] = (bad[i] as number) ^ 0x10;
      if (isUnprotected(good, i)) continue;
      t.true(notices(bad), `byte ${i}`);
    }
  });
}

/** IPv6 has no header checksum: traffic class, flow label and hop limit are nobody's to check. */
function isUnprotected(good: Buffer, i: number): boolean {
  const packet = parse(good);
  if (packet.ip?.version !== 6) return false;
  const isOption = packet.ip.extensions.length > 0 && i >= 54 && i < 62;
  return isOption || i === 15 || i === 16 || i === 17 || i === 14 || i === 21;
}

function notices(bytes: Buffer): boolean {
  try {
    const packet = parse(bytes);
    return packet.transport.kind === 'none' || faults(packet).length > 0 || packet.trailer.length > 0;
  } catch {
    return true;
  }
}

test('parse() reads every field of a TCP SYN', (t) => {
  t.deepEqual(parse(frame('TCP SYN')), {
    ethernet: { destination: 'c6:33:e3:50:d3:46', source: 'e6:d8:41:20:cb:fc', vlans: [], type: 0x0800 },
    ip: {
      version: 4,
      dscp: 0,
      ecn: 0,
      totalLength: 60,
      id: 9884,
      reserved: false,
      dontFragment: true,
      moreFragments: false,
      fragmentOffset: 0,
      ttl: 64,
      protocol: 6,
      checksum: 0xfd08,
      source: '10.1.1.11',
      destination: '10.1.2.11',
      options: '',
    },
    transport: {
      kind: 'tcp',
      sourcePort: 37706,
      destinationPort: 80,
      sequence: 4223754788,
      acknowledgement: 0,
      reserved: 0,
      flags: 'S',
      window: 64240,
      checksum: 0x2a30,
      urgent: 0,
      options: '020405b40402080a4363d6e0000000000103030a',
    },
    payload: Buffer.alloc(0),
    trailer: Buffer.alloc(0),
  } satisfies Packet);
});

test('parse() reads IPv6, its flow label and the payload', (t) => {
  const packet = parse(frame('TCP data, IPv6'));
  t.like(packet.ip, {
    version: 6,
    flowLabel: 123090,
    hopLimit: 62,
    nextHeader: 6,
    source: 'fd00:1:2::11',
    destination: 'fd00:1:1::11',
  });
  t.like(packet.transport, { flags: 'AP', sourcePort: 80, destinationPort: 36136 });
  t.is(packet.payload.toString(), 'n2p1 [fd00:1:1::11]:36136\n');
});

test('quoted() reads the packet inside an ICMP error, of both versions', (t) => {
  const inner4 = quoted(parse(frame('ICMP port unreachable'))) as Packet;
  t.like(inner4.ip, { source: '10.1.1.11', destination: '10.1.2.11', ttl: 62 });
  t.like(inner4.transport, { kind: 'udp', sourcePort: 34650, destinationPort: 81 });
  t.deepEqual(faults(inner4), []);
  const inner6 = quoted(parse(frame('ICMPv6 port unreachable'))) as Packet;
  t.like(inner6.transport, { kind: 'udp', sourcePort: 38489, destinationPort: 81, checksum: 12285 });
  t.is(quoted(parse(frame('TCP SYN'))), null);
});

test('parse() reads VLAN tags, outermost first, and leaves padding in the trailer', (t) => {
  const vlans = [
    { tpid: 0x88a8, priority: 0, dropEligible: true, id: 7 },
    { tpid: 0x8100, priority: 5, dropEligible: false, id: 4094 },
  ];
  const ip = { source: '10.0.0.1', destination: '10.0.0.2' };
  const bytes = craft({ ethernet: { vlans }, ip, udp: { sourcePort: 1, destinationPort: 2 }, payload: 'x' });
  const packet = parse(Buffer.concat([bytes, Buffer.alloc(9)]));
  t.deepEqual(packet.ethernet?.vlans, vlans);
  t.is(packet.trailer.length, 9);
  t.is(packet.payload.toString(), 'x');
  t.deepEqual(faults(packet), []);
});

test('parse() keeps later fragments opaque, in both families', (t) => {
  const udp = { sourcePort: 1, destinationPort: 2 };
  const later4 = craft({
    ip: { source: '10.0.0.1', destination: '10.0.0.2', dontFragment: false, fragmentOffset: 1480 },
    udp,
  });
  t.like(parse(later4), { ip: { fragmentOffset: 1480, moreFragments: false }, transport: { kind: 'none' } });
  const extensions = [{ type: 44, next: 17, data: '0005a80f3dfaa3' }];
  const later6 = craft({ ip: { source: 'fd00::1', destination: 'fd00::2', extensions }, udp });
  t.like(parse(later6), { transport: { kind: 'none' } });
  const first6 = craft({
    ip: { source: 'fd00::1', destination: 'fd00::2', extensions: [{ type: 44, next: 17, data: '0000010f3dfaa3' }] },
    udp,
  });
  t.like(parse(first6), { transport: { kind: 'udp' } });
  t.deepEqual(faults(parse(first6)), []);
});

test('parse() throws on headers that are cut off or wrong', (t) => {
  const good = frame('TCP SYN');
  for (const length of [10, 20, 33]) t.throws(() => parse(good.subarray(0, length)), { instanceOf: RangeError });
  const badVersion = Buffer.from(good);
  badVersion[14] = 0x55;
  t.throws(() => parse(badVersion), { message: 'IP version 5' });
});

test('faults() knows that UDP may do without a checksum over IPv4 only', (t) => {
  const udp = { sourcePort: 1, destinationPort: 2, checksum: 0 };
  t.deepEqual(faults(parse(craft({ ip: { source: '10.0.0.1', destination: '10.0.0.2' }, udp }))), []);
  t.deepEqual(faults(parse(craft({ ip: { source: 'fd00::1', destination: 'fd00::2' }, udp }))), [
    'UDP over IPv6 without a checksum',
  ]);
});

test('faults() knows which zero of a checksum is right', (t) => {
  const pair = { sourcePort: 1, destinationPort: 2 };
  const kinds = [
    { transport: { udp: pair }, faulty: [], field: 0xffff }, // 0 would say that there is none
    { transport: { tcp: pair }, faulty: [], field: 0 },
    { transport: { icmp: { type: 3 } }, faulty: [0xffff], field: 0 },
  ] as const;
  for (const [source, destination] of [
    ['10.0.0.1', '10.0.0.2'],
    ['fd00::1', 'fd00::2'],
  ] as const) {
    for (const { transport, faulty, field } of kinds) {
      const ip = { source, destination };
      const bytes = (filler: number, given?: number): Buffer => {
        const payload = Buffer.from([filler >> 8, filler & 0xff]);
        const [[name, header]] = Object.entries(transport) as [[string, object]];
        return craft({ ip, payload, [name]: given === undefined ? header : { ...header, checksum: given } });
      };
      const filler = Array.from({ length: 0x10000 }, (_, i) => i).find((i) => checksumOf(bytes(i)) === field) as number;
      t.deepEqual(faults(parse(bytes(filler))), []);
      for (const given of faulty) t.is(faults(parse(bytes(filler, given))).length, 1);
      if ('tcp' in transport) t.deepEqual(faults(parse(bytes(filler, 0xffff))), [], 'the kernel’s own');
      t.is(faults(parse(bytes(filler + 1, 0xffff))).length, 1);
    }
  }
  const ip = { source: '10.0.0.1', destination: '10.0.0.2' };
  const id = Array.from({ length: 0x10000 }, (_, i) => i).find(
    (i) => headerChecksum(craft({ ip: { ...ip, id: i } })) === 0,
  );
  t.deepEqual(faults(parse(craft({ ip: { ...ip, id: id as number, checksum: 0xffff } }))), ['IPv4 checksum 0xffff']);
});

function checksumOf(bytes: Buffer): number {
  const { transport } = parse(bytes);
  return transport.kind === 'none' ? -1 : transport.checksum;
}

function headerChecksum(bytes: Buffer): number {
  const { ip } = parse(bytes);
  return ip?.version === 4 ? ip.checksum : -1;
}

test('faults() says that a capture is shorter than the packet was', (t) => {
  const cut = frame('TCP data, IPv6').subarray(0, -3);
  t.deepEqual(faults(parse(cut)), ['length 98, but 95 bytes are there']);
});

test('checksum() is that of RFC 1071', (t) => {
  t.is(checksum([Buffer.from('0001f203f4f5f6f7', 'hex')]), 0x220d);
  t.is(checksum([Buffer.from('00', 'hex')]), 0xffff);
});

const address4 = fc.ipV4();
const address6 = fc.ipV6().filter((text) => !text.includes('.'));
const word = fc.nat({ max: 0xffff });
const options = fc
  .nat({ max: 10 })
  .chain((n) =>
    fc.uint8Array({ minLength: 4 * n, maxLength: 4 * n }).map((bytes) => Buffer.from(bytes).toString('hex')),
  );
const ip = fc.oneof(
  fc.record({
    source: address4,
    destination: address4,
    ttl: fc.nat(255),
    id: word,
    dscp: fc.nat(63),
    ecn: fc.nat(3),
    options,
  }),
  fc.record({
    source: address6,
    destination: address6,
    hopLimit: fc.nat(255),
    flowLabel: fc.nat(0xfffff),
    trafficClass: fc.nat(255),
  }),
);
const flags = fc.subarray([...'CEUAPRSF']).map((some) => some.join(''));
const transport = fc.oneof(
  fc.record({
    tcp: fc.record({
      sourcePort: word,
      destinationPort: word,
      sequence: fc.nat(0x7fffffff),
      flags,
      window: word,
      options,
    }),
  }),
  fc.record({ udp: fc.record({ sourcePort: word, destinationPort: word }) }),
  fc.record({
    icmp: fc.record({ type: fc.constantFrom(0, 8, 128, 129), code: fc.nat(255), rest: fc.nat(0x7fffffff) }),
  }),
);
const payload = fc.uint8Array({ maxLength: 64 }).map((bytes) => Buffer.from(bytes));

test('craft() makes packets without a fault that say what was wanted, and parse() and build() are each other backwards', (t) => {
  fc.assert(
    fc.property(ip, transport, payload, (network, layer4, data) => {
      const wanted: Wanted = { ip: network, ...layer4, payload: data };
      const bytes = craft(wanted);
      const packet = parse(bytes);
      const { source, destination, ...fields } = network;
      t.deepEqual(faults(packet), []);
      t.deepEqual(build(packet), bytes);
      t.like(packet.ip, { ...fields });
      t.deepEqual(addressBytes(packet.ip?.source ?? ''), addressBytes(source));
      t.deepEqual(addressBytes(packet.ip?.destination ?? ''), addressBytes(destination));
      t.like(packet.transport, { ...(Object.values(layer4)[0] as object) });
      t.deepEqual(Buffer.from(packet.payload), data);
    }),
  );
});

test('addressText() writes addresses as RFC 5952 wants them', (t) => {
  const table = {
    '::': '::',
    '::1': '::1',
    '1::': '1::',
    'fd00:0:0:1:0:0:0:2': 'fd00:0:0:1::2',
    '1:0:2:3:4:5:6:7': '1:0:2:3:4:5:6:7',
    '::ffff:10.0.0.1': '::ffff:a00:1',
    '10.1.2.3': '10.1.2.3',
  };
  for (const [given, text] of Object.entries(table)) t.is(addressText(addressBytes(given)), text);
});

test('readPcap() reads whole records and leaves out one that is still being written', (t) => {
  const record = (bytes: Buffer): Buffer => {
    const header = Buffer.alloc(16);
    header.writeUInt32LE(100, 0);
    header.writeUInt32LE(250000, 4);
    header.writeUInt32LE(bytes.length, 8);
    return Buffer.concat([header, bytes]);
  };
  const header = Buffer.from(`d4c3b2a102000400000000000000000000000400${'01000000'}`, 'hex');
  const file = Buffer.concat([header, record(frame('TCP SYN')), record(frame('UDP of odd length'))]);
  t.deepEqual(
    readPcap(file).map(({ packet }) => packet.transport.kind),
    ['tcp', 'udp'],
  );
  t.is(readPcap(file)[0]?.time, 100.25);
  t.is(readPcap(file.subarray(0, -1)).length, 1);
  t.deepEqual(readPcap(file.subarray(0, 10)), []);
  t.throws(() => readPcap(Buffer.alloc(24)), { message: /not a little-endian pcap/ });
});
