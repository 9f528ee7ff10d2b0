import type { Btf, BtfMember, BtfType } from './btf.ts';

/**
 * A type as it may stand in types.h. `words` are raw bytes: hex in TypeScript, whatever their width. `nothing` is the key
 * of a ring.
 */
export type Type =
  | { readonly kind: 'nothing'; readonly size: 0 }
  | { readonly kind: 'scalar'; readonly name: Scalar; readonly size: number }
  | { readonly kind: 'words'; readonly name: Scalar; readonly size: number }
  | { readonly kind: 'text'; readonly size: number }
  | { readonly kind: 'struct'; readonly name: string; readonly size: number };

export type Scalar = 'u8' | 'u16' | 'u32' | 'u64' | 'be16' | 'be32';

/** `zero`: padding, written as zeros and not shown. Offsets and sizes are bytes. */
export interface Field {
  readonly name: string;
  readonly offset: number;
  readonly type: Type;
  readonly zero: boolean;
}

export interface Struct {
  readonly name: string;
  readonly size: number;
  readonly fields: readonly Field[];
}

export interface MapSchema {
  readonly name: string;
  readonly type: string;
  readonly maxEntries: number;
  readonly flags: number;
  readonly key: Type;
  readonly value: Type;
}

export interface Enum {
  readonly name: string;
  readonly members: readonly { readonly name: string; readonly value: number }[];
}

/** What one object, or several merged, share with user space. `config`: the struct in .rodata. */
export interface Schema {
  readonly structs: ReadonlyMap<string, Struct>;
  readonly maps: ReadonlyMap<string, MapSchema>;
  readonly enums: ReadonlyMap<string, Enum>;
  readonly config: Type | undefined;
}

const scalars: Readonly<Record<string, { name: Scalar; size: number }>> = {
  __u8: { name: 'u8', size: 1 },
  __u16: { name: 'u16', size: 2 },
  __u32: { name: 'u32', size: 4 },
  __u64: { name: 'u64', size: 8 },
  __be16: { name: 'be16', size: 2 },
  __be32: { name: 'be32', size: 4 },
};

/** Map types with rows of a fixed key and value, and rings of records, by BPF_MAP_TYPE_ number. */
const mapTypes: Readonly<Record<number, string>> = {
  1: 'hash',
  2: 'array',
  5: 'percpu_hash',
  6: 'percpu_array',
  9: 'lru_hash',
  10: 'lru_percpu_hash',
  11: 'lpm_trie',
  24: 'sk_storage',
  27: 'ringbuf',
};

const anchor = 'anchor_';

/**
 * The structs that maps and `config` reach, the maps, and the enums that an `anchor_...` variable points at; at the
 * struct of a ring's records points one with the ring's name. Throws, naming the field, on what has no one meaning in TypeScript: unions, bitfields, pointers, enums as fields (their size
 * is the compiler's choice), plain C types, holes.
 */
export function readSchema(btf: Btf): Schema {
  const structs = new Map<string, Struct>();
  const maps = new Map<string, MapSchema>();
  const enums = new Map<string, Enum>();
  let config: Type | undefined;

  for (const type of btf.types) {
    if (type.kind === 'datasec' && type.name === '.maps')
      for (const id of type.variables) {
        const map = readMap(btf, id, structs);
        maps.set(map.name, map);
      }
    if (type.kind === 'datasec' && type.name === '.rodata') config = readConfig(btf, type.variables, structs);
    if (type.kind === 'var' && type.name.startsWith(anchor)) {
      if (isRing(btf, type.name.slice(anchor.length))) continue;
      const found = readEnum(btf, type.name, type.type);
      enums.set(found.name, found);
    }
  }
  return { structs, maps, enums, config };
}

