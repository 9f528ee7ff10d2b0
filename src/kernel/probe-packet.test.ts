import test from 'ava';
import { faults } from '../../test/netns/checksum.ts';
import { parse } from '../../test/netns/packet.ts';
import { firstPacket, SCTP, TCP, tupleOf, UDP } from './probe-packet.ts';

const mac = '02:00:00:00:00:07';
const tuples = [
  { source: '10.1.1.1', destination: '10.96.0.1' },
  { source: 'fd00::1', destination: 'fd00:10:96::1' },
];

for (const { source, destination } of tuples) {
  for (const [name, protocol] of [
    ['TCP', TCP],
    ['UDP', UDP],
    ['SCTP', SCTP],
  ] as const) {
    test(`firstPacket() is a right ${name} packet from ${source}`, (t) => {
      const tuple = { source, destination, sourcePort: 40000, destinationPort: 80, protocol };
      const bytes = firstPacket(tuple, mac);
      const { ethernet, ip, transport } = parse(bytes);
      t.deepEqual(faults(parse(bytes)), []);
      t.is(ethernet?.destination, mac);
      t.deepEqual([ip?.source, ip?.destination], [source, destination]);
      if (transport.kind === 'tcp')
        t.deepEqual([transport.flags, transport.sourcePort, transport.destinationPort], ['S', 40000, 80]);
      if (transport.kind === 'udp') t.deepEqual([transport.sourcePort, transport.destinationPort], [40000, 80]);
      t.is(transport.kind === 'none', protocol === SCTP);
      t.deepEqual(tupleOf(bytes), tuple);
    });
  }
}

test('tupleOf() is of TCP, UDP and SCTP alone', (t) => {
  const bytes = firstPacket(
    { source: '10.1.1.1', destination: '10.1.1.2', sourcePort: 1, destinationPort: 2, protocol: TCP },
    mac,
  );
  bytes[14 + 9] = 1;
  t.is(tupleOf(bytes), null);
  t.is(tupleOf(bytes.subarray(0, 20)), null);
});

test('an SCTP packet has the checksum of the standard', (t) => {
  // crc32c of 32 zeros, RFC 3720 B.4: the algorithm itself is held to a known answer by the bytes of an INIT
  const bytes = firstPacket(
    { source: '10.1.1.1', destination: '10.1.1.2', sourcePort: 0, destinationPort: 0, protocol: SCTP },
    mac,
  );
  t.is(bytes.subarray(14 + 20).readUInt32LE(8), expectedCrc(bytes.subarray(14 + 20)));
});

/** Bit by bit, the other way round than the one under test: most significant bit first, on reversed bytes. */
function expectedCrc(packet: Buffer): number {
  const bytes = Buffer.from(packet);
  bytes.writeUInt32LE(0, 8);
  let crc = 0xffffffff;
  for (const byte of bytes) {
    for (let bit = 0; bit < 8; bit += 1) {
      const top = ((crc >>> 31) ^ (byte >>> bit)) & 1;
      crc = ((crc << 1) ^ (top === 1 ? 0x1edc6f41 : 0)) >>> 0;
    }
  }
  let reversed = 0;
  for (let bit = 0; bit < 32; bit += 1) reversed = (reversed | (((crc >>> bit) & 1) << (31 - bit))) >>> 0;
  return ~reversed >>> 0;
}
