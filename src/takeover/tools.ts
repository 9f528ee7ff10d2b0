import { execFile } from 'node:child_process';
import { accessSync, constants, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { RefusedError } from '../kernel/refused.ts';
import type { Family, Flavour } from './peer.ts';

/** Root's programs first: other things are called nft, too. */
const folders: readonly string[] = ['/usr/sbin', '/sbin', ...(process.env.PATH ?? '').split(delimiter)];

/** Rules of 10,000 Services are 30 MB. */
const MAX_BYTES = 1 << 30;

/** undefined: there is no such program. */
export function findTool(name: string): string | undefined {
  return folders
    .filter((folder) => folder !== '')
    .map((folder) => join(folder, name))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

/** What a program printed. Its input is a socket, which nft 1.0.9 does not read: that is told in words. Throws a RefusedError with what it said if it does not end with 0. */
export async function runTool(path: string, words: readonly string[], input = ''): Promise<string> {
  return await new Promise((resolve, reject) => {
    const child = execFile(path, words, { maxBuffer: MAX_BYTES, encoding: 'utf8' }, (error, stdout, stderr) => {
      if (error === null) return resolve(stdout);
      reject(new RefusedError(`'${[path, ...words].join(' ')}' failed: ${(stderr || error.message).trim()}`));
    });
    child.stdin?.on('error', () => {}); // it may end without reading what it is given
    child.stdin?.end(input);
  });
}

/** How one flavour and family of iptables is read and written on this machine. */
export interface Iptables {
  readonly flavour: Exclude<Flavour, 'nftables'>;
  readonly family: Family;
  readonly save: string;
  readonly restore: string;
}

/** Those that are installed. Where the two flavours have no names of their own, `iptables-save` tells which one it is. */
export async function findIptables(): Promise<Iptables[]> {
  const all = await Promise.all(([4, 6] as const).map(ofFamily));
  return all.flat();
}

async function ofFamily(family: Family): Promise<Iptables[]> {
  const base = family === 4 ? 'iptables' : 'ip6tables';
  const named = (['nft', 'legacy'] as const).flatMap((backend): Iptables[] => {
    const [save, restore] = [findTool(`${base}-${backend}-save`), findTool(`${base}-${backend}-restore`)];
    return save && restore ? [{ flavour: `iptables-${backend}`, family, save, restore }] : [];
  });
  if (named.length > 0) return named;
  const [save, restore] = [findTool(`${base}-save`), findTool(`${base}-restore`)];
  if (!save || !restore) return [];
  const version = await runTool(save, ['--version']);
  return [{ flavour: version.includes('nf_tables') ? 'iptables-nft' : 'iptables-legacy', family, save, restore }];
}

/** Tables of legacy iptables that this network namespace has, which the tools would make by asking for them. */
export function legacyTables(family: Family): string[] {
  const path = family === 4 ? '/proc/self/net/ip_tables_names' : '/proc/self/net/ip6_tables_names';
  try {
    return readFileSync(path, 'utf8').split('\n').filter(Boolean);
  } catch {
    return [];
  }
}
