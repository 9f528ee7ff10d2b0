import { once } from 'node:events';
import { stop } from './command.ts';
import type { Lab, Place } from './lab.ts';
import { type Captured, readPcap } from './pcap.ts';

export type { Captured };

export interface Capture {
  /** What was seen so far. */
  packets(): Captured[];
  /** Ends the capture; every packet that passed before is in the answer. */
  stop(): Promise<Captured[]>;
}

/**
 * Captures whole packets on a device with tcpdump, running when this returns. On a sender with checksum offload the
 * checksums are not computed yet at this point: build the lab with `offloads: false` where they matter.
 */
export async function startCapture(lab: Lab, place: Place, device: string, filter = ''): Promise<Capture> {
  const flags = ['-n', '-U', '--immediate-mode', '-s', '0', '-B', '16384', '-Z', 'root', '-w', '-'];
  const child = lab.spawn(place, ['tcpdump', '-i', device, ...flags, filter], { stdio: ['ignore', 'pipe', 'pipe'] });
  const chunks: Buffer[] = [];
  let complaint = '';
  child.stdout?.on('data', (chunk) => chunks.push(chunk));
  const closed = once(child, 'close');
  await new Promise<void>((resolve, reject) => {
    child.stderr?.on('data', (chunk) => {
      complaint += chunk;
      if (complaint.includes('listening on')) resolve();
    });
    child.once('error', reject);
    child.once('exit', () => reject(new Error(`tcpdump on ${device} in ${place.netns}: ${complaint}`)));
  });
  return {
    packets: () => readPcap(Buffer.concat(chunks)),
    async stop() {
      await stop(child, 'SIGINT');
      await closed;
      return readPcap(Buffer.concat(chunks));
    },
  };
}
