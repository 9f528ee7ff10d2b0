import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

const ticksPerSecond = Number(execFileSync('getconf', ['CLK_TCK']));

/** Seconds of CPU that a process and its ended children have used. */
export function cpuSeconds(pid: number): number {
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  // utime, stime, cutime, cstime
  return fields.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks), 0) / ticksPerSecond;
}

/** Megabytes (2^20) that are resident; of the process alone, without children. 0: it has ended. */
export function residentMegabytes(pid: number): number {
  const text = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(text)?.[1] ?? 0) / 1024;
}

/** What the process and those that it started, which are few, have resident together. */
function familyMegabytes(pid: number): number {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
  return residentMegabytes(pid) + children.map(familyMegabytes).reduce((a, b) => a + b, 0);
}

/** Looks every 50 ms until it is ended, and then tells the most that was resident: `nft` and such are large for a moment. */
export function watchPeak(pid: number): () => number {
  let peak = 0;
  const look = (): void => {
    try {
      peak = Math.max(peak, familyMegabytes(pid));
    } catch {
      // a child that has just ended
    }
  };
  const timer = setInterval(look, 50);
  return () => {
    clearInterval(timer);
    look();
    return peak;
  };
}
