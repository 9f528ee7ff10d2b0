const PRIME = 0x01000193;
const bytes = Buffer.alloc(256);

/**
 * The hash by which a row of `frontends` proves that it is whole and belongs to the key it was asked for: the programs
 * compute the same (bpf/check.h). Over the 32-bit words of key and value in the machine's order, little-endian: the sum
 * of w[i] * PRIME^i, its high part folded into the low one. `key` and `value` are hex, whole words, 256 bytes together
 * at most; `value` ends before the check word itself.
 */
export function checkOf(key: string, value: string): number {
  const hex = key + value;
  const size = hex.length / 2;
  if (size % 4 !== 0 || size > bytes.length || bytes.write(hex, 'hex') !== size) {
    throw new RangeError(`not the hex of whole 32-bit words, or too many: '${hex}'`);
  }
  let sum = 0;
  let power = 1;
  for (let at = 0; at < size; at += 4) {
    sum = (sum + Math.imul(bytes.readInt32LE(at), power)) | 0;
    power = Math.imul(power, PRIME);
  }
  return (sum ^ (sum >>> 15)) >>> 0;
}
