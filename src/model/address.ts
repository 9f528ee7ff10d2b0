/**
 * An IP address as canonical text: '10.96.0.1', 'fd00::1' (RFC 5952). An IPv4-mapped IPv6 address is its IPv4 address.
 * Canonical means that two addresses are the same one exactly if their texts are equal.
 */
export type Address = string;

/** A network: host bits are cleared, `prefixLength` counts in the family of `address` (0..32 or 0..128). */
export interface Cidr {
  readonly address: Address;
  readonly prefixLength: number;
}

/** How the 32 hex digits of an IPv4 address begin. */
const mapped = '00000000000000000000ffff';

const byteHex = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));

/** Lenient: blanks around it and leading zeros (read as decimal, never octal) are accepted. Null: not an address. */
export function parseAddress(text: string): Address | null {
  const hex = toHex(text.trim());
  return hex === null ? null : addressFromHex(hex);
}

/** Lenient as `parseAddress`; host bits may be set, the result has them cleared. Null: not address/length. */
export function parseCidr(text: string): Cidr | null {
  const [network = '', length = '', ...more] = text.trim().split('/');
  const hex = toHex(network.trim());
  if (hex === null || more.length > 0 || !/^\s*\d+$/.test(length)) return null;
  const given = Number(length);
  const prefixLength = network.includes(':') ? given : given + 96;
  if (prefixLength > 128) return null;
  const address = addressFromHex(clearHostBits(hex, prefixLength));
  return { address, prefixLength: familyOf(address) === 4 ? prefixLength - 96 : prefixLength };
}

/** Takes canonical text and looks no closer than it must. */
export function familyOf(address: Address): 4 | 6 {
  return address.includes(':') ? 6 : 4;
}

/** The 16 bytes in network order as 32 hex digits, IPv4 mapped (::ffff:a.b.c.d). Throws if it is not an address. */
export function addressToHex(address: Address): string {
  const hex = toHex(address);
  if (hex === null) throw new Error(`not an address: '${address}'`);
  return hex;
}

/** The inverse of `addressToHex`. Throws on anything but 32 hex digits. */
export function addressFromHex(hex: string): Address {
  if (hex.length !== 32) throw new Error(`not 32 hex digits: '${hex}'`);
  if (hex.startsWith(mapped)) {
    const number = Number.parseInt(hex.slice(24), 16);
    return `${number >>> 24}.${(number >>> 16) & 255}.${(number >>> 8) & 255}.${number & 255}`;
  }
  const groups: string[] = [];
  for (let i = 0; i < 32; i += 4) groups.push(Number.parseInt(hex.slice(i, i + 4), 16).toString(16));
  return shortest(groups);
}

/** The first of a family: of a node's addresses, its primary one. */
export function firstOfFamily(addresses: readonly Address[], family: 4 | 6): Address | undefined {
  return addresses.find((address) => familyOf(address) === family);
}

/** '10.0.0.1:80', '[fd00::1]:80' */
export function endpointText(address: string, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

/** What stands in the maps for no address, as hex: no host has the unspecified one. */
export const noAddressHex: string = '0'.repeat(32);

/** Never across families: '::/0' does not contain an IPv4 address. */
export function cidrContains(cidr: Cidr, address: Address): boolean {
  const family = familyOf(cidr.address);
  if (family !== familyOf(address)) return false;
  const prefixLength = family === 4 ? cidr.prefixLength + 96 : cidr.prefixLength;
  return clearHostBits(addressToHex(address), prefixLength) === addressToHex(cidr.address);
}

function toHex(text: string): string | null {
  return text.includes(':') ? toHex6(text) : toHex4(text);
}

function toHex4(text: string): string | null {
  const bytes = toBytes4(text);
  return bytes === null ? null : mapped + bytes;
}

/** '10.0.0.1' → '0a000001'. By character, since every endpoint of every pass goes through here. */
function toBytes4(text: string): string | null {
  let hex = '';
  let parts = 0;
  let byte = -1;
  for (let i = 0; i <= text.length; i++) {
    const code = i < text.length ? text.charCodeAt(i) : 46;
    if (code === 46) {
      if (byte < 0) return null;
      hex += byteHex[byte];
      byte = -1;
      parts++;
    } else if (code >= 48 && code <= 57) {
      byte = Math.max(byte, 0) * 10 + code - 48;
      if (byte > 255) return null;
    } else return null;
  }
  return parts === 4 ? hex : null;
}

function toHex6(text: string): string | null {
  const [head = '', tail, ...more] = text.split('::');
  if (more.length > 0) return null;
  const left = groupsToHex(head, tail === undefined);
  if (tail === undefined) return left?.length === 32 ? left : null;
  const right = groupsToHex(tail, true);
  if (left === null || right === null || left.length + right.length > 28) return null;
  return left + '0'.repeat(32 - left.length - right.length) + right;
}

/** Groups between colons; only at the very end may an IPv4 address stand for the last two. */
function groupsToHex(text: string, mayEndInIPv4: boolean): string | null {
  if (text === '') return '';
  const groups = text.split(':');
  let hex = '';
  for (const [i, group] of groups.entries()) {
    if (mayEndInIPv4 && i === groups.length - 1 && group.includes('.')) {
      const bytes = toBytes4(group);
      if (bytes === null) return null;
      hex += bytes;
    } else {
      if (!/^0*[0-9a-fA-F]{1,4}$/.test(group)) return null;
      hex += group.slice(-4).padStart(4, '0').toLowerCase();
    }
  }
  return hex;
}

/** RFC 5952: the longest run of two or more zero groups, the first of equals, becomes '::'. */
function shortest(groups: readonly string[]): string {
  let start = -1;
  let length = 1;
  for (let i = 0; i < groups.length; i++) {
    let end = i;
    while (groups[end] === '0') end++;
    if (end - i > length) {
      start = i;
      length = end - i;
    }
    i = end;
  }
  if (start < 0) return groups.join(':');
  return `${groups.slice(0, start).join(':')}::${groups.slice(start + length).join(':')}`;
}

function clearHostBits(hex: string, prefixLength: number): string {
  const whole = prefixLength >> 2;
  const rest = prefixLength & 3;
  if (rest === 0) return hex.slice(0, whole).padEnd(32, '0');
  const digit = Number.parseInt(hex.charAt(whole), 16) & (0xf << (4 - rest));
  return (hex.slice(0, whole) + digit.toString(16)).padEnd(32, '0');
}
