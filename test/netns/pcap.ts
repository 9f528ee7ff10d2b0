import { type Packet, parse } from './packet.ts';

export interface Captured {
  /** Seconds since 1970. */
  readonly time: number;
  readonly bytes: Buffer;
  readonly packet: Packet;
}

/** Reads a pcap file as tcpdump writes it; a last record that is not complete yet is left out. Throws on other files. */
export function readPcap(file: Buffer): Captured[] {
  if (file.length < 24) return [];
  const magic = file.readUInt32LE(0);
  const ticks = magic === 0xa1b2c3d4 ? 1e6 : magic === 0xa1b23c4d ? 1e9 : undefined;
  if (ticks === undefined)
    throw new RangeError(`not a little-endian pcap file: it begins with ${file.toString('hex', 0, 4)}`);
  const link = linkOf(file.readUInt32LE(20) & 0xffff);
  const captured: Captured[] = [];
  for (let at = 24; at + 16 <= file.length; ) {
    const size = file.readUInt32LE(at + 8);
    const bytes = file.subarray(at + 16, at + 16 + size);
    if (bytes.length < size) break;
    const time = file.readUInt32LE(at) + file.readUInt32LE(at + 4) / ticks;
    captured.push({ time, bytes, packet: parse(bytes, link) });
    at += 16 + size;
  }
  return captured;
}

function linkOf(type: number): 'ethernet' | 'none' {
  if (type === 1) return 'ethernet';
  if (type === 12 || type === 101) return 'none';
  throw new RangeError(`pcap link type ${type}: capture on one device, not on 'any'`);
}
