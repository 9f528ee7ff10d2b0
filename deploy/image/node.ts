/** The Node that package.json names, for the machine of the image. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Architecture } from './architecture.ts';

interface Lock {
  readonly packages: Readonly<Record<string, { readonly version: string; readonly integrity: string } | undefined>>;
}

/**
 * The folder of the npm package: the installed one, or that of another machine, fetched below `cache` and compared with what
 * package-lock.json says of it.
 */
export function findNode({ nodePackage }: Architecture, root: string, cache: string): string {
  const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as Lock;
  const locked = lock.packages[`node_modules/${nodePackage}`];
  if (locked === undefined) throw new Error(`package-lock.json does not name ${nodePackage}`);
  const installed = join(root, 'node_modules', nodePackage);
  if (existsSync(join(installed, 'bin/node'))) return installed;
  const folder = join(cache, `${nodePackage}-${locked.version}`);
  if (existsSync(folder)) return folder;
  const part = `${folder}.part`;
  rmSync(part, { recursive: true, force: true });
  mkdirSync(part, { recursive: true });
  execFileSync('npm', ['pack', '--silent', `${nodePackage}@${locked.version}`], { cwd: part, stdio: 'pipe' });
  const archive = join(part, readdirSync(part)[0] ?? '');
  const sum = `sha512-${createHash('sha512').update(readFileSync(archive)).digest('base64')}`;
  if (sum !== locked.integrity) throw new Error(`${nodePackage} ${locked.version} is not what package-lock.json knows`);
  execFileSync('tar', ['-xzf', archive, '-C', part, '--strip-components=1']);
  rmSync(archive);
  renameSync(part, folder);
  return folder;
}
