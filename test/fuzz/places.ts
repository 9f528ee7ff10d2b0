/** The addresses and ports of all worlds. They follow from a Service's number, so that most packets meet something. */

import type { Protocol } from './objects.ts';

export type Family = 4 | 6;
export type Text = Record<Family, string>;

export const own: readonly Text[] = [
  { 4: '192.0.2.21', 6: '2001:db8::21' },
  { 4: '192.0.2.22', 6: '2001:db8::22' },
];
export const localhost: Text = { 4: '127.0.0.1', 6: '::1' };
export const clusterIp = (id: number): Text => ({ 4: `10.97.0.4${id}`, 6: `fd97::4${id}` });
export const balancer = (n: number): Text => ({ 4: `198.51.100.1${n}`, 6: `2001:db8:100::1${n}` });
export const external = (n: number): Text => ({ 4: `198.51.100.2${n}`, 6: `2001:db8:100::2${n}` });
export const outside: readonly Text[] = [
  { 4: '203.0.113.5', 6: '2600:5200::5' },
  { 4: '203.0.113.130', 6: '2600:5200::8005' },
];
/** Where pods are, of this node and of others. */
export const pod = (n: number): Text => ({ 4: `10.60.1.${n}`, 6: `fd60::1:${n}` });
export const remotePod: Text = { 4: '10.60.2.9', 6: 'fd60::2:9' };
/** Of them the last is in its node's network. */
export const PODS = 6;
export const SERVICES = 4;
/** A number that two Services may both ask for. */
export const SHARED = 9;

export interface PortKind {
  readonly name: string;
  readonly protocol: Protocol;
  readonly port: number;
}

export const portKinds: readonly PortKind[] = [
  { name: 'http', protocol: 'TCP', port: 80 },
  { name: 'dns', protocol: 'UDP', port: 53 },
  { name: 'https', protocol: 'TCP', port: 443 },
  { name: 'ss7', protocol: 'SCTP', port: 7000 },
];
export const nodePortOf = (id: number, index: number): number => 31000 + 10 * id + index;
/** A nodePort that several Services may ask for. */
export const CLASHING = 31999;
