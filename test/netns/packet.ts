/** An independent reader of packets: it shares no code with what is under test. */
import {
  addressText,
  type Ethernet,
  type Extension,
  type IPv4,
  type IPv6,
  macText,
  type Packet,
  protocols,
  tcpFlags,
  type Vlan,
} from './header.ts';

export type * from './header.ts';

/** Reads a frame, or with link 'none' an IP packet. Throws a RangeError where a header is cut off or contradicts itself. */
export function parse(bytes: Buffer, link: 'ethernet' | 'none' = 'ethernet'): Packet {
  if (link === 'none') return { ethernet: null, ...parseNetwork(bytes) };
  const vlans: Vlan[] = [];
  let offset = 12;
  for (; isVlan(bytes.readUInt16BE(offset)); offset += 4) vlans.push(vlanAt(bytes, offset));
  const ethernet: Ethernet = {
    destination: macText(bytes.subarray(0, 6)),
    source: macText(bytes.subarray(6, 12)),
    vlans,
    type: bytes.readUInt16BE(offset),
  };
  const rest = bytes.subarray(offset + 2);
  const isIp = ethernet.type === 0x0800 || ethernet.type === 0x86dd;
  return isIp ? { ethernet, ...parseNetwork(rest) } : { ethernet, ip: null, ...opaque(rest), trailer: Buffer.alloc(0) };
}

/** The packet that an ICMP error speaks of, as far as it is quoted; null if this is no ICMP error. */
export function quoted(packet: Packet): Packet | null {
  const { transport, payload } = packet;
  const isError =
    (transport.kind === 'icmp' && [3, 4, 5, 11, 12].includes(transport.type)) ||
    (transport.kind === 'icmpv6' && transport.type < 128);
  return isError ? { ethernet: null, ...parseNetwork(payload) } : null;
}

function isVlan(type: number): boolean {
  return type === 0x8100 || type === 0x88a8;
}

function vlanAt(bytes: Buffer, offset: number): Vlan {
  const tag = bytes.readUInt16BE(offset + 2);
  return { tpid: bytes.readUInt16BE(offset), priority: tag >> 13, dropEligible: (tag & 0x1000) !== 0, id: tag & 0xfff };
}

function opaque(payload: Buffer): Pick<Packet, 'transport' | 'payload'> {
  return { transport: { kind: 'none' }, payload };
}

function parseNetwork(bytes: Buffer): Omit<Packet, 'ethernet'> {
  const version = bytes.readUInt8(0) >> 4;
  if (version === 4) return parseIPv4(bytes);
  if (version === 6) return parseIPv6(bytes);
  throw new RangeError(`IP version ${version}`);
}

function parseIPv4(bytes: Buffer): Omit<Packet, 'ethernet'> {
  const headerLength = (bytes.readUInt8(0) & 0xf) * 4;
  const flags = bytes.readUInt16BE(6);
  const ip: IPv4 = {
    version: 4,
    dscp: bytes.readUInt8(1) >> 2,
    ecn: bytes.readUInt8(1) & 3,
    totalLength: bytes.readUInt16BE(2),
    id: bytes.readUInt16BE(4),
    reserved: (flags & 0x8000) !== 0,
    dontFragment: (flags & 0x4000) !== 0,
    moreFragments: (flags & 0x2000) !== 0,
    fragmentOffset: (flags & 0x1fff) * 8,
    ttl: bytes.readUInt8(8),
    protocol: bytes.readUInt8(9),
    checksum: bytes.readUInt16BE(10),
    source: addressText(bytes.subarray(12, 16)),
    destination: addressText(bytes.subarray(16, 20)),
    options: bytes.subarray(20, headerLength).toString('hex'),
  };
  if (headerLength < 20 || ip.totalLength < headerLength) throw new RangeError(`IPv4 header of ${headerLength} bytes`);
  const body = bytes.subarray(headerLength, ip.totalLength);
  const trailer = bytes.subarray(ip.totalLength);
  return { ip, ...(ip.fragmentOffset > 0 ? opaque(body) : parseTransport(ip.protocol, body)), trailer };
}

