import { addressBytes, type Ethernet, type IPv4, type IPv6, macBytes, type Packet, tcpFlags } from './header.ts';

/** Writes every field as it stands, right or wrong. build(parse(bytes)) gives back the same bytes. */
export function build(packet: Packet): Buffer {
  const { ethernet, ip, transport, payload, trailer } = packet;
  const network = ip === null ? Buffer.alloc(0) : ip.version === 4 ? buildIPv4(ip) : buildIPv6(ip);
  const link = ethernet === null ? Buffer.alloc(0) : buildEthernet(ethernet);
  return Buffer.concat([link, network, buildTransport(transport), payload, trailer]);
}

function buildEthernet(ethernet: Ethernet): Buffer {
  const vlans = ethernet.vlans.map(({ tpid, priority, dropEligible, id }) =>
    words16(tpid, (priority << 13) | (dropEligible ? 0x1000 : 0) | id),
  );
  return Buffer.concat([macBytes(ethernet.destination), macBytes(ethernet.source), ...vlans, words16(ethernet.type)]);
}

export function buildIPv4(ip: IPv4): Buffer {
  const options = Buffer.from(ip.options, 'hex');
  const flags = (ip.reserved ? 0x8000 : 0) | (ip.dontFragment ? 0x4000 : 0) | (ip.moreFragments ? 0x2000 : 0);
  return Buffer.concat([
    Buffer.from([0x40 | (5 + options.length / 4), (ip.dscp << 2) | ip.ecn]),
    words16(ip.totalLength, ip.id, flags | (ip.fragmentOffset / 8), (ip.ttl << 8) | ip.protocol, ip.checksum),
    addressBytes(ip.source),
    addressBytes(ip.destination),
    options,
  ]);
}

function buildIPv6(ip: IPv6): Buffer {
  const first = Buffer.alloc(4);
  first.writeUInt32BE(((6 << 28) | (ip.trafficClass << 20) | ip.flowLabel) >>> 0);
  return Buffer.concat([
    first,
    words16(ip.payloadLength, (ip.nextHeader << 8) | ip.hopLimit),
    addressBytes(ip.source),
    addressBytes(ip.destination),
    ...ip.extensions.flatMap(({ next, data }) => [Buffer.from([next]), Buffer.from(data, 'hex')]),
  ]);
}

/** The transport header with the checksum that it carries. */
export function buildTransport(transport: Packet['transport']): Buffer {
  if (transport.kind === 'none') return Buffer.alloc(0);
  if (transport.kind === 'udp') {
    return words16(transport.sourcePort, transport.destinationPort, transport.length, transport.checksum);
  }
  if (transport.kind !== 'tcp') {
    const { type, code, rest } = transport;
    return words16((type << 8) | code, transport.checksum, rest >>> 16, rest & 0xffff);
  }
  const options = Buffer.from(transport.options, 'hex');
  const bits = [...tcpFlags].reduce((sum, flag, i) => sum | (transport.flags.includes(flag) ? 0x80 >> i : 0), 0);
  const numbers = Buffer.alloc(8);
  numbers.writeUInt32BE(transport.sequence, 0);
  numbers.writeUInt32BE(transport.acknowledgement, 4);
  return Buffer.concat([
    words16(transport.sourcePort, transport.destinationPort),
    numbers,
    Buffer.from([((5 + options.length / 4) << 4) | transport.reserved, bits]),
    words16(transport.window, transport.checksum, transport.urgent),
    options,
  ]);
}

function words16(...words: readonly number[]): Buffer {
  const bytes = Buffer.alloc(words.length * 2);
  for (const [i, word] of words.entries()) bytes.writeUInt16BE(word, 2 * i);
  return bytes;
}
