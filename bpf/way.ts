/** Packets as tests of the programs say them: a tuple and what is odd about it. */
import type { ExecutionContext } from 'ava';
import { faults } from '../test/netns/checksum.ts';
import { craft, type Wanted } from '../test/netns/craft.ts';
import { type Packet, parse } from '../test/netns/packet.ts';
import { type Programs, TCP } from './fixture.ts';

export type Way = {
  readonly source: string;
  readonly sport: number;
  readonly destination: string;
  readonly dport: number;
};

export function packet(protocol: number, way: Way, extra: Partial<Wanted> & { flags?: string } = {}): Buffer {
  const ports = { sourcePort: way.sport, destinationPort: way.dport };
  const transport =
    protocol === TCP
      ? { tcp: { ...ports, sequence: 1000, acknowledgement: 2000, flags: extra.flags ?? 'S' } }
      : { udp: ports };
  const { ip, flags: _, ...rest } = extra;
  return craft({
    ip: { source: way.source, destination: way.destination, ...ip },
    payload: 'hello',
    ...transport,
    ...rest,
  } as Wanted);
}

export function back(way: Way): Way {
  return { source: way.destination, sport: way.dport, destination: way.source, dport: way.sport };
}

/** Runs one packet, at this device if one is given, and reads what became of it; every checksum in it must be right. */
export function send(
  t: ExecutionContext,
  programs: Programs,
  program: string,
  frame: Buffer,
  ifindex?: number,
): { retval: number; out: Packet; bytes: Buffer } {
  const result = programs.run(program, frame, ifindex);
  const bytes = Buffer.from(result.data);
  const out = parse(bytes);
  t.deepEqual(faults(out), [], `${program} damaged the packet`);
  return { retval: result.retval, out, bytes };
}

export function wayOf(out: Packet): Way {
  const { ip, transport } = out;
  if (ip === null || (transport.kind !== 'tcp' && transport.kind !== 'udp')) throw new Error('not TCP or UDP');
  return {
    source: ip.source,
    sport: transport.sourcePort,
    destination: ip.destination,
    dport: transport.destinationPort,
  };
}
