/** What `bpfsvc dump` shows, without the rows of a scenario's own. */
import { backendItems, frontendItems, serviceItems } from '../../src/commands/dump-items.ts';
import { backendsText, frontendsText, servicesText } from '../../src/commands/dump-text.ts';
import type { Reading, ServiceRef } from '../../src/commands/service-ref.ts';
import type { Generation } from '../../src/kernel/generation.ts';
import { readSettledTables } from '../../src/kernel/tables.ts';
import { ownNamespace } from './lane.ts';

/** 'services', 'backends -o wide', … → the text. */
export async function dumpsOf({ tables }: Generation): Promise<Record<string, string>> {
  const none = new Map();
  const rows = await readSettledTables(tables);
  const reading: Reading = {
    tables: rows,
    counters: none,
    connections: new Map(),
    flows: none,
    halfOpen: none,
    affinity: none,
    nowSeconds: 0,
  };
  const told = <Item extends ServiceRef>(items: readonly Item[]) =>
    items.filter(({ namespace }) => namespace !== ownNamespace);
  const [services, frontends] = [told(serviceItems(reading)), told(frontendItems(reading))];
  const backends = told(backendItems(reading));
  return {
    services: servicesText(services, false),
    'services -o wide': servicesText(services, true),
    frontends: frontendsText(frontends, false),
    'frontends -o wide': frontendsText(frontends, true),
    backends: backendsText(backends, false),
    'backends -o wide': backendsText(backends, true),
  };
}

/** Those of its columns that `titles` names, as lines with the cells between three blanks; the titles come first. */
export function pick(text: string, titles: readonly string[]): string[] {
  const [head = '', ...rows] = text.trimEnd().split('\n');
  const all = cellsOf(head, head);
  const wanted = titles.map((title) => all.indexOf(title));
  return [head, ...rows].map((row) => wanted.map((at) => cellsOf(head, row)[at] ?? '?').join('   '));
}

/** What stands below each title. */
export function cellsOf(head: string, row: string): string[] {
  const starts = [...head.matchAll(/\S+(?: \S+)*/g)].map(({ index }) => index);
  return starts.map((start, i) => row.slice(start, starts[i + 1]).trim());
}
