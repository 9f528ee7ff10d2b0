import { execFileSync } from 'node:child_process';
import { mkdirSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** Compiles NAME.c of this folder, unless that is done, and returns the path of the program. */
export function buildTool(name: string, compiler = 'cc'): string {
  const source = fileURLToPath(new URL(`${name}.c`, import.meta.url));
  const program = fileURLToPath(
    new URL(`../../build/test/${compiler === 'cc' ? name : `${name}-${compiler}`}`, import.meta.url),
  );
  const made = statSync(program, { throwIfNoEntry: false });
  if (made !== undefined && made.mtimeMs > statSync(source).mtimeMs) return program;
  mkdirSync(fileURLToPath(new URL('../../build/test/', import.meta.url)), { recursive: true });
  execFileSync(compiler, ['-O2', '-Wall', '-Wextra', '-o', program, source], { stdio: 'inherit' });
  return program;
}
