/** The headers of a packet as the wire has them, nothing left out: every field that parse() reads build() writes. */

export interface Vlan {
  /** 0x8100 or 0x88a8. */
  readonly tpid: number;
  readonly priority: number;
  readonly dropEligible: boolean;
  readonly id: number;
}

export interface Ethernet {
  readonly destination: string;
  readonly source: string;
  /** Outermost first. */
  readonly vlans: readonly Vlan[];
  readonly type: number;
}

export interface IPv4 {
  readonly version: 4;
  readonly dscp: number;
  readonly ecn: number;
  readonly totalLength: number;
  readonly id: number;
  readonly reserved: boolean;
  readonly dontFragment: boolean;
  readonly moreFragments: boolean;
  /** In bytes. */
  readonly fragmentOffset: number;
  readonly ttl: number;
  readonly protocol: number;
  readonly checksum: number;
  readonly source: string;
  readonly destination: string;
  /** Hex, a multiple of four bytes. */
  readonly options: string;
}

export interface Extension {
  readonly type: number;
  readonly next: number;
  /** Hex of all that follows the `next` byte. */
  readonly data: string;
}

export interface IPv6 {
  readonly version: 6;
  readonly trafficClass: number;
  readonly flowLabel: number;
  readonly payloadLength: number;
  readonly nextHeader: number;
  readonly hopLimit: number;
  readonly source: string;
  readonly destination: string;
  readonly extensions: readonly Extension[];
}

export interface Tcp {
  readonly kind: 'tcp';
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly sequence: number;
  readonly acknowledgement: number;
  readonly reserved: number;
  /** Some of CEUAPRSF (CWR, ECE, URG, ACK, PSH, RST, SYN, FIN), in this order. */
  readonly flags: string;
  readonly window: number;
  readonly checksum: number;
  readonly urgent: number;
  /** Hex, a multiple of four bytes. */
  readonly options: string;
}

export interface Udp {
  readonly kind: 'udp';
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly length: number;
  readonly checksum: number;
}

/** ICMP of either version; the message after its first eight bytes is the packet's payload. */
export interface Icmp {
  readonly kind: 'icmp' | 'icmpv6';
  readonly type: number;
  readonly code: number;
  readonly checksum: number;
  /** Bytes four to seven as one number: the MTU of 'fragmentation needed' and 'packet too big', id and sequence of an echo. */
  readonly rest: number;
}

/** No header that is known: another protocol, a later fragment, or one that is cut off, as ICMP quotes them; see payload. */
export interface Opaque {
  readonly kind: 'none';
}

export interface Packet {
  /** null: a device without a link header, or a packet quoted by ICMP. */
  readonly ethernet: Ethernet | null;
  /** null: not IP, and then all of it is payload. */
  readonly ip: IPv4 | IPv6 | null;
  readonly transport: Tcp | Udp | Icmp | Opaque;
  readonly payload: Buffer;
  /** What stands after the end of the IP packet: Ethernet's padding. */
  readonly trailer: Buffer;
}

export const protocols: { readonly icmp: 1; readonly tcp: 6; readonly udp: 17; readonly icmpv6: 58 } = {
  icmp: 1,
  tcp: 6,
  udp: 17,
  icmpv6: 58,
};

export const tcpFlags = 'CEUAPRSF';

/** The bytes of an address, 4 or 16. Written apart from the product's own codec, which the packet tests judge. */
export function addressBytes(text: string): Buffer {
  if (!text.includes(':')) return Buffer.from(text.split('.').map(Number));
  const dotted = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text);
  const tail = dotted === null ? '' : addressBytes(dotted[2] as string).toString('hex');
  const plain = dotted === null ? text : `${dotted[1]}${tail.slice(0, 4)}:${tail.slice(4)}`;
  const [head = '', rest] = plain.split('::');
  const groups = (part: string): string[] => part.split(':').filter((group) => group !== '');
  const missing = rest === undefined ? 0 : 8 - groups(head).length - groups(rest).length;
  const all = [...groups(head), ...Array<string>(missing).fill('0'), ...groups(rest ?? '')];
  return Buffer.from(all.map((group) => group.padStart(4, '0')).join(''), 'hex');
}

/** The address in the usual text (RFC 5952, always hex groups). */
export function addressText(bytes: Buffer): string {
  if (bytes.length === 4) return [...bytes].join('.');
  const groups = Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(2 * i).toString(16));
  const runs = [...groups.join(':').matchAll(/\b0(:0)+\b/g)].sort(
    (a, b) => b[0].length - a[0].length || a.index - b.index,
  );
  const [longest] = runs;
  if (longest === undefined) return groups.join(':');
  const text = groups.join(':');
  return `${text.slice(0, longest.index).replace(/:$/, '')}::${text.slice(longest.index + longest[0].length).replace(/^:/, '')}`;
}

export function macBytes(text: string): Buffer {
  return Buffer.from(text.replaceAll(':', ''), 'hex');
}

export function macText(bytes: Buffer): string {
  return bytes.toString('hex').replace(/..(?=.)/g, '$&:');
}
