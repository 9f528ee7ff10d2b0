import { connectionsKey, frontend, schedulerName } from '../layout.gen.ts';
import { isByConnections, type Scheduler } from '../model/scheduler.ts';
import type { Inventory } from './inventory.ts';
import { slotDigits } from './rows.ts';
import { segmentKey } from './segments.ts';

/** Where it stands in a row, by a row of nothing else: of very many frontends hardly one is looked at. */
const none = { start: 0, count: 0 };
const SCHEDULER_AT = frontend
  .encode({ any: none, local: none, servicePort: 0, affinitySeconds: 0, flags: 0, scheduler: 0xff, check: 0 })
  .indexOf('ff');

/** Whom the programs may choose by their connections: keys of `socket_connections`, as hex. */
export function balancedBackends(held: Inventory): Set<string> {
  const keys = new Set<string>();
  for (const value of held.rows.frontends.values()) {
    const scheduler = Number.parseInt(value.slice(SCHEDULER_AT, SCHEDULER_AT + 2), 16);
    if (!isByConnections(schedulerName(scheduler) as Scheduler)) continue;
    const { any, local, servicePort } = frontend.decode(value);
    for (const segment of [any, local]) {
      const content = held.segments.live.get(segmentKey(segment))?.content ?? '';
      for (let at = 0; at < content.length; at += slotDigits) {
        const address = content.slice(at, at + 32);
        const port = Number.parseInt(content.slice(at + 32, at + 36), 16);
        keys.add(connectionsKey.encode({ address, servicePort, port }));
      }
    }
  }
  return keys;
}
