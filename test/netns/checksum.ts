import { build, buildIPv4, buildTransport } from './build.ts';
import { addressBytes, type Packet, protocols } from './header.ts';

/** The Internet checksum (RFC 1071) over pieces of even length, the last may be odd; 0 if a right checksum is inside. */
export function checksum(pieces: readonly Buffer[]): number {
  let sum = 0;
  for (const piece of pieces) {
    for (let i = 0; i < piece.length; i += 2) sum += ((piece[i] as number) << 8) | (piece[i + 1] ?? 0);
  }
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000);
  return ~sum & 0xffff;
}

/** What the transport checksum of a whole, unfragmented packet has to be. */
export function transportChecksum(packet: Packet): number {
  const { transport, payload } = packet;
  if (transport.kind === 'none') throw new RangeError('no transport header');
  const header = buildTransport({ ...transport, checksum: 0 });
  const pseudo = transport.kind === 'icmp' ? [] : [pseudoHeader(packet, header.length + payload.length)];
  const result = checksum([...pseudo, header, payload]);
  // In UDP 0 means "none", so the sum that comes out as 0 is sent as its other zero.
  return transport.kind === 'udp' && result === 0 ? 0xffff : result;
}

function pseudoHeader({ ip, transport }: Packet, length: number): Buffer {
  if (ip === null || transport.kind === 'none') throw new RangeError('no pseudo header');
  const rest = Buffer.alloc(8);
  rest.writeUInt32BE(length, 0);
  rest.writeUInt8(protocols[transport.kind], 7);
  return Buffer.concat([addressBytes(ip.source), addressBytes(ip.destination), rest]);
}

/** Everything that a receiver with no offloads would throw the packet away for; empty if it is right. */
export function faults(packet: Packet): string[] {
  const { ip, transport, payload } = packet;
  if (ip === null) return [];
  const found: string[] = [];
  const present = build({ ...packet, ethernet: null, trailer: Buffer.alloc(0) }).length;
  const claimed = ip.version === 4 ? ip.totalLength : 40 + ip.payloadLength;
  if (present !== claimed) return [`length ${claimed}, but ${present} bytes are there`];
  if (ip.version === 4 && ip.checksum !== checksum([buildIPv4({ ...ip, checksum: 0 })]))
    found.push(`IPv4 checksum ${hex(ip.checksum)}`);
  if (transport.kind === 'none' || isFragment(packet)) return found;
  if (transport.kind === 'udp' && transport.length !== 8 + payload.length) found.push(`UDP length ${transport.length}`);
  const right = transportChecksum(packet);
  if (transport.kind === 'udp' && transport.checksum === 0) {
    if (ip.version === 6) found.push('UDP over IPv6 without a checksum');
  } else if (transport.checksum !== right && !isOtherZero(packet, right)) {
    found.push(`${transport.kind} checksum ${hex(transport.checksum)}, not ${hex(right)}`);
  }
  return found;
}

/** Without offloads the kernel writes 0xffff for a 0 of any protocol (skb_checksum_help), and to receivers of TCP it is one. */
function isOtherZero({ transport }: Packet, right: number): boolean {
  return transport.kind === 'tcp' && right === 0 && transport.checksum === 0xffff;
}

function isFragment({ ip }: Packet): boolean {
  if (ip === null) return false;
  if (ip.version === 4) return ip.moreFragments || ip.fragmentOffset > 0;
  return ip.extensions.some(({ type }) => type === 44);
}

function hex(value: number): string {
  return `0x${value.toString(16).padStart(4, '0')}`;
}
