import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { arch, tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { readBtf } from './btf.ts';
import { printLayout } from './layout.ts';
import { mergeSchemas, readSchema, type Schema } from './schema.ts';

const folder = mkdtempSync(join(tmpdir(), 'layout-'));
test.after.always(() => rmSync(folder, { recursive: true }));

const head = `
#include <linux/types.h>
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
`;

let objects = 0;

/** The object that clang makes of this C, as a file. */
function compile(source: string): string {
  const name = join(folder, `object${objects++}`);
  writeFileSync(`${name}.c`, head + source);
  const include = `-I/usr/include/${arch() === 'arm64' ? 'aarch64' : 'x86_64'}-linux-gnu`;
  const args = ['-O2', '-g', '-target', 'bpf', '-mcpu=v3', include, '-c', `${name}.c`, '-o', `${name}.o`];
  const { status, stderr } = spawnSync('clang', args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(stderr);
  return `${name}.o`;
}

const schemaOf = (source: string): Schema => readSchema(readBtf(readFileSync(compile(source))));

/** A map `rows` from __u32 to this type. */
const map = (value: string, more = ''): string => `
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8);
	__type(key, __u32);
	__type(value, ${value});
	${more}
} rows SEC(".maps");`;

const ring = `
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} rows SEC(".maps");`;

const structOf = (fields: string): string => `struct row { ${fields} };\n${map('struct row')}`;

/** The part of the generated text between two lines, both included. */
function part(source: string, from: string, to: string): string {
  const lines = source.split('\n');
  const start = lines.findIndex((line) => line.startsWith(from));
  return lines.slice(start, lines.indexOf(to, start) + 1).join('\n');
}

const printed: { name: string; source: string; from: string; to: string; text: string }[] = [
  {
    name: 'numbers of each width, in host and in network order',
    source: structOf('__u64 a; __u32 b_b; __be32 c; __u16 d; __be16 e; __u8 f; __u8 g; __u8 zero[2];'),
    from: 'export interface Row',
    to: '};',
    text: `export interface Row {
  readonly a: bigint;
  readonly bB: number;
  readonly c: number;
  readonly d: number;
  readonly e: number;
  readonly f: number;
  readonly g: number;
}

export const row: Codec<Row> = {
  size: 24,
  encode(value) {
    putU64(0, value.a, 'row.a');
    putU32(8, value.bB, 'row.b_b');
    putBe32(12, value.c, 'row.c');
    putU16(16, value.d, 'row.d');
    putBe16(18, value.e, 'row.e');
    putU8(20, value.f, 'row.f');
    putU8(21, value.g, 'row.g');
    putZeros(22, 2);
    return written(24);
  },
  decode(hex) {
    read(hex, 24, 'row');
    return {
      a: getU64(0),
      bB: getU32(8),
      c: getBe32(12),
      d: getU16(16),
      e: getBe16(18),
      f: getU8(20),
      g: getU8(21),
    };
  },
};`,
  },
  {
    name: 'arrays: bytes and network words are hex, char is text',
    source: structOf('__u8 mac[6]; char name[10]; __be16 groups[2]; __be32 words[4];'),
    from: 'export const row',
    to: '};',
    text: `export const row: Codec<Row> = {
  size: 36,
  encode(value) {
    putHex(0, 6, value.mac, 'row.mac');
    putText(6, 10, value.name, 'row.name');
    putHex(16, 4, value.groups, 'row.groups');
    putHex(20, 16, value.words, 'row.words');
    return written(36);
  },
  decode(hex) {
    read(hex, 36, 'row');
    return {
      mac: hex.slice(0, 12),
      name: getText(6, 10),
      groups: hex.slice(32, 40),
      words: hex.slice(40, 72),
    };
  },
};`,
  },
  {
    name: 'a struct of one member is that member, a struct of more is nested',
    source: `struct one { __be32 words[4]; };
struct two { __u32 start; __u32 count; };
struct row { struct one where; struct two range; };${map('struct row')}`,
    from: 'export interface Row',
    to: '};',
    text: `export interface Row {
  readonly where: string;
  readonly range: Two;
}

export const row: Codec<Row> = {
  size: 24,
  encode(value) {
    putHex(0, 16, value.where, 'row.where');
    putU32(16, value.range.start, 'row.range.start');
    putU32(20, value.range.count, 'row.range.count');
    return written(24);
  },
  decode(hex) {
    read(hex, 24, 'row');
    return {
      where: hex.slice(0, 32),
      range: {
        start: getU32(16),
        count: getU32(20),
      },
    };
  },
};`,
  },
  {
    name: 'a struct of one member has no interface but a codec',
    source: structOf('__u64 packets;'),
    from: 'export const row',
    to: '};',
    text: `export const row: Codec<bigint> = {
  size: 8,
  encode(value) {
    putU64(0, value, 'row');
    return written(8);
  },
  decode(hex) {
    read(hex, 8, 'row');
    return getU64(0);
  },
};`,
  },
  {
    name: 'a map: what the program says of it, and its codecs',
    source: `struct row { __u32 a; __u32 b; };${map('struct row', '__uint(map_flags, BPF_F_NO_PREALLOC);')}`,
    from: 'export const maps',
    to: '};',
    text: `export const maps: {
  readonly rows: MapLayout<number, Row>;
} = {
  rows: {
    type: 'hash',
    keySize: 4,
    valueSize: 8,
    maxEntries: 8,
    flags: 1,
    layout: '0d32ad9e',
    key: u32,
    value: row,
  },
};`,
  },
  {
    name: 'a ring: no key, and the struct of its records',
    source: `struct row { __u32 a; __u32 b; };
const struct row *anchor_rows __attribute__((unused));
${ring}`,
    from: 'export const maps',
    to: '};',
    text: `export const maps: {
  readonly rows: MapLayout<null, Row>;
} = {
  rows: {
    type: 'ringbuf',
    keySize: 0,
    valueSize: 8,
    maxEntries: 4096,
    flags: 0,
    layout: 'b7ecbeff',
    key: nothing,
    value: row,
  },
};`,
  },
  {
    name: 'an enum that an anchor points at, without the words all its names begin with',
    source: `enum row_flag { ROW_FLAG_A_B = 1 << 0, ROW_FLAG_A = 1 << 4 };
const enum row_flag *anchor_row_flag __attribute__((unused));`,
    from: 'export const rowFlag',
    to: '}',
    text: `export const rowFlag = {
  a_b: 1,
  a: 16,
} as const;

const rowFlagNames: Readonly<Record<number, string>> = {
  [1]: 'a_b',
  [16]: 'a',
};

/** 'unknown_N' for a number that is not in enum row_flag. */
export function rowFlagName(value: number): string {
  return rowFlagNames[value] ?? \`unknown_\${value}\`;
}`,
  },
  {
    name: 'config, beside constants that only the programs use',
    source: `struct config { __u32 a; __u32 b; };
const volatile struct config config = {};
const volatile __u32 other = 7;`,
    from: 'export interface Config',
    to: '}',
    text: `export interface Config {
  readonly a: number;
  readonly b: number;
}`,
  },
];

for (const { name, source, from, to, text } of printed)
  test(`printLayout() ${name}`, (t) => {
    t.is(part(printLayout(schemaOf(source)), from, to), text);
  });

const refused: { name: string; source: string; message: RegExp }[] = [
  { name: 'a union', source: structOf('__u32 a; union { __u32 b; __u8 c[4]; } d;'), message: /^row\.d is a union$/ },
  { name: 'a union without a name', source: structOf('union { __u32 b; __u8 c[4]; };'), message: /^row\. is a union$/ },
  {
    name: 'a struct without a name',
    source: structOf('struct { __u32 b; } a;'),
    message: /^row\.a is a struct without a name$/,
  },
  { name: 'a bitfield', source: structOf('__u32 a : 4; __u32 b : 28;'), message: /^row\.a is a bitfield$/ },
  { name: 'a pointer', source: structOf('struct row *next;'), message: /^row\.next is a pointer$/ },
  {
    name: 'padding between fields',
    source: structOf('__u8 a; __u32 b;'),
    message: /^3 bytes of padding before row\.b: /,
  },
  {
    name: 'padding at the end',
    source: structOf('__u32 a; __u8 b;'),
    message: /^3 bytes of padding at the end of struct row: /,
  },
  { name: 'nothing but padding', source: structOf('__u32 zero;'), message: /^struct row has nothing but padding$/ },
  {
    name: 'an enum as a field',
    source: `enum kind { A };${structOf('enum kind kind;')}`,
    message: /^row\.kind is an enum, .*write __u8 or __u32/,
  },
  { name: 'a plain C number', source: structOf('int a;'), message: /^row\.a is a plain 'int': write __u8/ },
  { name: 'a lone char', source: structOf('char a;'), message: /^row\.a is a plain 'char': / },
  { name: 'a type nobody knows', source: structOf('__s32 a;'), message: /^row\.a is a __s32: only __u8/ },
  {
    name: 'a word in network order of 8 bytes',
    source: structOf('__be64 a;'),
    message: /^row\.a is a __be64: only __u8/,
  },
  {
    name: 'an array of structs',
    source: `struct a { __u32 b; };${structOf('struct a a[2];')}`,
    message: /^row\.a is an array of other things/,
  },
  { name: 'an array of host words', source: structOf('__u16 a[2];'), message: /^row\.a is an array of other things/ },
  { name: 'an array of arrays', source: structOf('__u8 a[2][2];'), message: /^row\.a is an array of other things/ },
  { name: 'a map whose row is a pointer', source: map('void *'), message: /^rows value is a pointer$/ },
  {
    name: 'a map of an unknown type',
    source: map('__u32').replace('_HASH', '_QUEUE'),
    message: /^map rows: maps of type 22 are not known here$/,
  },
  {
    name: 'a map without a value type',
    source: map('__u32').replace('__type(value, __u32);', ''),
    message: /^map rows needs __type\(key/,
  },
  {
    name: 'a map that pins itself',
    source: map('__u32', '__uint(pinning, LIBBPF_PIN_BY_NAME);'),
    message: /^map rows: 'pinning' is not known here$/,
  },
  {
    name: 'a ring without an anchor',
    source: ring,
    message: /^ring rows needs a variable anchor_rows that points at a struct$/,
  },
  {
    name: 'a ring whose anchor is that of numbers',
    source: `const __u32 *anchor_rows;${ring}`,
    message: /^ring rows needs a variable anchor_rows that points at a struct$/,
  },
  {
    name: 'an anchor that points at a struct and is no ring’s',
    source: 'struct a { __u32 x; };\nstruct a *anchor_a;',
    message: /^anchor_a must point at enum a$/,
  },
  {
    name: 'an anchor of another name',
    source: 'enum a { A };\nenum a *anchor_b;',
    message: /^anchor_b must point at enum b$/,
  },
  {
    name: 'two names of one number',
    source: 'enum a { A_X = 1, A_Y = 1 };\nenum a *anchor_a;',
    message: /^enum a: A_X and A_Y are both 1$/,
  },
];

for (const { name, source, message } of refused)
  test(`readSchema() refuses by name: ${name}`, (t) => {
    t.throws(() => schemaOf(source), { message });
  });

test('printLayout() refuses two things of one name in TypeScript', (t) => {
  const source = `enum row { A_X, A_Y };\nenum row *anchor_row;\nstruct row_ { __u32 a; __u32 b; };\n${map('struct row_')}`;
  t.notThrows(() => printLayout(schemaOf(source)));
  const twins = `enum row_flag { A_X, A_Y };\nenum row_flag *anchor_row_flag;\nstruct row_Flag { __u32 a; __u32 b; };\n${map('struct row_Flag')}`;
  t.throws(() => printLayout(schemaOf(twins)), { message: 'two things would be called rowFlag in TypeScript' });
});

test('printLayout() refuses a map row that is neither struct nor number', (t) => {
  t.throws(
    () => printLayout(schemaOf(`typedef __u8 mac[6];\n${map('__u8[6]').replace('__u8[6]', 'typeof(__u8[6])')}`)),
    {
      message: 'a key or value of a map must be a struct or a number',
    },
  );
});

const rows = map('struct row');
const merged: { name: string; sources: [string, string]; message: RegExp }[] = [
  {
    name: 'a struct with another field',
    sources: [`struct row { __u32 a; __u32 b; };${rows}`, `struct row { __u32 a; __u32 c; };${rows}`],
    message: /^struct row is not the same in all objects$/,
  },
  {
    name: 'a struct with another byte order',
    sources: [`struct row { __u32 a; };${rows}`, `struct row { __be32 a; };${rows}`],
    message: /^struct row is not the same in all objects$/,
  },
  {
    name: 'a map of another size',
    sources: [map('__u32'), map('__u32').replace('8', '9')],
    message: /^map rows is not the same in all objects$/,
  },
  {
    name: 'an enum with another number',
    sources: ['enum a { A_X = 1 };\nenum a *anchor_a;', 'enum a { A_X = 2 };\nenum a *anchor_a;'],
    message: /^enum a is not the same in all objects$/,
  },
  {
    name: 'another config',
    sources: [
      'struct config { __u32 a; };\nconst volatile struct config config = {};',
      'struct other { __u32 a; };\nconst volatile struct other config = {};',
    ],
    message: /^variable config is not the same in all objects$/,
  },
];

for (const { name, sources, message } of merged)
  test(`mergeSchemas() refuses objects that disagree: ${name}`, (t) => {
    t.throws(() => mergeSchemas(sources.map(schemaOf)), { message });
  });

test('mergeSchemas() the order of objects and of declarations makes no difference', (t) => {
  const a = 'struct row { __u32 a; __u32 b; };';
  const b = 'enum kind { K_A, K_B };\nenum kind *anchor_kind;';
  const second = rows.replace('rows', 'second').replace('__u32', '__u64');
  const one = [schemaOf(a + rows), schemaOf(a + b + second)];
  const other = [schemaOf(b + a + second), schemaOf(a + rows)];
  t.is(printLayout(mergeSchemas(one)), printLayout(mergeSchemas(other)));
  t.is(printLayout(mergeSchemas([...one, ...one])), printLayout(mergeSchemas(one)));
});

test('printLayout() the layout of a map changes with name, type and order of its fields, and with nothing else', (t) => {
  const layoutOf = (source: string): string | undefined => /layout: '(\w{8})'/.exec(printLayout(schemaOf(source)))?.[1];
  const first = layoutOf(structOf('__u32 a; __u32 b;'));
  t.is(layoutOf(`struct other { __u64 x; };\n${structOf('__u32 a; __u32 b;')}`), first);
  t.is(layoutOf(structOf('__u32 a; __u32 b;').replace('8', '16')), first);
  for (const fields of ['__u32 b; __u32 a;', '__u32 a; __u32 c;', '__u32 a; __be32 b;', '__u32 a; __u32 b; __u32 c;'])
    t.not(layoutOf(structOf(fields)), first, fields);
});

test('readBtf() refuses what is not an object with BTF', (t) => {
  t.throws(() => readBtf(Buffer.from('#!/bin/sh\n')), { message: 'not an ELF64 little-endian object' });
  t.throws(() => readBtf(readFileSync(compile('int x;')).subarray(0, 63)), {
    message: 'not an ELF64 little-endian object',
  });
  const plain = join(folder, 'plain');
  spawnSync('clang', ['-target', 'bpf', '-x', 'c', '-c', '-', '-o', `${plain}.o`], { input: 'int x;' });
  t.throws(() => readBtf(readFileSync(`${plain}.o`)), { message: /no \.BTF section: compile with clang -g/ });
});

test('layout.ts as a program names the object and the field, and prints nothing', (t) => {
  const object = compile(structOf('__u32 a : 4; __u32 b : 28;'));
  const { status, stdout, stderr } = spawnSync(process.execPath, ['bpf/layout.ts', object], { encoding: 'utf8' });
  t.is(status, 1);
  t.is(stdout, '');
  t.regex(stderr, /^layout: object\d+\.o: row\.a is a bitfield\n$/);
});
