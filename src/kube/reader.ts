import * as v from 'valibot';
import type { Problem } from '../model/service.ts';
import { type Kind, type KubeObject, objectKey } from './objects.ts';
import { kinds } from './schema.ts';

/** What one document, a List or one watch event holds. */
export interface Reading {
  readonly objects: readonly KubeObject[];
  /** Keys of objects that were there but cannot be used: whoever has an older state of them may keep it. */
  readonly refused: readonly string[];
  /** There was an object of ours whose name cannot be told. */
  readonly nameless: boolean;
  readonly problems: readonly Problem[];
  /** Why it is no Kubernetes object at all; null if it is one, of whatever kind. */
  readonly foreign: string | null;
}

/** The deepest List of Lists that is looked into. */
const maxDepth = 8;
const maxName = 253;
/** Names of Services, namespaces and ports live in 64 bytes of a map row, NUL included. */
export const maxLabel = 63;
const namePattern = /^[A-Za-z0-9]([-A-Za-z0-9._]*[A-Za-z0-9])?$/;

/**
 * Any JSON value as the objects it holds. Never throws. Kinds that mean nothing to a Service are left out without a word,
 * bad items of lists with one; an object whose shape is wrong elsewhere is refused whole, since a field that restricts
 * must not vanish. `value` may be changed: bad items are taken out of its lists.
 */
export function readObjects(value: unknown): Reading {
  const reading: Collected = { objects: [], refused: [], nameless: false, problems: [] };
  const foreign = value === null || value === undefined ? null : collect(value, '', 0, reading);
  return { ...reading, foreign };
}

interface Collected {
  objects: KubeObject[];
  refused: string[];
  nameless: boolean;
  problems: Problem[];
}

/** `inherited`: apiVersion and kind that the items of a typed list leave out. */
function collect(value: unknown, inherited: string, depth: number, into: Collected): string | null {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return `expected a map with apiVersion and kind, not ${describe(value)}`;
  }
  const [inheritedVersion = '', inheritedKind = ''] = inherited.split(' ');
  const fields = value as Record<string, unknown>;
  const apiVersion = fields.apiVersion ?? inheritedVersion;
  const kind = fields.kind ?? inheritedKind;
  if (typeof apiVersion !== 'string' || apiVersion === '') return 'it has no apiVersion';
  if (typeof kind !== 'string' || kind === '') return 'it has no kind';
  const group = apiVersion.includes('/') ? apiVersion.slice(0, apiVersion.indexOf('/')) : '';
  if (isListOf(kind, group)) collectList(fields, `${apiVersion} ${kind.slice(0, -'List'.length)}`, depth, into);
  else if (isKind(kind) && kinds[kind].group === group) collectObject({ ...fields, kind }, kind, into);
  return null;
}

function collectList(list: Record<string, unknown>, inherited: string, depth: number, into: Collected): void {
  const object = String(list.kind);
  const items = list.items ?? [];
  if (!Array.isArray(items)) into.problems.push({ object, reason: `items: expected a list, not ${describe(items)}` });
  else if (depth === maxDepth)
    into.problems.push({ object, reason: `items: Lists are nested deeper than ${maxDepth}` });
  else
    for (const [i, item] of items.entries()) {
      const foreign = collect(item, inherited.endsWith(' ') ? '' : inherited, depth + 1, into);
      if (foreign !== null) into.problems.push({ object, reason: `items[${i}]: not a Kubernetes object: ${foreign}` });
    }
}

function collectObject(fields: Record<string, unknown>, kind: Kind, into: Collected): void {
  const { name, namespace } = identify(fields, kind);
  const key = objectKey({ kind, metadata: { name, namespace } });
  const problem = (reason: string) => into.problems.push({ object: name === '' ? `${kind} (no name)` : key, reason });
  const nameFault = faultOfName(name, kind === 'Service' ? maxLabel : maxName);
  const namespaceFault = kinds[kind].namespaced ? faultOfName(namespace, maxLabel) : null;
  if (nameFault !== null || namespaceFault !== null) {
    problem(nameFault === null ? `metadata.namespace ${namespaceFault}` : `metadata.name ${nameFault}`);
    into.nameless = true;
  } else {
    const object = validate(fields, kind, problem);
    if (object === null) into.refused.push(key);
    else into.objects.push({ ...object, metadata: { ...object.metadata, name, namespace } });
  }
}

