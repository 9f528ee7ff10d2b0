import { readFileSync } from 'node:fs';
import { endpointText, parseAddress } from '../model/address.ts';
import { findTool, runTool } from './tools.ts';

/** Connections that live on in the kernel's connection tracking, by protocol. */
export type Connections = Readonly<Record<'tcp' | 'udp' | 'sctp', number>>;

/** Where a connection was asked for, as `place` says it; '' for none. */
export type IsService = (address: string, port: number, protocol: string) => boolean;

/** What the kernel translates by itself. */
export interface KeptConnections {
  readonly counts: Connections;
  /** Does it translate what this socket sends? */
  readonly has: (from: End, to: End) => boolean;
}

export interface End {
  readonly address: string;
  readonly port: number;
}

/**
 * The connections to a Service's address that the kernel translates by itself: what bpfsvc serves is never seen with that
 * address there. null: this kernel tells nobody (no /proc/net/nf_conntrack, and no conntrack tool).
 */
export async function keptConnections(isService: IsService): Promise<KeptConnections | null> {
  const text = await conntrackText();
  return text === null ? null : parseConnections(text, isService);
}

async function conntrackText(): Promise<string | null> {
  try {
    return readFileSync('/proc/self/net/nf_conntrack', 'utf8');
  } catch {
    const tool = findTool('conntrack');
    if (tool === undefined) return null;
    const both = await Promise.all(['ipv4', 'ipv6'].map((family) => runTool(tool, ['-L', '-f', family])));
    return both.join('');
  }
}

/** Of lines '… tcp 6 86390 ESTABLISHED src=… dst=… sport=… dport=… src=… dst=… …': the first tuple is what was asked. */
export function parseConnections(text: string, isService: IsService): KeptConnections {
  const counts = { tcp: 0, udp: 0, sctp: 0 };
  const known = new Set<string>();
  for (const line of text.split('\n')) {
    const protocol = /\b(tcp|udp|sctp)\b/.exec(line)?.[1] as keyof Connections | undefined;
    const [, from = '', asked = '', at = '', port = '', answers = ''] =
      /\bsrc=(\S+) dst=(\S+) sport=(\d+) dport=(\d+).*?\bsrc=(\S+) dst=/.exec(line) ?? [];
    /* one that is closing needs nobody, and lingers for two minutes */
    if (protocol === undefined || / (?:TIME_WAIT|CLOSE|SYN_SENT) /.test(line)) continue;
    if (asked === answers || !isService(asked, Number(port), protocol)) continue;
    counts[protocol] += 1;
    known.add(key({ address: from, port: Number(at) }, { address: asked, port: Number(port) }));
  }
  return { counts, has: (one, other) => known.has(key(one, other)) };
}

function key(from: End, to: End): string {
  return [from, to].map(({ address, port }) => endpointText(parseAddress(address) ?? address, port)).join(' ');
}
