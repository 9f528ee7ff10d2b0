import { type Address, familyOf, parseAddress } from '../model/address.ts';
import type { Problem, Protocol } from '../model/service.ts';

/* How the text of a field becomes a value. */

/** 1 to 65535; null: it is not one. */
export function parsePort(text: string): number | null {
  const port = /^\d{1,9}$/.test(text) ? Number(text) : 0;
  return port >= 1 && port <= 65535 ? port : null;
}

/** Absent is TCP. */
export function parseProtocol(text: string): Protocol | null {
  if (text === '') return 'TCP';
  return text === 'TCP' || text === 'UDP' || text === 'SCTP' ? text : null;
}

/** '' if it is not a point in time with a zone, else in UTC to the second, so that text order is time order. */
export function parseTimestamp(text: string): string {
  if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[-+]\d\d:\d\d)$/.test(text)) return '';
  const time = new Date(text);
  return Number.isNaN(time.getTime()) ? '' : `${time.toISOString().slice(0, 19)}Z`;
}

/** An address or the reason why it is none of `family` (null: of either) or one that is nobody's: '0.0.0.0' and such. */
export function readAddress(text: string, family: 4 | 6 | null): { address: Address } | { fault: string } {
  const address = parseAddress(text);
  if (address === null) return { fault: `${JSON.stringify(text)} is not an IP address` };
  if (family !== null && familyOf(address) !== family) return { fault: `${address} is not an IPv${family} address` };
  const kind = specialKind(address);
  // equal text is one and the same then: there are 100,000 of them
  if (kind === null) return { address: address === text ? text : address };
  return { fault: `${address} is ${kind}` };
}

export function isLinkLocal(address: Address): boolean {
  return familyOf(address) === 4 ? address.startsWith('169.254.') : /^fe[89ab][0-9a-f]:/.test(address);
}

function specialKind(address: Address): string | null {
  if (address === '0.0.0.0' || address === '::') return 'the unspecified address';
  if (address === '::1' || address.startsWith('127.')) return 'a loopback address';
  const first = familyOf(address) === 4 ? Number.parseInt(address, 10) : 0;
  if ((first >= 224 && first <= 239) || /^ff[0-9a-f]{2}:/.test(address)) return 'a multicast address';
  return address === '255.255.255.255' ? 'the broadcast address' : null;
}

/** Collects the Problems of one object; of very many it tells the first few and how many there were. */
export interface Report {
  (reason: string): void;
  readonly problems: () => Problem[];
}

const shown = 10;

export function reportOf(object: string): Report {
  const reasons = new Set<string>();
  let count = 0;
  const report = (reason: string) => {
    if (reasons.size < shown && !reasons.has(reason)) reasons.add(reason);
    else if (!reasons.has(reason)) count++;
  };
  const problems = () => {
    const all = [...reasons].map((reason) => ({ object, reason }));
    return count === 0 ? all : [...all, { object, reason: `and ${count} more like these` }];
  };
  return Object.assign(report, { problems });
}
