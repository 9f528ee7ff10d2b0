import { type Frontend, frontend, frontendFlag, frontendKey } from '../layout.gen.ts';
import { addressToHex, familyOf } from '../model/address.ts';
import { anyAddress, type PlaceKind } from '../model/places.ts';
import type { Tables } from '../plan/tables.ts';
import type { Question } from './question.ts';

/** IPPROTO_... */
export const protocolNumbers = { tcp: 6, udp: 17, sctp: 132 } as const;

/** The row of `frontends` that stands for what is asked, and what that address is to the Service. */
export interface AskedRow {
  readonly key: string;
  readonly row: Frontend;
  readonly place: PlaceKind;
}

/** An exact service address goes before a nodePort at the same address, as bpf/choose.h looks them up. Null: neither. */
export function askedRow(tables: Tables, { to, port, protocol }: Question): AskedRow | null {
  const at = (address: string) =>
    frontendKey.encode({ address: addressToHex(address), port, protocol: protocolNumbers[protocol] });
  const any = anyAddress[familyOf(to)];
  const exact = to === any ? undefined : tables.frontends.get(at(to));
  if (exact !== undefined) return { key: at(to), row: frontend.decode(exact), place: placeOf(tables, to) };
  const nodePort = tables.node_addresses.has(addressToHex(to)) ? tables.frontends.get(at(any)) : undefined;
  return nodePort === undefined ? null : { key: at(any), row: frontend.decode(nodePort), place: 'node' };
}

/** What a Service's address is called: its row as such says so. */
export function placeOf(tables: Tables, address: string): PlaceKind {
  const row = addressRow(tables, address);
  if (row === null || row.flags & frontendFlag.address) return 'cluster';
  return row.flags & frontendFlag.assigned ? 'loadBalancer' : 'external';
}

/** The row that says that an address is a Service's, whatever the port; null: it is none's. */
export function addressRow(tables: Tables, address: string): Frontend | null {
  const value = tables.frontends.get(frontendKey.encode({ address: addressToHex(address), port: 0, protocol: 0 }));
  return value === undefined ? null : frontend.decode(value);
}