function identify(fields: Record<string, unknown>, kind: Kind): { name: string; namespace: string } {
  const metadata = (fields.metadata ?? {}) as Record<string, unknown>;
  const name = plainText(metadata.name);
  return { name, namespace: kinds[kind].namespaced ? plainText(metadata.namespace) || 'default' : '' };
}

function plainText(value: unknown): string {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' ? String(value) : '';
}

/** What is wrong with a name that must fit into `longest` bytes; null: nothing. */
export function faultOfName(name: string, longest: number): string | null {
  if (name === '') return 'is missing';
  if (Buffer.byteLength(name) > longest) return `is longer than ${longest} bytes: ${name.slice(0, 20)}…`;
  return namePattern.test(name) ? null : `${JSON.stringify(name)} has characters that no name may have`;
}

/** Null: refused. A second look is needed because a List item is checked again after its bad items went. */
function validate(fields: unknown, kind: Kind, problem: (reason: string) => void): KubeObject | null {
  const first = v.safeParse(kinds[kind].schema, fields);
  if (first.success) return first.output;
  const second = removeBadItems(first.issues) ? v.safeParse(kinds[kind].schema, fields) : null;
  const object = second?.success ? second.output : null;
  reportIssues(first.issues, object === null ? '' : ': left out', problem);
  return object;
}

const shown = 5;

function reportIssues(
  issues: readonly v.BaseIssue<unknown>[],
  consequence: string,
  problem: (reason: string) => void,
): void {
  for (const issue of issues.slice(0, shown)) problem(`${pathOf(issue)}: ${expectation(issue)}${consequence}`);
  if (issues.length > shown) problem(`and ${issues.length - shown} more like these`);
}

/** Takes the list item that each issue lies in out of its list; false if some issue is not inside of a list. */
function removeBadItems(issues: readonly v.BaseIssue<unknown>[]): boolean {
  const bad = new Map<unknown[], Set<unknown>>();
  for (const issue of issues) {
    const item = issue.path?.findLast((step) => Array.isArray(step.input));
    if (item === undefined) return false;
    const list = item.input as unknown[];
    const indexes = bad.get(list) ?? new Set();
    bad.set(list, indexes.add(item.key));
  }
  for (const [list, indexes] of bad) {
    const kept = list.filter((_, i) => !indexes.has(i));
    list.length = 0;
    for (const item of kept) list.push(item);
  }
  return true;
}

function pathOf(issue: v.BaseIssue<unknown>): string {
  let path = '';
  for (const { key } of issue.path ?? []) {
    path += typeof key === 'number' ? `[${key}]` : path === '' ? String(key) : `.${String(key)}`;
  }
  return path;
}

function expectation(issue: v.BaseIssue<unknown>): string {
  const wanted =
    issue.type === 'array'
      ? 'expected a list'
      : /^(object|record)$/.test(issue.type)
        ? 'expected a map'
        : issue.message;
  return `${wanted}, not ${describe(issue.input)}`;
}

function describe(value: unknown): string {
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object' && value !== null) return 'a map';
  const text = typeof value === 'string' ? JSON.stringify(value) : String(value);
  return text.length > 40 ? `${text.slice(0, 40)}…` : text;
}

function isKind(kind: string): kind is Kind {
  return Object.hasOwn(kinds, kind);
}

/** 'List' and the typed lists of our kinds; another kind that ends in List (an allow list, say) is none of ours. */
function isListOf(kind: string, group: string): boolean {
  if (kind === 'List') return group === '';
  const item = kind.endsWith('List') ? kind.slice(0, -'List'.length) : '';
  return isKind(item) && kinds[item].group === group;
}
