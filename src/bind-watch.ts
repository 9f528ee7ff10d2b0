import { readCounter } from './kernel/counters.ts';
import type { BpfMap } from './kernel/kernel.ts';
import { frontend, frontendKey, reason } from './layout.gen.ts';
import { addressToHex } from './model/address.ts';
import type { Inventory } from './plan/plan.ts';
import { protocolText } from './protocol.ts';

/** A NodePort that a process of this node wanted for itself. */
export interface RefusedBind {
  readonly port: number;
  /** 'TCP' or 'UDP' */
  readonly protocol: string;
  /** 'namespace/name' of whose NodePort it is. */
  readonly service: string;
  readonly times: bigint;
}

/** NodePorts stand under these. */
const anyAddresses: readonly string[] = [addressToHex('0.0.0.0'), addressToHex('::')];

/** Makes a function that finds what was refused since its last call; the first one only looks. One system call a NodePort. */
export function watchBinds(): (held: Inventory, counters: BpfMap) => readonly RefusedBind[] {
  const seen = new Map<number, bigint>();
  let isFirst = true;
  return (held, counters) => {
    const refused: RefusedBind[] = [];
    for (const [key, value] of held.rows.frontends) {
      if (!anyAddresses.some((any) => key.startsWith(any))) continue;
      const { servicePort } = frontend.decode(value);
      const total = readCounter(counters, servicePort, reason.reject_bind);
      const times = total - (seen.get(servicePort) ?? 0n);
      seen.set(servicePort, total);
      if (times <= 0n || isFirst) continue;
      const { port, protocol } = frontendKey.decode(key);
      const service = held.ids.byId.get(servicePort)?.owner ?? '';
      refused.push({ port, protocol: protocolText(protocol), service, times });
    }
    isFirst = false;
    return refused;
  };
}
