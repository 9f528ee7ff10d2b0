import { servicePortName, u32 } from '../layout.gen.ts';
import type { Rows, Tables } from '../plan/tables.ts';

/** Who a row belongs to, in people's words. */
export interface ServiceRef {
  readonly namespace: string;
  readonly name: string;
  /** Empty for the one port of a Service that has no name. */
  readonly portName: string;
  /** The service port's id in the maps. */
  readonly id: number;
}

/** Everything that one dump needs, read at one time. */
export interface Reading {
  readonly tables: Tables;
  /** Service port id → reason → count. */
  readonly counters: ReadonlyMap<number, ReadonlyMap<number, bigint>>;
  /** Key of `socket_connections` and `flow_connections` → of both. */
  readonly connections: ReadonlyMap<string, number>;
  readonly flows: Rows;
  readonly halfOpen: Rows;
  readonly affinity: Rows;
  /** Of the clock that the programs stamp rows by. */
  readonly nowSeconds: number;
}

/** Empty names: nobody has this id, as that of a flow whose Service is gone. */
export function refOf(tables: Tables, id: number): ServiceRef {
  return refFrom(id, tables.names.get(u32.encode(id)));
}

/** The same with the id's row in `names`, if there is one. */
export function refFrom(id: number, value: string | undefined): ServiceRef {
  if (value === undefined) return { namespace: '', name: '', portName: '', id };
  const { namespace, service, port } = servicePortName.decode(value);
  return { namespace, name: service, portName: port, id };
}

/** 'default/web:http'; empty: nobody's. */
export function serviceText({ namespace, name, portName }: Omit<ServiceRef, 'id'>): string {
  if (name === '') return '';
  return `${namespace}/${name}${portName && `:${portName}`}`;
}

export function byService(a: ServiceRef, b: ServiceRef): number {
  return compare(a.namespace, b.namespace) || compare(a.name, b.name) || compare(a.portName, b.portName) || a.id - b.id;
}

export function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