function parseIPv6(bytes: Buffer): Omit<Packet, 'ethernet'> {
  const first = bytes.readUInt32BE(0);
  const payloadLength = bytes.readUInt16BE(4);
  const nextHeader = bytes.readUInt8(6);
  const { extensions, length, protocol, laterFragment } = walkExtensions(
    nextHeader,
    bytes.subarray(40, 40 + payloadLength),
  );
  const ip: IPv6 = {
    version: 6,
    trafficClass: (first >>> 20) & 0xff,
    flowLabel: first & 0xfffff,
    payloadLength,
    nextHeader,
    hopLimit: bytes.readUInt8(7),
    source: addressText(bytes.subarray(8, 24)),
    destination: addressText(bytes.subarray(24, 40)),
    extensions,
  };
  const body = bytes.subarray(40 + length, 40 + payloadLength);
  const trailer = bytes.subarray(40 + payloadLength);
  return { ip, ...(laterFragment ? opaque(body) : parseTransport(protocol, body)), trailer };
}

/** Hop-by-hop, routing, fragment, authentication, destination options, mobility. */
const extensionTypes = [0, 43, 44, 51, 60, 135];

function walkExtensions(nextHeader: number, bytes: Buffer) {
  const extensions: Extension[] = [];
  let [protocol, length, laterFragment] = [nextHeader, 0, false];
  while (extensionTypes.includes(protocol) && !laterFragment) {
    const at = bytes.subarray(length);
    const units = at.readUInt8(1);
    const size = protocol === 44 ? 8 : protocol === 51 ? (units + 2) * 4 : (units + 1) * 8;
    if (size > at.length) throw new RangeError(`IPv6 extension ${protocol} of ${size} bytes, ${at.length} there`);
    laterFragment = protocol === 44 && at.readUInt16BE(2) >> 3 > 0;
    extensions.push({ type: protocol, next: at.readUInt8(0), data: at.subarray(1, size).toString('hex') });
    protocol = at.readUInt8(0);
    length += size;
  }
  return { extensions, length, protocol, laterFragment };
}

function parseTransport(protocol: number, bytes: Buffer): Pick<Packet, 'transport' | 'payload'> {
  if (protocol === protocols.tcp && bytes.length >= 20) return parseTcp(bytes);
  if (bytes.length < 8) return opaque(bytes);
  if (protocol === protocols.udp) {
    const transport = {
      kind: 'udp',
      sourcePort: bytes.readUInt16BE(0),
      destinationPort: bytes.readUInt16BE(2),
      length: bytes.readUInt16BE(4),
      checksum: bytes.readUInt16BE(6),
    } as const;
    return { transport, payload: bytes.subarray(8) };
  }
  if (protocol !== protocols.icmp && protocol !== protocols.icmpv6) return opaque(bytes);
  const transport = {
    kind: protocol === protocols.icmp ? 'icmp' : 'icmpv6',
    type: bytes.readUInt8(0),
    code: bytes.readUInt8(1),
    checksum: bytes.readUInt16BE(2),
    rest: bytes.readUInt32BE(4),
  } as const;
  return { transport, payload: bytes.subarray(8) };
}

function parseTcp(bytes: Buffer): Pick<Packet, 'transport' | 'payload'> {
  const headerLength = (bytes.readUInt8(12) >> 4) * 4;
  if (headerLength < 20 || headerLength > bytes.length) throw new RangeError(`TCP header of ${headerLength} bytes`);
  const bits = bytes.readUInt8(13);
  const transport = {
    kind: 'tcp',
    sourcePort: bytes.readUInt16BE(0),
    destinationPort: bytes.readUInt16BE(2),
    sequence: bytes.readUInt32BE(4),
    acknowledgement: bytes.readUInt32BE(8),
    reserved: bytes.readUInt8(12) & 0xf,
    flags: [...tcpFlags].filter((_, i) => (bits & (0x80 >> i)) !== 0).join(''),
    window: bytes.readUInt16BE(14),
    checksum: bytes.readUInt16BE(16),
    urgent: bytes.readUInt16BE(18),
    options: bytes.subarray(20, headerLength).toString('hex'),
  } as const;
  return { transport, payload: bytes.subarray(headerLength) };
}
