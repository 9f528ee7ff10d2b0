/** Cuts packets into pieces as a sender or router would, and joins them as a receiver would. */
import { build, buildIPv4, buildTransport } from './build.ts';
import { checksum } from './checksum.ts';
import type { Packet } from './header.ts';
import { parse } from './packet.ts';

const FRAGMENT = 44;

/** The pieces of a whole packet, first to last, with `size` bytes of payload each, a multiple of 8. */
export function cut(frame: Buffer, size: number, id: number): Buffer[] {
  const packet = parse(frame);
  const body = bodyOf(packet);
  const starts = Array.from({ length: Math.ceil(body.length / size) }, (_, i) => i * size);
  return starts.map((start) => {
    const payload = body.subarray(start, start + size);
    return piece(packet, payload, { offset: start, more: start + size < body.length, id });
  });
}

interface Place {
  /** In bytes. */
  readonly offset: number;
  readonly more: boolean;
  readonly id: number;
}

/** One piece of `packet`; a fragment header comes behind the extension headers that are there. */
export function piece(packet: Packet, payload: Buffer, { offset, more, id }: Place): Buffer {
  const { ip } = packet;
  if (ip === null) throw new Error('not IP');
  const bare = { ...packet, transport: { kind: 'none' }, payload, trailer: Buffer.alloc(0) } as const;
  if (ip.version === 4) {
    const totalLength = 20 + ip.options.length / 2 + payload.length;
    const header = { ...ip, id, totalLength, dontFragment: false, moreFragments: more, fragmentOffset: offset };
    const sum = checksum([buildIPv4({ ...header, checksum: 0 })]);
    return build({ ...bare, ip: { ...header, checksum: sum } });
  }
  const protocol = ip.extensions.at(-1)?.next ?? ip.nextHeader;
  const data = Buffer.alloc(7);
  data.writeUInt16BE(offset | (more ? 1 : 0), 1);
  data.writeUInt32BE(id, 3);
  const before = ip.extensions.map((one, i, all) => (i === all.length - 1 ? { ...one, next: FRAGMENT } : one));
  const extensions = [...before, { type: FRAGMENT, next: protocol, data: data.toString('hex') }];
  const length = extensions.reduce((sum, one) => sum + 1 + one.data.length / 2, 0);
  const nextHeader = before[0]?.type ?? FRAGMENT;
  return build({ ...bare, ip: { ...ip, nextHeader, extensions, payloadLength: length + payload.length } });
}

/** The whole packet. Throws where the pieces do not belong together. */
export function join(pieces: readonly Buffer[]): Packet {
  const parsed = pieces.map((one) => parse(one));
  const [first] = parsed as [Packet];
  const of = ({ ip }: Packet) => `${ip?.source} ${ip?.destination}`;
  if (parsed.some((one) => of(one) !== of(first))) throw new Error(`pieces of ${parsed.map(of).join(', ')}`);
  const body = Buffer.concat(parsed.map(bodyOf));
  const { ip } = first;
  if (ip === null) throw new Error('not IP');
  const bare = { ...first, transport: { kind: 'none' }, payload: body, trailer: Buffer.alloc(0) } as const;
  if (ip.version === 4) {
    const header = { ...ip, moreFragments: false, totalLength: 20 + ip.options.length / 2 + body.length };
    return parse(build({ ...bare, ip: { ...header, checksum: checksum([buildIPv4({ ...header, checksum: 0 })]) } }));
  }
  const protocol = ip.extensions.at(-1)?.next ?? 0;
  const kept = ip.extensions.slice(0, -1);
  const extensions = kept.map((one, i) => (i === kept.length - 1 ? { ...one, next: protocol } : one));
  const length = extensions.reduce((sum, one) => sum + 1 + one.data.length / 2, 0);
  const nextHeader = kept[0]?.type ?? protocol;
  return parse(build({ ...bare, ip: { ...ip, nextHeader, extensions, payloadLength: length + body.length } }));
}

function bodyOf({ transport, payload }: Packet): Buffer {
  return Buffer.concat([buildTransport(transport), payload]);
}
