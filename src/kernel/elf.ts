/** What an ELF64 little-endian file calls one of its sections or symbols, and where that is. */
interface Section {
  readonly name: string;
  readonly type: number;
  readonly offset: number;
  readonly size: number;
  readonly link: number;
}

const SHT_SYMTAB = 2;
const SYMBOL_BYTES = 24;

/**
 * The initial content of .rodata of a compiled object with the bytes of one variable put in: the compiler keeps constants
 * of its own beside ours there. Throws if there is no such variable, or it has another size.
 */
export function rodataWith(elf: Uint8Array, variable: string, value: Uint8Array): Buffer {
  const file = Buffer.from(elf.buffer, elf.byteOffset, elf.byteLength);
  const sections = readSections(file);
  const index = sections.findIndex((section) => section.name === '.rodata');
  const rodata = sections[index];
  if (rodata === undefined) throw new Error('the object has no .rodata');
  const symbol = findSymbol(file, sections, variable, index);
  if (symbol === undefined) throw new Error(`the object has no constant '${variable}'`);
  if (symbol.size !== value.length) {
    throw new Error(`'${variable}' has ${symbol.size} bytes in the object and ${value.length} in the layout`);
  }
  const content = Buffer.from(file.subarray(rodata.offset, rodata.offset + rodata.size));
  content.set(value, symbol.offset);
  return content;
}

function readSections(file: Buffer): Section[] {
  if (file.toString('latin1', 0, 6) !== '\x7fELF\x02\x01') throw new Error('not a little-endian 64 bit ELF file');
  const start = Number(file.readBigUInt64LE(0x28));
  const entry = file.readUInt16LE(0x3a);
  const count = file.readUInt16LE(0x3c);
  const headers = Array.from({ length: count }, (_, i) => file.subarray(start + i * entry, start + (i + 1) * entry));
  const names = headers[file.readUInt16LE(0x3e)];
  if (names === undefined) throw new Error('an ELF file without names of sections');
  const namesOffset = Number(names.readBigUInt64LE(0x18));
  return headers.map((header) => ({
    name: text(file, namesOffset + header.readUInt32LE(0)),
    type: header.readUInt32LE(4),
    offset: Number(header.readBigUInt64LE(0x18)),
    size: Number(header.readBigUInt64LE(0x20)),
    link: header.readUInt32LE(0x28),
  }));
}

function findSymbol(
  file: Buffer,
  sections: readonly Section[],
  name: string,
  section: number,
): { offset: number; size: number } | undefined {
  const table = sections.find(({ type }) => type === SHT_SYMTAB);
  const strings = sections[table?.link ?? -1];
  if (table === undefined || strings === undefined) return undefined;
  for (let at = table.offset; at < table.offset + table.size; at += SYMBOL_BYTES) {
    if (file.readUInt16LE(at + 6) !== section) continue;
    if (text(file, strings.offset + file.readUInt32LE(at)) !== name) continue;
    return { offset: Number(file.readBigUInt64LE(at + 8)), size: Number(file.readBigUInt64LE(at + 16)) };
  }
  return undefined;
}

function text(file: Buffer, offset: number): string {
  return file.toString('latin1', offset, file.indexOf(0, offset));
}
