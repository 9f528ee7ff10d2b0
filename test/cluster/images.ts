/** The images of a test cluster, under the names that upstream's tests ask for: nothing is ever pulled. */
import { execFileSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { type Image, writeImages } from './image.ts';
import type { Programs } from './programs.ts';

const tests = 'registry.k8s.io/e2e-test-images';
export const pauseImage = 'registry.k8s.io/pause:3.10.2';
export const agnhostImage: string = `${tests}/agnhost:2.63.0`;
export const busyboxImage: string = `${tests}/busybox:1.37.0-1`;
export const dnsImage = 'bpfsvc.invalid/coredns:1';

/** Path of the archive with all of them; made once for each set of programs. */
export async function makeImages(programs: Programs): Promise<string> {
  const archive = join(programs.tests, `images-${programs.id}.tar`);
  if (existsSync(archive)) return archive;
  const work = mkdtempSync(join(programs.tests, 'making-'));
  try {
    const made = join(work, 'images.tar');
    await writeImages(images(programs, work), made);
    renameSync(made, archive);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return archive;
}

function images(programs: Programs, work: string): Image[] {
  const userland = makeUserland(programs, join(work, 'userland'));
  const env = { Env: ['PATH=/bin:/usr/bin:/'] };
  const only = (names: Readonly<Record<string, string>>): string => {
    const folder = mkdtempSync(join(work, 'layer-'));
    for (const [name, source] of Object.entries(names)) copyFileSync(join(programs.tests, source), join(folder, name));
    return folder;
  };
  execFileSync('cc', ['-Os', '-static', '-DVERSION=test', '-o', 'pause', join(programs.tests, 'pause.c')], {
    cwd: work,
  });
  const pause = mkdtempSync(join(work, 'layer-'));
  renameSync(join(work, 'pause'), join(pause, 'pause'));
  const agnhost = only({
    agnhost: 'agnhost',
    'agnhost-2': 'agnhost',
    coredns: 'coredns',
    'localhost.crt': 'localhost.crt',
    'localhost.key': 'localhost.key',
  });
  return [
    { names: [pauseImage], layers: [pause], config: { Entrypoint: ['/pause'], User: '65535:65535' } },
    {
      names: [agnhostImage],
      layers: [userland, agnhost],
      config: { Entrypoint: ['/agnhost'], Cmd: ['pause'], ...env },
    },
    { names: [busyboxImage], layers: [userland], config: { Cmd: ['sh'], ...env } },
    { names: [`${tests}/glibc-dns-testing:2.0.0`], layers: [userland], config: { Cmd: ['sh'], ...env } },
    {
      names: [`${tests}/regression-issue-74839:1.4`],
      layers: [only({ 'regression-issue-74839': 'regression-issue-74839' })],
      config: { Entrypoint: ['/regression-issue-74839'], Cmd: [''] },
    },
    { names: [dnsImage], layers: [only({ coredns: 'coredns' })], config: { Entrypoint: ['/coredns'] } },
  ];
}

/**
 * What tests run in their pods. dash is the shell, for Debian's busybox prefers its own applets; nc is OpenBSD's and wget GNU's: tests
 * use flags of theirs.
 */
function makeUserland(programs: Programs, root: string): string {
  for (const folder of [
    'bin',
    'usr/bin',
    'tmp',
    'uploads',
    'etc',
    'proc',
    'sys',
    'dev',
    'root',
    'var/run',
    'results',
  ]) {
    mkdirSync(join(root, folder), { recursive: true });
  }
  execFileSync('chmod', ['1777', join(root, 'tmp')]);
  const busybox = programs.find('busybox');
  copyFileSync(busybox, join(root, 'bin/busybox'));
  const own = {
    sh: 'dash',
    nc: 'nc.openbsd',
    bash: 'bash',
    curl: 'curl',
    wget: 'wget',
    ss: 'ss',
    ip: 'ip',
    dig: 'dig',
    getent: 'getent',
    timeout: 'timeout',
  };
  for (const applet of execFileSync(busybox, ['--list'], { encoding: 'utf8' }).trim().split('\n')) {
    if (applet !== 'busybox' && !(applet in own)) symlinkSync('busybox', join(root, 'bin', applet));
  }
  for (const [name, program] of Object.entries(own)) addProgram(programs, root, name, programs.find(program));
  symlinkSync('../../bin/env', join(root, 'usr/bin/env'));
  writeFileSync(
    join(root, 'etc/passwd'),
    'root:x:0:0:root:/root:/bin/sh\nuser-defined-in-image:x:1000:1000::/:/bin/sh\n',
  );
  writeFileSync(join(root, 'etc/group'), 'root:x:0:\ngroup-defined-in-image:x:50000:user-defined-in-image\n');
  writeFileSync(join(root, 'etc/nsswitch.conf'), 'hosts: files dns\n');
  return root;
}

/** The program and the libraries that it is linked with; of glibc also those by which it asks for names. */
function addProgram(programs: Programs, root: string, name: string, path: string): void {
  copyFileSync(path, join(root, 'bin', name));
  const env = { ...process.env, LD_LIBRARY_PATH: programs.libraries };
  const linked = execFileSync('ldd', [path], { encoding: 'utf8', env });
  for (const [, wanted, found] of linked.matchAll(/^\s*(?:(\S+) => )?(\/\S+) \(/gm)) {
    const inside = found?.startsWith(programs.runtime) ? found.slice(programs.runtime.length) : (found as string);
    copyLibrary(found as string, join(root, inside));
    if (wanted?.startsWith('libc.so') !== true) continue;
    const folder = dirname(found as string);
    for (const file of readdirSync(folder).filter((entry) => /^libnss_(dns|files)\.so\.2$/.test(entry))) {
      copyLibrary(join(folder, file), join(root, dirname(inside), file));
    }
  }
}

function copyLibrary(from: string, to: string): void {
  if (existsSync(to)) return;
  mkdirSync(dirname(to), { recursive: true });
  copyFileSync(from, to);
}
