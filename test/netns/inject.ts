import type { Lab, Place } from './lab.ts';
import { buildTool } from './tool.ts';

/** Sends frames as they stand out of a device: inject.c. */
export async function inject(lab: Lab, place: Place, device: string, frames: readonly Buffer[]): Promise<void> {
  const input = frames.map((frame) => `${frame.toString('hex')}\n`).join('');
  await lab.exec(place, [buildTool('inject'), device], { input });
}

/** Sends a frame, TCP over IPv4 without options, `count` times, each from another port and the last bytes of another address. */
export async function injectFlood(lab: Lab, place: Place, device: string, frame: Buffer, count: number): Promise<void> {
  await lab.exec(place, [buildTool('inject'), device, String(count)], { input: `${frame.toString('hex')}\n` });
}

/** The MAC address of a device. */
export async function macOf(lab: Lab, place: Place, device: string): Promise<string> {
  const [link] = JSON.parse(await lab.exec(place, ['ip', '-j', 'link', 'show', device])) as [{ address: string }];
  return link.address;
}
