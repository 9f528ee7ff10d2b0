import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { basename } from 'node:path';

/** A kube-proxy that writes rules into this network namespace. */
export interface RunningProxy {
  /** null: it is in a pid namespace that cannot be seen from here. */
  readonly pid: number | null;
  /** In a container of a pod: whoever made the pod makes another one. */
  readonly isPod: boolean;
  /** For people. */
  readonly text: string;
}

/** Where kube-proxy tells its mode unless it was told otherwise, and where bpfsvc answers 'bpfsvc'. */
const modeUrl = 'http://127.0.0.1:10249/proxyMode';

/** By the processes that are seen here, and by its metrics server for one that is not. */
export async function runningProxies(): Promise<RunningProxy[]> {
  const found = processes();
  if (found.length > 0) return found;
  const mode = await proxyMode();
  if (mode === undefined || mode === 'bpfsvc') return [];
  const text = `a kube-proxy in mode ${mode} answers at 127.0.0.1:10249; its process is not seen from here`;
  return [{ pid: null, isPod: true, text }];
}

function processes(): RunningProxy[] {
  const here = readlinkSync('/proc/self/ns/net');
  return readdirSync('/proc').flatMap((name): RunningProxy[] => {
    if (!/^\d+$/.test(name)) return [];
    try {
      const words = readFileSync(`/proc/${name}/cmdline`, 'utf8').split('\0');
      if (!isKubeProxy(words) || readlinkSync(`/proc/${name}/ns/net`) !== here) return [];
      if (/^State:\s+[ZX]/m.test(readFileSync(`/proc/${name}/status`, 'utf8'))) return [];
      const isPod = /kubepods|\/pod[0-9a-f]{8}-/.test(readFileSync(`/proc/${name}/cgroup`, 'utf8'));
      const where = isPod ? ' in a pod' : '';
      return [{ pid: Number(name), isPod, text: `process ${name} (${basename(words[0] ?? '')})${where}` }];
    } catch {
      return []; // it ended meanwhile, or is not ours to look at
    }
  });
}

/** 'kube-proxy …', and 'hyperkube proxy …' as some distributions start it. */
export function isKubeProxy([program = '', ...words]: readonly string[]): boolean {
  const name = basename(program);
  return name === 'kube-proxy' || (name === 'hyperkube' && ['proxy', 'kube-proxy'].includes(words[0] ?? ''));
}

async function proxyMode(): Promise<string | undefined> {
  try {
    const answer = await fetch(modeUrl, { signal: AbortSignal.timeout(1000) });
    return answer.ok ? (await answer.text()).trim() : undefined;
  } catch {
    return undefined;
  }
}
