/**
 * A value and its exact bytes in a map, as lower-case hex. The codecs stand in `layout.gen.ts`, one call of this file a
 * field; `encode` throws a RangeError that names struct and field, `decode` one if the length is not `size` bytes.
 */
export interface Codec<T> {
  /** Bytes. */
  readonly size: number;
  encode(value: T): string;
  /** Takes lower-case hex, as `encode` and Buffer give it. */
  decode(hex: string): T;
}

/** What the programs say of a map. `maxEntries` is a default; `layout` changes whenever a byte of a row means something else. */
export interface MapLayout<Key, Value> {
  readonly type: string;
  readonly keySize: number;
  readonly valueSize: number;
  readonly maxEntries: number;
  readonly flags: number;
  readonly layout: string;
  readonly key: Codec<Key>;
  readonly value: Codec<Value>;
}

/** The one row being written or read: a codec writes each byte of it before it is turned into text. */
const bytes = Buffer.alloc(4096);
const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);

/** The first `size` bytes written by the calls before. */
export function written(size: number): string {
  return bytes.toString('hex', 0, size);
}

/** Makes `hex` what the calls after it read. */
export function read(hex: string, size: number, struct: string): void {
  if (hex.length !== 2 * size || bytes.write(hex, 0, size, 'hex') !== size)
    throw new RangeError(`${struct}: '${hex}' is not the hex of ${size} bytes`);
}

// `at` is an offset in bytes. u16, u32 and u64 stand in the byte order of the machines we run on, be16 and be32 in the network's.

export function putU8(at: number, value: number, field: string): void {
  if ((value & 0xff) !== value) refuse(value, 0xff, field);
  view.setUint8(at, value);
}

export function putU16(at: number, value: number, field: string): void {
  if ((value & 0xffff) !== value) refuse(value, 0xffff, field);
  view.setUint16(at, value, true);
}

export function putU32(at: number, value: number, field: string): void {
  if (value >>> 0 !== value) refuse(value, 0xffffffff, field);
  view.setUint32(at, value, true);
}

export function putU64(at: number, value: bigint, field: string): void {
  if (BigInt.asUintN(64, value) !== value) refuse(value, 0xffffffffffffffffn, field);
  view.setBigUint64(at, value, true);
}

export function putBe16(at: number, value: number, field: string): void {
  if ((value & 0xffff) !== value) refuse(value, 0xffff, field);
  view.setUint16(at, value);
}

export function putBe32(at: number, value: number, field: string): void {
  if (value >>> 0 !== value) refuse(value, 0xffffffff, field);
  view.setUint32(at, value);
}

/** `hex`: exactly `size` bytes. */
export function putHex(at: number, size: number, hex: string, field: string): void {
  if (hex.length !== 2 * size || bytes.write(hex, at, size, 'hex') !== size)
    throw new RangeError(`${field}: '${hex}' is not the hex of ${size} bytes`);
}

/** UTF-8, the rest of `size` bytes NUL. */
export function putText(at: number, size: number, text: string, field: string): void {
  const length = Buffer.byteLength(text);
  if (length > size) throw new RangeError(`${field}: '${text}' is ${length} bytes, there is room for ${size}`);
  if (text.includes('\0') || !text.isWellFormed())
    throw new RangeError(`${field}: ${JSON.stringify(text)} has a character that cannot be kept`);
  bytes.write(text, at, size);
  bytes.fill(0, at + length, at + size);
}

export function putZeros(at: number, size: number): void {
  for (let i = at; i < at + size; i++) view.setUint8(i, 0);
}

export function getU8(at: number): number {
  return view.getUint8(at);
}

export function getU16(at: number): number {
  return view.getUint16(at, true);
}

export function getU32(at: number): number {
  return view.getUint32(at, true);
}

export function getU64(at: number): bigint {
  return view.getBigUint64(at, true);
}

export function getBe16(at: number): number {
  return view.getUint16(at);
}

export function getBe32(at: number): number {
  return view.getUint32(at);
}

export function getText(at: number, size: number): string {
  const end = bytes.indexOf(0, at);
  return bytes.toString('utf8', at, end < 0 ? at + size : Math.min(end, at + size));
}

function refuse(value: number | bigint, max: number | bigint, field: string): never {
  throw new RangeError(`${field}: ${value} is not a whole number in 0..${max}`);
}
