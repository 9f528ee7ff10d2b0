/** The image that is made for each machine: what is in it, that it is the same each time, and that it runs. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import anyTest from 'ava';
import { architectureOf } from '../../deploy/image/architecture.ts';
import type { Image } from '../../deploy/image/oci.ts';
import { makeOwnImage } from '../../deploy/image/run.ts';
import about from '../../package.json' with { type: 'json' };
import { unpack } from './container.ts';

const test = anyTest.serial;
const BPF = 247;
const programs: Record<string, Buffer> = {};

/** Paths of all files below a folder. */
function filesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)));
}

/** ELF's e_machine; undefined: it is no ELF file. */
function machineOf(path: string): number | undefined {
  const bytes = readFileSync(path).subarray(0, 20);
  return bytes.toString('latin1', 0, 4) === '\x7fELF' ? bytes.readUInt16LE(18) : undefined;
}

for (const name of ['amd64', 'arm64'] as const) {
  const architecture = architectureOf(name);
  const folder = mkdtempSync(join(tmpdir(), 'bpfsvc-image-'));
  const root = join(folder, 'rootfs');
  let image: Image;

  test.after.always(() => rmSync(folder, { recursive: true, force: true }));

  test(`${name}: made twice, in two places, it is the same image`, async (t) => {
    image = await makeOwnImage(name, `bpfsvc:${about.version}`, join(folder, 'one'));
    const other = await makeOwnImage(name, `bpfsvc:${about.version}`, join(folder, 'two/deeper'));
    t.is(other.digest, image.digest);
    t.true(other.archive.equals(image.archive));
    writeFileSync(join(folder, 'image.tar'), image.archive);
    const { architecture: told, config } = unpack(join(folder, 'image.tar'), folder);
    t.is(told, name);
    t.deepEqual(config.Entrypoint, ['/usr/bin/bpfsvc']);
  });

  test(`${name}: every binary is of that machine, and the programs are the same bytes on all`, (t) => {
    const machines = new Map(filesBelow(root).map((path) => [path, machineOf(join(root, path))]));
    const found = [...machines].filter(([, machine]) => machine !== undefined);
    t.true(found.length > 10);
    for (const [path, machine] of found) t.is(machine, path.endsWith('.bpf.o') ? BPF : architecture.machine, path);
    for (const [path] of found.filter(([one]) => one.endsWith('.bpf.o'))) {
      const bytes = readFileSync(join(root, path));
      t.deepEqual(bytes, programs[path] ?? bytes, path);
      programs[path] = bytes;
    }
  });

  test(`${name}: there is no shell and nothing that gives away rights; what is in it has its licence`, (t) => {
    const files = filesBelow(root);
    t.deepEqual(readdirSync(join(root, 'usr/bin')).sort(), ['bpfsvc', 'node']);
    for (const path of files) t.is(statSync(join(root, path)).mode & 0o7022, 0, path);
    const licences = files.filter((path) => path.startsWith('usr/share/doc/'));
    for (const what of [
      'bpfsvc/LICENSE',
      'node/LICENSE',
      'libc6/copyright',
      'libbpf1/copyright',
      'bpfsvc/npm-packages',
    ]) {
      t.true(licences.includes(`usr/share/doc/${what}`), what);
    }
    t.true(image.size.compressed < 50e6 && image.size.unpacked < 130e6, JSON.stringify(image.size));
  });

  test(`${name}: it runs, on its own libraries`, (t) => {
    const bpfsvc = [join(root, 'usr/bin/node'), join(root, 'usr/lib/bpfsvc/bpfsvc'), 'version'];
    const libraries = ['--library-path', join(root, 'usr/lib', architecture.triplet)];
    const own = process.arch === 'arm64' ? 'arm64' : 'amd64';
    const [program = '', ...words] =
      name === own
        ? [join(root, architecture.loader), ...libraries, ...bpfsvc]
        : [emulator(name), '-L', root, ...bpfsvc];
    const told = execFileSync(program, words, { encoding: 'utf8', env: {}, stdio: 'pipe' });
    t.regex(told, new RegExp(`^bpfsvc +${about.version.replaceAll('.', '\\.')}$`, 'm'));
    t.regex(told, /^libbpf +1\./m);
  });
}

function emulator(name: 'amd64' | 'arm64'): string {
  return `/usr/bin/${name === 'arm64' ? 'qemu-aarch64-static' : 'qemu-x86_64-static'}`;
}