/** Several objects as one. Throws if they disagree about a name. */
export function mergeSchemas(schemas: readonly Schema[]): Schema {
  const merge = <T>(what: string, all: readonly ReadonlyMap<string, T>[]): Map<string, T> => {
    const merged = new Map<string, T>();
    for (const [name, item] of all.flatMap((some) => [...some])) {
      const known = merged.get(name);
      if (known !== undefined && JSON.stringify(known) !== JSON.stringify(item))
        throw new Error(`${what} ${name} is not the same in all objects`);
      merged.set(name, item);
    }
    return new Map([...merged].sort(([a], [b]) => (a < b ? -1 : 1)));
  };
  const configs = schemas.flatMap((schema) =>
    schema.config === undefined ? [] : [['config', schema.config] as const],
  );
  return {
    structs: merge(
      'struct',
      schemas.map((schema) => schema.structs),
    ),
    maps: merge(
      'map',
      schemas.map((schema) => schema.maps),
    ),
    enums: merge(
      'enum',
      schemas.map((schema) => schema.enums),
    ),
    config: [
      ...merge(
        'variable',
        configs.map((config) => new Map([config])),
      ).values(),
    ][0],
  };
}

function readStruct(btf: Btf, type: BtfType & { kind: 'struct' | 'union' }, structs: Map<string, Struct>): Type {
  if (!structs.has(type.name)) {
    let end = 0;
    const fields = type.members.map((member) => {
      const where = `${type.name}.${member.name}`;
      const field = readField(btf, where, member, structs);
      if (field.offset !== end)
        throw new Error(`${field.offset - end} bytes of padding before ${where}: name them zero...`);
      end = field.offset + field.type.size;
      return field;
    });
    if (end !== type.size)
      throw new Error(`${type.size - end} bytes of padding at the end of struct ${type.name}: name them zero...`);
    if (fields.every((field) => field.zero)) throw new Error(`struct ${type.name} has nothing but padding`);
    structs.set(type.name, { name: type.name, size: type.size, fields });
  }
  return { kind: 'struct', name: type.name, size: type.size };
}

function readField(btf: Btf, where: string, member: BtfMember, structs: Map<string, Struct>): Field {
  if (member.bits !== 0 || member.offset % 8 !== 0) throw new Error(`${where} is a bitfield`);
  const type = readType(btf, where, member.type, structs);
  return { name: member.name, offset: member.offset / 8, type, zero: member.name.startsWith('zero') };
}

function readType(btf: Btf, where: string, id: number, structs: Map<string, Struct>): Type {
  const type = at(btf, id);
  switch (type.kind) {
    case 'typedef': {
      const scalar = scalars[type.name];
      if (scalar !== undefined) return { kind: 'scalar', ...scalar };
      throw new Error(`${where} is a ${type.name}: only __u8, __u16, __u32, __u64, __be16, __be32 are known`);
    }
    case 'const':
    case 'volatile':
      return readType(btf, where, type.type, structs);
    case 'array':
      return readArray(btf, where, type);
    case 'struct':
      if (type.name === '') throw new Error(`${where} is a struct without a name`);
      return readStruct(btf, type, structs);
    case 'int':
      if (type.bits !== type.size * 8) throw new Error(`${where} is a bitfield`);
      throw new Error(`${where} is a plain '${type.name}': write __u8, __u16, __u32 or __u64`);
    case 'enum':
      throw new Error(
        `${where} is an enum, whose size the compiler chooses: write __u8 or __u32 and name the enum in a comment`,
      );
    case 'ptr':
      throw new Error(`${where} is a pointer`);
    default:
      throw new Error(`${where} is a ${type.kind}`);
  }
}

function readArray(btf: Btf, where: string, array: BtfType & { kind: 'array' }): Type {
  const element = at(btf, array.type);
  if (element.kind === 'int' && element.name === 'char') return { kind: 'text', size: array.length };
  const scalar = element.kind === 'typedef' ? scalars[element.name] : undefined;
  if (scalar === undefined || !['u8', 'be16', 'be32'].includes(scalar.name))
    throw new Error(`${where} is an array of other things than char, __u8, __be16, __be32`);
  return { kind: 'words', name: scalar.name, size: array.length * scalar.size };
}

