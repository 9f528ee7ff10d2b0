import { build, buildIPv4, buildTransport } from './build.ts';
import { checksum, transportChecksum } from './checksum.ts';
import {
  type Ethernet,
  type Icmp,
  type IPv4,
  type IPv6,
  type Packet,
  protocols,
  type Tcp,
  type Udp,
} from './header.ts';

/** What a test says of a packet it wants: the rest is filled in so that the packet is correct. */
export interface Wanted {
  /** null: no link header. Default: two made-up MACs. */
  readonly ethernet?: Partial<Ethernet> | null;
  readonly ip: { readonly source: string; readonly destination: string } & Partial<
    Omit<IPv4, 'version'> & Omit<IPv6, 'version'>
  >;
  readonly tcp?: Partial<Tcp> & { readonly sourcePort: number; readonly destinationPort: number };
  readonly udp?: Partial<Udp> & { readonly sourcePort: number; readonly destinationPort: number };
  readonly icmp?: Partial<Icmp> & { readonly type: number };
  readonly payload?: Buffer | string;
}

/** The bytes of a correct packet: lengths, protocol numbers and checksums are computed unless the test gives its own. */
export function craft(wanted: Wanted): Buffer {
  const is6 = wanted.ip.source.includes(':');
  const payload = Buffer.from(wanted.payload ?? '');
  const transport = wantedTransport(wanted, is6, payload.length);
  const body = buildTransport(transport).length + payload.length;
  const protocol = transport.kind === 'none' ? (wanted.ip.protocol ?? 253) : protocols[transport.kind];
  const ip = is6 ? wantedIPv6(wanted, protocol, body) : wantedIPv4(wanted, protocol, body);
  const ethernet: Ethernet = {
    destination: '02:00:00:00:00:02',
    source: '02:00:00:00:00:01',
    vlans: [],
    type: is6 ? 0x86dd : 0x0800,
    ...wanted.ethernet,
  };
  const draft: Packet = {
    ethernet: wanted.ethernet === null ? null : ethernet,
    ip,
    transport,
    payload,
    trailer: Buffer.alloc(0),
  };
  return build(withChecksums(draft, wanted));
}

function wantedTransport(wanted: Wanted, is6: boolean, payloadLength: number): Packet['transport'] {
  if (wanted.tcp !== undefined) {
    const plain = { sequence: 1, acknowledgement: 0, reserved: 0, flags: 'S', window: 64240, urgent: 0, options: '' };
    return { ...plain, checksum: 0, ...wanted.tcp, kind: 'tcp' };
  }
  if (wanted.udp !== undefined) return { length: 8 + payloadLength, checksum: 0, ...wanted.udp, kind: 'udp' };
  if (wanted.icmp !== undefined)
    return { code: 0, rest: 0, checksum: 0, ...wanted.icmp, kind: is6 ? 'icmpv6' : 'icmp' };
  return { kind: 'none' };
}

function wantedIPv4(wanted: Wanted, protocol: number, body: number): IPv4 {
  const plain = {
    dscp: 0,
    ecn: 0,
    id: 1,
    reserved: false,
    dontFragment: true,
    moreFragments: false,
    fragmentOffset: 0,
  };
  const options = wanted.ip.options ?? '';
  const totalLength = 20 + options.length / 2 + body;
  return { ...plain, ttl: 64, protocol, checksum: 0, options, totalLength, ...wanted.ip, version: 4 };
}

function wantedIPv6(wanted: Wanted, protocol: number, body: number): IPv6 {
  const given = wanted.ip.extensions ?? [];
  const extensions = given.map((extension, i) => ({ ...extension, next: given[i + 1]?.type ?? protocol }));
  const payloadLength = body + extensions.reduce((sum, { data }) => sum + 1 + data.length / 2, 0);
  const plain = { trafficClass: 0, flowLabel: 0, hopLimit: 64, nextHeader: extensions[0]?.type ?? protocol };
  return { ...plain, payloadLength, ...wanted.ip, extensions, version: 6 };
}

function withChecksums(draft: Packet, wanted: Wanted): Packet {
  let { ip, transport } = draft;
  if (transport.kind !== 'none' && (wanted.tcp ?? wanted.udp ?? wanted.icmp)?.checksum === undefined) {
    transport = { ...transport, checksum: transportChecksum(draft) };
  }
  if (ip?.version === 4 && wanted.ip.checksum === undefined) ip = { ...ip, checksum: checksum([buildIPv4(ip)]) };
  return { ...draft, ip, transport };
}
