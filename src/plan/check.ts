/** 0x9e3779b97f4a7c15, in halves: its powers stand here as they are needed, low and high 32 bits in turn. */
const FACTOR = 0x9e3779b97f4a7c15n;
const WORDS = 64;
const powers = new Uint32Array(2 * WORDS);
for (let i = 0, power = 1n; i < WORDS; i++) {
  power = BigInt.asUintN(64, power * FACTOR);
  powers[2 * i] = Number(power & 0xffffffffn);
  powers[2 * i + 1] = Number(power >> 32n);
}
const bytes = Buffer.alloc(4 * WORDS);

/**
 * The hash by which a row of `frontends` proves that it is whole and belongs to the key it was asked for: the programs
 * compute the same (bpf/check.h). Over the 32-bit words of key and value, little-endian: the high half of the 64-bit sum
 * of w[i] * FACTOR^(i+1). `key` and `value` are hex, whole words, 256 bytes together at most; `value` ends before the
 * check word itself.
 */
export function checkOf(key: string, value: string): number {
  const hex = key + value;
  const size = hex.length / 2;
  if (size % 4 !== 0 || size > bytes.length || bytes.write(hex, 'hex') !== size) {
    throw new RangeError(`not the hex of whole 32-bit words, or too many: '${hex}'`);
  }
  let low = 0;
  let high = 0;
  for (let at = 0; at < size; at += 4) {
    const word = bytes.readUInt32LE(at);
    const powerLow = powers[at / 2] ?? 0;
    // word * powerLow in two products of 48 bits, which a number holds exactly
    const top = (word >>> 16) * powerLow;
    const sum = low + (word & 0xffff) * powerLow + (top % 0x10000) * 0x10000;
    low = sum % 0x100000000;
    const carry = (sum - low) / 0x100000000 + Math.floor(top / 0x10000);
    high = (high + carry + Math.imul(word, powers[at / 2 + 1] ?? 0)) >>> 0;
  }
  return high;
}
