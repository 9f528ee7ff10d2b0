import { type Address, addressFromHex, addressToHex, familyOf } from '../model/address.ts';

const ETHERNET = 14;
const ETHERTYPE = { 4: 0x0800, 6: 0x86dd } as const;
const IP_HEADER = { 4: 20, 6: 40 } as const;
/** IPPROTO_... */
export const TCP = 6;
export const UDP = 17;
export const SCTP = 132;
const HOPS = 64;

/** Who speaks to whom; `protocol` is IPPROTO_TCP, IPPROTO_UDP or IPPROTO_SCTP. */
export interface Tuple {
  readonly source: Address;
  readonly sourcePort: number;
  readonly destination: Address;
  readonly destinationPort: number;
  readonly protocol: number;
}

/**
 * The first packet of a connection, to the device with this MAC, with right checksums: a SYN, a datagram of no bytes, or an SCTP
 * INIT.
 */
export function firstPacket(tuple: Tuple, mac: string): Buffer {
  const family = familyOf(tuple.source);
  const transport = transportOf(tuple);
  const ethernet = Buffer.alloc(ETHERNET);
  ethernet.write(mac.replaceAll(':', ''), 'hex');
  ethernet.writeUInt16BE(ETHERTYPE[family], 12);
  return Buffer.concat([
    ethernet,
    family === 4 ? ipv4(tuple, transport.length) : ipv6(tuple, transport.length),
    transport,
  ]);
}

/** The tuple of a packet as a program left it; null: it is none of these, such as an ICMP error. */
export function tupleOf(packet: Uint8Array): Tuple | null {
  const bytes = Buffer.from(packet.buffer, packet.byteOffset, packet.byteLength);
  const family = bytes.length > ETHERNET && bytes.readUInt8(ETHERNET) >> 4 === 6 ? 6 : 4;
  const ports = ETHERNET + IP_HEADER[family];
  if (bytes.length < ports + 4) return null;
  const protocol = bytes.readUInt8(ETHERNET + (family === 4 ? 9 : 6));
  if (![TCP, UDP, SCTP].includes(protocol)) return null;
  const address = (offset: number) => {
    const size = family === 4 ? 4 : 16;
    const hex = bytes.toString('hex', ETHERNET + offset, ETHERNET + offset + size);
    return addressFromHex(hex.padStart(32, '00000000000000000000ffff'));
  };
  return {
    source: address(family === 4 ? 12 : 8),
    sourcePort: bytes.readUInt16BE(ports),
    destination: address(family === 4 ? 16 : 24),
    destinationPort: bytes.readUInt16BE(ports + 2),
    protocol,
  };
}

function ipv4({ source, destination, protocol }: Tuple, length: number): Buffer {
  const header = Buffer.alloc(IP_HEADER[4]);
  header[0] = 0x45;
  header.writeUInt16BE(header.length + length, 2);
  header.writeUInt16BE(0x4000, 6); // do not fragment
  header[8] = HOPS;
  header[9] = protocol;
  addressBytes(source).copy(header, 12);
  addressBytes(destination).copy(header, 16);
  header.writeUInt16BE(checksum(header), 10);
  return header;
}

function ipv6({ source, destination, protocol }: Tuple, length: number): Buffer {
  const header = Buffer.alloc(IP_HEADER[6]);
  header[0] = 0x60;
  header.writeUInt16BE(length, 4);
  header[6] = protocol;
  header[7] = HOPS;
  addressBytes(source).copy(header, 8);
  addressBytes(destination).copy(header, 24);
  return header;
}

function transportOf(tuple: Tuple): Buffer {
  const { source, destination, protocol } = tuple;
  const bytes = protocol === TCP ? syn() : protocol === UDP ? Buffer.alloc(8) : sctpInit();
  bytes.writeUInt16BE(tuple.sourcePort, 0);
  bytes.writeUInt16BE(tuple.destinationPort, 2);
  if (protocol === UDP) bytes.writeUInt16BE(bytes.length, 4);
  if (protocol === SCTP) {
    bytes.writeUInt32LE(crc32c(bytes), 8);
    return bytes;
  }
  const pseudo = Buffer.alloc(8);
  pseudo.writeUInt32BE(bytes.length, 0);
  pseudo.writeUInt32BE(protocol, 4);
  const sum = checksum(Buffer.concat([addressBytes(source), addressBytes(destination), pseudo, bytes]));
  bytes.writeUInt16BE(sum === 0 && protocol === UDP ? 0xffff : sum, protocol === TCP ? 16 : 6);
  return bytes;
}

function syn(): Buffer {
  const header = Buffer.alloc(20);
  header.writeUInt32BE(1, 4);
  header[12] = 0x50;
  header[13] = 0x02;
  header.writeUInt16BE(64240, 14);
  return header;
}

/** RFC 9260: the common header and an INIT chunk. */
function sctpInit(): Buffer {
  const packet = Buffer.alloc(32);
  packet[12] = 1;
  packet.writeUInt16BE(20, 14);
  packet.writeUInt32BE(1, 16);
  packet.writeUInt32BE(65536, 20);
  packet.writeUInt16BE(1, 24);
  packet.writeUInt16BE(1, 26);
  packet.writeUInt32BE(1, 28);
  return packet;
}

function addressBytes(address: Address): Buffer {
  return Buffer.from(addressToHex(address), 'hex').subarray(familyOf(address) === 4 ? 12 : 0);
}

function checksum(bytes: Buffer): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) sum += bytes.readUInt16BE(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

function crc32c(bytes: Buffer): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  }
  return ~crc >>> 0;
}
