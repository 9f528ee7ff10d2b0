import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { stop } from './command.ts';
import type { Lab, Place } from './lab.ts';
import { type Captured, readPcap } from './pcap.ts';

export type { Captured };

export interface Capture {
  /** Of the tcpdump that captures. */
  readonly pid: number;
  /** What was seen so far. */
  packets(): Captured[];
  /** Ends the capture; every packet that passed before is in the answer. Throws where the kernel had to drop one. */
  stop(): Promise<Captured[]>;
}

/**
 * Captures whole packets on a device with tcpdump, running when this returns. On a sender with checksum offload the
 * checksums are not computed yet at this point: build the lab with `offloads: false` where they matter.
 */
export async function startCapture(lab: Lab, place: Place, device: string, filter = ''): Promise<Capture> {
  // a slot of the ring has room for the largest packet, whatever comes: so there are 1,024
  const flags = ['-n', '-U', '--immediate-mode', '-s', '66000', '-B', '131072', '-Z', 'root', '-w', '-'];
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
  const pid = child.pid as number;
  /** tcpdump drops what it has not read when it is interrupted: it sleeps, and nothing comes, when it has read it all. */
  const settled = async () => {
    for (let before = -1; before !== chunks.length || !(await sleeps(pid)); ) {
      before = chunks.length;
      await sleep(20);
    }
  };
  return {
    pid,
    packets: () => readPcap(Buffer.concat(chunks)),
    async stop() {
      await settled();
      await stop(child, 'SIGINT');
      await closed;
      const dropped = /^([1-9]\d*) packets? dropped by kernel$/m.exec(complaint);
      if (dropped) throw new Error(`tcpdump on ${device} in ${place.netns}: ${dropped[0]}`);
      return readPcap(Buffer.concat(chunks));
    },
  };
}

async function sleeps(pid: number): Promise<boolean> {
  return /^State:\s+S/m.test(await readFile(`/proc/${pid}/status`, 'utf8'));
}