function readMap(btf: Btf, id: number, structs: Map<string, Struct>): MapSchema {
  const variable = at(btf, id);
  const definition = variable.kind === 'var' ? at(btf, variable.type) : variable;
  if (definition.kind !== 'struct') throw new Error(`map ${variable.name} is not defined by a struct`);
  const where = `map ${variable.name}`;
  const numbers: Record<string, number> = { type: 0, max_entries: 0, map_flags: 0 };
  const types: Record<string, Type | undefined> = { key: undefined, value: undefined };
  for (const member of definition.members) {
    const pointer = at(btf, member.type);
    const pointed = pointer.kind === 'ptr' ? at(btf, pointer.type) : pointer;
    if (member.name in types && pointer.kind === 'ptr')
      types[member.name] = readType(btf, `${variable.name} ${member.name}`, pointer.type, structs);
    else if (member.name in numbers && pointed.kind === 'array') numbers[member.name] = pointed.length;
    else throw new Error(`${where}: '${member.name}' is not known here`);
  }
  const type = mapTypes[numbers.type ?? 0];
  if (type === undefined) throw new Error(`${where}: maps of type ${numbers.type} are not known here`);
  if (type === 'ringbuf') {
    types.key ??= { kind: 'nothing', size: 0 };
    types.value ??= readRecord(btf, variable.name, structs);
  }
  const { key, value } = types;
  if (key === undefined || value === undefined)
    throw new Error(`${where} needs __type(key, ...) and __type(value, ...)`);
  return { name: variable.name, type, maxEntries: numbers.max_entries ?? 0, flags: numbers.map_flags ?? 0, key, value };
}

/** Other constants may stand in .rodata, the compiler's own too; only `config` is set from outside. */
function readConfig(btf: Btf, variables: readonly number[], structs: Map<string, Struct>): Type | undefined {
  const variable = variables.map((id) => at(btf, id)).find(({ name }) => name === 'config');
  return variable?.kind === 'var' ? readType(btf, 'config', variable.type, structs) : undefined;
}

/** What a ring's anchor points at. */
function readRecord(btf: Btf, ring: string, structs: Map<string, Struct>): Type {
  const variable = btf.types.find((type) => type.kind === 'var' && type.name === `${anchor}${ring}`);
  const type = variable?.kind === 'var' ? pointedAt(btf, variable.type) : undefined;
  if (type?.kind !== 'struct')
    throw new Error(`ring ${ring} needs a variable ${anchor}${ring} that points at a struct`);
  return readStruct(btf, type, structs);
}

/** Is there a map of this name whose anchor readRecord() reads? */
function isRing(btf: Btf, name: string): boolean {
  const section = btf.types.find((type) => type.kind === 'datasec' && type.name === '.maps');
  const ids = section?.kind === 'datasec' ? section.variables : [];
  return ids.some((id) => at(btf, id).name === name);
}

function pointedAt(btf: Btf, id: number): BtfType {
  let type = at(btf, id);
  while (type.kind === 'ptr' || type.kind === 'const' || type.kind === 'volatile') type = at(btf, type.type);
  return type;
}

function readEnum(btf: Btf, variable: string, id: number): Enum {
  const type = pointedAt(btf, id);
  if (type.kind !== 'enum' || type.name !== variable.slice(anchor.length))
    throw new Error(`${variable} must point at enum ${variable.slice(anchor.length)}`);
  const names = new Map<number, string>();
  for (const { name, value } of type.members) {
    const other = names.get(value);
    if (other !== undefined) throw new Error(`enum ${type.name}: ${other} and ${name} are both ${value}`);
    names.set(value, name);
  }
  return { name: type.name, members: type.members };
}

function at(btf: Btf, id: number): BtfType {
  const type = btf.types[id];
  if (type === undefined) throw new Error(`BTF has no type ${id}`);
  return type;
}
