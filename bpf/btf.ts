/**
 * The types that clang describes in the .BTF section of a BPF object, as plain values. A number in `type` is an index
 * into `Btf.types`; 0 is void. Format: Documentation/bpf/btf.rst of the kernel.
 */
export interface Btf {
  readonly types: readonly BtfType[];
}

export type BtfType =
  | { readonly kind: 'void' | 'fwd' | 'func' | 'func_proto' | 'float' | 'decl_tag' | 'enum64'; readonly name: string }
  | {
      readonly kind: 'int';
      readonly name: string;
      readonly size: number;
      readonly encoding: number;
      readonly bits: number;
    }
  | {
      readonly kind: 'ptr' | 'typedef' | 'volatile' | 'const' | 'restrict' | 'var' | 'type_tag';
      readonly name: string;
      readonly type: number;
    }
  | { readonly kind: 'array'; readonly name: string; readonly type: number; readonly length: number }
  | {
      readonly kind: 'struct' | 'union';
      readonly name: string;
      readonly size: number;
      readonly members: readonly BtfMember[];
    }
  | {
      readonly kind: 'enum';
      readonly name: string;
      readonly members: readonly { readonly name: string; readonly value: number }[];
    }
  | { readonly kind: 'datasec'; readonly name: string; readonly variables: readonly number[] };

export interface BtfMember {
  readonly name: string;
  readonly type: number;
  /** From the start of the struct, in bits. */
  readonly offset: number;
  /** Width of a bitfield; 0: it is none. */
  readonly bits: number;
}

const kinds = [
  'void',
  'int',
  'ptr',
  'array',
  'struct',
  'union',
  'enum',
  'fwd',
  'typedef',
  'volatile',
  'const',
  'restrict',
  'func',
  'func_proto',
  'var',
  'datasec',
  'float',
  'decl_tag',
  'type_tag',
  'enum64',
] as const;

/** Reads an ELF64 little-endian object. Throws if it is not one, or has no BTF (compile with -g). */
export function readBtf(elf: Uint8Array): Btf {
  const file = Buffer.from(elf.buffer, elf.byteOffset, elf.byteLength);
  const btf = readSections(file).get('.BTF');
  if (btf === undefined) throw new Error('no .BTF section: compile with clang -g -target bpf');
  return { types: readTypes(btf) };
}

function readSections(file: Buffer): Map<string, Buffer> {
  if (file.length < 64 || file.readUInt32BE(0) !== 0x7f454c46 || file[4] !== 2 || file[5] !== 1)
    throw new Error('not an ELF64 little-endian object');
  const table = Number(file.readBigUInt64LE(40));
  const entrySize = file.readUInt16LE(58);
  const header = (index: number): Buffer => file.subarray(table + index * entrySize, table + (index + 1) * entrySize);
  const content = (section: Buffer): Buffer => {
    const offset = Number(section.readBigUInt64LE(24));
    return file.subarray(offset, offset + Number(section.readBigUInt64LE(32)));
  };
  const names = content(header(file.readUInt16LE(62)));
  const sections = new Map<string, Buffer>();
  for (let i = 1; i < file.readUInt16LE(60); i++)
    sections.set(textAt(names, header(i).readUInt32LE(0)), content(header(i)));
  return sections;
}

function readTypes(section: Buffer): BtfType[] {
  if (section.readUInt16LE(0) !== 0xeb9f) throw new Error('.BTF does not begin with its magic number');
  const start = section.readUInt32LE(4);
  const types = section.subarray(start + section.readUInt32LE(8)).subarray(0, section.readUInt32LE(12));
  const strings = section.subarray(start + section.readUInt32LE(16)).subarray(0, section.readUInt32LE(20));
  const read: BtfType[] = [{ kind: 'void', name: 'void' }];
  for (let at = 0; at < types.length; ) {
    const { type, next } = readType(types, strings, at);
    read.push(type);
    at = next;
  }
  return read;
}

function readType(types: Buffer, strings: Buffer, at: number): { type: BtfType; next: number } {
  const word = (index: number): number => types.readUInt32LE(at + 4 * index);
  const nameAt = (index: number): string => textAt(strings, word(index));
  const name = nameAt(0);
  const kind = kinds[(word(1) >>> 24) & 31];
  const flag = word(1) >>> 31 === 1;
  const count = word(1) & 0xffff;
  const each = <T>(words: number, read: (first: number) => T): T[] =>
    Array.from({ length: count }, (_, i) => read(3 + i * words));
  const end = (words: number): number => at + 4 * (3 + words);

  switch (kind) {
    case 'int': {
      const encoding = word(3);
      return {
        type: { kind, name, size: word(2), encoding: (encoding >>> 24) & 15, bits: encoding & 255 },
        next: end(1),
      };
    }
    case 'ptr':
    case 'typedef':
    case 'volatile':
    case 'const':
    case 'restrict':
    case 'type_tag':
      return { type: { kind, name, type: word(2) }, next: end(0) };
    case 'var':
      return { type: { kind, name, type: word(2) }, next: end(1) };
    case 'array':
      return { type: { kind, name, type: word(3), length: word(5) }, next: end(3) };
    case 'struct':
    case 'union': {
      const members = each(3, (first) => ({
        name: nameAt(first),
        type: word(first + 1),
        offset: flag ? word(first + 2) & 0xffffff : word(first + 2),
        bits: flag ? word(first + 2) >>> 24 : 0,
      }));
      return { type: { kind, name, size: word(2), members }, next: end(3 * count) };
    }
    case 'enum': {
      const value = (first: number): number => (flag ? word(first + 1) | 0 : word(first + 1));
      return {
        type: { kind, name, members: each(2, (first) => ({ name: nameAt(first), value: value(first) })) },
        next: end(2 * count),
      };
    }
    case 'datasec':
      return { type: { kind, name, variables: each(3, (first) => word(first)) }, next: end(3 * count) };
    case 'func_proto':
      return { type: { kind, name }, next: end(2 * count) };
    case 'decl_tag':
      return { type: { kind, name }, next: end(1) };
    case 'enum64':
      return { type: { kind, name }, next: end(3 * count) };
    case 'fwd':
    case 'func':
    case 'float':
      return { type: { kind, name }, next: end(0) };
    default:
      throw new Error(`BTF kind ${(word(1) >>> 24) & 31} is not known here`);
  }
}

function textAt(strings: Buffer, offset: number): string {
  return strings.toString('latin1', offset, strings.indexOf(0, offset));
}
