/** A machine with a given kernel, emulated: needs no rights and no hardware support, and is some ten times slower. */
import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { cache, type Kernel } from './packages.ts';

export interface MachineOptions {
  readonly initrd: string;
  /** Seconds until it is switched off. */
  readonly limit: number;
}

/**
 * Boots it and hands over every line that the guest's processes print, until the guest ends. Rejects, with the end of the
 * kernel's own console, if it had to be switched off.
 */
export async function boot(kernel: Kernel, options: MachineOptions, onLine: (line: string) => void): Promise<void> {
  const consolePath = join(cache, `${kernel.series}.console`);
  closeSync(openSync(consolePath, 'w'));
  // cx16 off: the emulator's cmpxchg16b is slow, and the kernel's slab allocator lives off it.
  const machine = ['-accel', 'tcg', '-cpu', 'max,cx16=off', '-smp', '2', '-m', '3072', '-no-reboot', '-nodefaults'];
  const faces = ['-display', 'none', '-serial', `file:${consolePath}`, '-serial', 'stdio'];
  const command = 'console=ttyS0 panic=-1 mitigations=off init_on_alloc=0 loglevel=4 rdinit=/init';
  const image = ['-kernel', kernel.image, '-initrd', options.initrd, '-append', command];
  const child = spawn('qemu-system-x86_64', [...machine, ...faces, ...image], { stdio: ['ignore', 'pipe', 'pipe'] });
  const complaints: string[] = [];
  createInterface({ input: child.stdout }).on('line', (line) => onLine(line.replaceAll('\r', '')));
  createInterface({ input: child.stderr }).on('line', (line) => complaints.push(line));
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    child.kill('SIGKILL');
  }, options.limit * 1000);
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', resolve);
  }).finally(() => clearTimeout(timer));
  if (code === 0) return;
  const end = readFileSync(consolePath, 'utf8').split('\n').slice(-15).join('\n');
  const reason = late ? `switched off after ${options.limit} s` : `qemu ended with ${code}: ${complaints.join(' ')}`;
  throw new Error(`${reason}; the end of its console:\n${end}`);
}
