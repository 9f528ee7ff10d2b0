/** The format of a story: README.md beside this file is its specification. */
import { parseAllDocuments, parseDocument } from 'yaml';

/** An object as people write it, or the part of one that is to change. */
export type Fields = Readonly<Record<string, unknown>>;

export type Change =
  | { readonly op: 'put'; readonly line: number; readonly object: Fields }
  | { readonly op: 'patch'; readonly line: number; readonly key: string; readonly fields: Fields }
  | { readonly op: 'delete'; readonly line: number; readonly key: string };

/** Lines count from 1. */
export interface Line {
  readonly line: number;
  readonly text: string;
}

/** What is to be seen: 'flows', 'problems', or a dump such as 'services' or 'services -o wide'. */
export interface Expectation extends Line {
  readonly lines: readonly Line[];
}

export interface Step extends Line {
  readonly changes: readonly Change[];
  readonly expectations: readonly Expectation[];
}

export interface Story {
  readonly file: string;
  readonly title: string;
  readonly steps: readonly Step[];
}

/** The story cannot be read; the message begins with FILE:LINE. */
export class StoryError extends Error {
  override readonly name: string = 'StoryError';
}

const heading = /^== (.+)$/;
const expectation = /^(flows|problems|dump (?:services|frontends|backends)(?: -o wide)?):\s*(?:#.*)?$/;
const patch = /^patch (\S+) (\S+?):(?:\s(.*))?$/;
const deletion = /^delete (\S+) (\S+)\s*(?:#.*)?$/;

/** What may begin a line of an object: a slip in the name of an expectation must not be taken for a field. */
const fields = /^(apiVersion|kind|metadata|spec|status|data|addressType|ports|endpoints|subsets|items):/;
const named = /^([^\s#{}[\]"'-][^:]*):/;

/** Throws a StoryError. */
export function parseStory(file: string, text: string): Story {
  const lines = text.split('\n').map((line, i): Line => ({ line: i + 1, text: line.trimEnd() }));
  const starts = lines.flatMap(({ text: line }, i) => (heading.test(line) ? [i] : []));
  const title = lines.slice(0, starts[0]).find((line) => line.text !== '' && !line.text.startsWith('#'));
  if (title === undefined) throw new StoryError(`${file}:1: a story begins with a line that says what it is about`);
  if (starts.length === 0) throw new StoryError(`${file}:${title.line}: there is no step: '== what happens'`);
  const steps = starts.map((start, i) => parseStep(file, lines.slice(start, starts[i + 1])));
  return { file, title: title.text, steps };
}

function parseStep(file: string, [head, ...body]: readonly Line[]): Step {
  const changes: Change[] = [];
  const expectations: Expectation[] = [];
  for (let at = 0; at < body.length; ) {
    const first = body[at] as Line;
    const isBlock = expectation.test(first.text) || patch.test(first.text);
    const end = deletion.test(first.text) ? at + 1 : isBlock ? indentedEnd(body, at + 1) : documentEnd(body, at + 1);
    const rest = body.slice(at + 1, end);
    const [, what] = expectation.exec(first.text) ?? [];
    if (what === undefined) changes.push(...changesOf(file, first, rest));
    else expectations.push({ line: first.line, text: what.replace(/^dump /, ''), lines: withoutComments(rest) });
    at = end;
  }
  return { line: head?.line ?? 0, text: head?.text.replace(heading, '$1') ?? '', changes, expectations };
}

/** A block goes on while lines are indented or empty. */
function indentedEnd(body: readonly Line[], from: number): number {
  const end = body.findIndex(({ text }, i) => i >= from && /^\S/.test(text));
  return end < 0 ? body.length : end;
}

/** A document ends where another one begins, or anything that is no YAML. */
function documentEnd(body: readonly Line[], from: number): number {
  const ends = [/^---/, expectation, patch, deletion];
  const end = body.findIndex(({ text }, i) => i >= from && ends.some((pattern) => pattern.test(text)));
  return end < 0 ? body.length : end;
}

function withoutComments(lines: readonly Line[]): Line[] {
  const bare = lines.map(({ line, text }) => ({ line, text: text.replace(/(^|\s)#.*$/, '').trimEnd() }));
  return bare.filter(({ text }) => text !== '');
}

function changesOf(file: string, first: Line, rest: readonly Line[]): Change[] {
  const [, kind = '', name = ''] = deletion.exec(first.text) ?? [];
  if (kind !== '') return [{ op: 'delete', line: first.line, key: keyOf(kind, name) }];
  const [, patched, of = '', inline = ''] = patch.exec(first.text) ?? [];
  if (patched !== undefined) {
    const text = [inline, ...rest.map((line) => line.text)].join('\n');
    return [{ op: 'patch', line: first.line, key: keyOf(patched, of), fields: readFields(file, first.line, text) }];
  }
  return readDocuments(file, [first, ...rest]);
}

function readFields(file: string, line: number, text: string): Fields {
  const document = parseDocument(text);
  const [error] = document.errors;
  if (error) throw new StoryError(`${file}:${line}: ${error.message}`);
  const fields: unknown = document.toJS();
  if (typeof fields !== 'object' || fields === null) throw new StoryError(`${file}:${line}: the fields are missing`);
  return fields as Fields;
}

function readDocuments(file: string, lines: readonly Line[]): Change[] {
  const line = lines.find(({ text }) => text !== '' && !/^(---|#)/.test(text))?.line;
  if (line === undefined) return [];
  const odd = lines.find((one) => named.test(one.text) && !fields.test(one.text));
  if (odd) throw new StoryError(`${file}:${odd.line}: neither a field of an object nor an expectation: ${odd.text}`);
  const text = lines.map((one) => one.text).join('\n');
  return parseAllDocuments(text).flatMap((document) => {
    if ('errors' in document && document.errors[0]) {
      throw new StoryError(`${file}:${line}: ${document.errors[0].message}`);
    }
    return itemsOf(document.toJS()).map((object): Change => {
      if (!isObject(object)) throw new StoryError(`${file}:${line}: neither an object with a name nor an expectation`);
      return { op: 'put', line, object };
    });
  });
}

function itemsOf(document: unknown): unknown[] {
  if (document === null) return [];
  const { kind, items } = document as { kind?: unknown; items?: unknown };
  return kind === 'List' && Array.isArray(items) ? items : [document];
}

function isObject(document: unknown): document is Fields {
  const { kind, metadata } = document as { kind?: unknown; metadata?: { name?: unknown } };
  return typeof kind === 'string' && typeof metadata?.name === 'string';
}

/** 'Service default/web'; `name` with or without its namespace. */
function keyOf(kind: string, name: string): string {
  return `${kind} ${name.includes('/') ? name : `default/${name}`}`;
}

/** The same of an object that was written out. */
export function keyOfObject(object: Fields): string {
  const { kind, metadata } = object as { kind: string; metadata: { name: string; namespace?: string } };
  return keyOf(kind, `${metadata.namespace ?? 'default'}/${metadata.name}`);
}
