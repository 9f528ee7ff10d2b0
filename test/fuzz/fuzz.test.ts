import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import test from 'ava';

const script = fileURLToPath(new URL('run.ts', import.meta.url));

/** It moves into another network and cgroup, so it is a process of its own. */
async function fuzz(...options: string[]): Promise<{ code: number; output: string }> {
  try {
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [script, ...options], {
      maxBuffer: 2 ** 26,
    });
    return { code: 0, output: stdout + stderr };
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
    return { code, output: stdout + stderr };
  }
}

test('random worlds: the programs do what a second reading of the rules says, and every case is met', async (t) => {
  const { code, output } = await fuzz('--seed', '1', '--worlds', '1000');
  t.is(code, 0, output);
});

/** In that world nobody is translated or refused, so that hardly a fault shows: programs that are not even loaded do. */
test('what was never met is a failure, and no difference', async (t) => {
  const { code, output } = await fuzz('--seed', '18', '--worlds', '1');
  t.is(code, 1);
  t.regex(output, /^never met:$/m);
  t.notRegex(output, /^programs: /m);
});
