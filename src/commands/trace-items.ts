import { type Event, eventKindName, hookName, reasonName } from '../layout.gen.ts';
import { addressFromHex, endpointText, noAddressHex } from '../model/address.ts';
import { protocolText } from '../protocol.ts';
import type { ServiceRef } from './service-ref.ts';

export interface TraceItem extends ServiceRef {
  /** RFC 3339 in UTC, to the microsecond. */
  readonly time: string;
  readonly event: string;
  readonly reason: string;
  readonly protocol: string;
  readonly hook: string;
  /** null: the source of a process's call is not known yet. */
  readonly asked: { readonly source: string | null; readonly destination: string };
  /** null: nothing came of it. */
  readonly becomes: { readonly source: string | null; readonly destination: string } | null;
  /** null: it was a packet. */
  readonly process: { readonly pid: number; readonly command: string } | null;
}

/** An event in people's words. `bootTime`: nanoseconds of the Unix epoch at which the clock of events was zero. */
export function traceItem(event: Event, service: ServiceRef, bootTime: bigint): TraceItem {
  const { asked, process, command } = event;
  return {
    time: timeText(bootTime + event.time),
    event: eventKindName(event.kind),
    ...service,
    reason: reasonName(event.reason),
    protocol: protocolText(asked.protocol),
    hook: hookName(asked.hook),
    asked: {
      source: placeText(asked.source, asked.sourcePort),
      destination: placeText(asked.destination, asked.destinationPort) ?? '',
    },
    becomes:
      event.destination === noAddressHex
        ? null
        : {
            source: placeText(event.source, event.sourcePort),
            destination: placeText(event.destination, event.destinationPort) ?? '',
          },
    process: process === 0 ? null : { pid: process, command },
  };
}

/** Without a port where there is none: ICMP, later pieces. */
function placeText(hex: string, port: number): string | null {
  if (hex === noAddressHex) return null;
  const address = addressFromHex(hex);
  return port === 0 ? address : endpointText(address, port);
}

function timeText(nanoseconds: bigint): string {
  const second = new Date(Number(nanoseconds / 1_000_000_000n) * 1000).toISOString().slice(0, -5);
  const microseconds = (nanoseconds / 1000n) % 1_000_000n;
  return `${second}.${String(microseconds).padStart(6, '0')}Z`;
}
