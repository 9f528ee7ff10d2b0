/**
 * What a guest boots from: one initial file system in memory, made of this machine's own tools, the project as it is
 * built here, and the kernel's modules. Two cpio archives, for the kernel reads them one after the other.
 */
import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  closeSync,
  copyFileSync,
  cpSync,
  existsSync,
  globSync,
  mkdirSync,
  openSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cache, type Kernel } from './packages.ts';

const project = fileURLToPath(new URL('../../', import.meta.url));

const tools = [
  ...[
    'sh',
    'cat',
    'dirname',
    'env',
    'false',
    'kill',
    'ls',
    'mkdir',
    'readlink',
    'rm',
    'sleep',
    'stty',
    'true',
    'uname',
  ],
  ...['findmnt', 'mount', 'nsenter', 'umount', 'unshare'],
  ...['ethtool', 'ip', 'modprobe', 'nft', 'sysctl', 'tc', 'tcpdump'],
];
const settings = ['group', 'hosts', 'nsswitch.conf', 'passwd', 'protocols', 'services'];

/** Packages that no test needs to run, and what packages carry for people and compilers. */
const unneeded =
  /\/node_modules\/(@biomejs|@esbuild|@types|@typescript|esbuild|typescript|c8)(\/|$)|node-linux-[^/]*\/(include|share)$/;
const unread = /\.(map|md|d\.ts|d\.mts|d\.cts)$/;

/** What a guest may load: all of the network's, for tests ask for more kinds of devices and rules than one would think. */
const modules = ['kernel/net', 'kernel/lib', 'kernel/crypto', 'kernel/arch/x86/crypto', 'kernel/drivers/net'];
/** Drivers of cards. */
const hardware = /\/drivers\/net\/(ethernet|wireless|phy|usb|can|dsa|wwan|hyperv|fddi|arcnet|hamradio|xen-netback)$/;

/** Everything but the kernel's modules. */
export function makeBase(): string {
  const root = join(cache, 'root');
  rmSync(root, { recursive: true, force: true });
  for (const name of ['bin', 'sbin', 'lib', 'lib64']) {
    mkdirSync(join(root, 'usr', name), { recursive: true });
    symlinkSync(`usr/${name}`, join(root, name));
  }
  for (const name of ['dev', 'etc', 'proc', 'run', 'sys', 'tmp', 'root']) mkdirSync(join(root, name));
  for (const name of tools) addProgram(root, name);
  addLibraries(root, join(project, 'node_modules/.bin/node'));
  addLibraries(root, join(project, 'native/build/libbpf-ts.node'));
  for (const name of settings) if (existsSync(`/etc/${name}`)) copyFileSync(`/etc/${name}`, join(root, 'etc', name));
  copyFileSync(join(import.meta.dirname, 'init.sh'), join(root, 'init'));
  const parts = [
    'package.json',
    'bin',
    'bpf',
    'build/bpf',
    'build/js',
    'build/test',
    'native',
    'node_modules',
    'src',
    'test',
  ];
  for (const part of parts) {
    if (!existsSync(join(project, part))) continue;
    const filter = (from: string): boolean => !unneeded.test(from) && !unread.test(from);
    cpSync(join(project, part), join(root, 'project', part), { recursive: true, verbatimSymlinks: true, filter });
  }
  stripTypes(join(root, 'project'));
  return pack(root, join(cache, 'base.cpio'));
}

/** Done here, it is not done by each thread in there: it was three quarters of what a test file cost. */
function stripTypes(folder: string): void {
  for (const name of globSync('{bpf,native,src,test}/**/*.ts', { cwd: folder })) {
    const path = join(folder, name);
    writeFileSync(path, stripTypeScriptTypes(readFileSync(path, 'utf8')));
  }
}

/** The whole for one kernel. */
export function makeArchive(kernel: Kernel, base: string): string {
  const root = join(cache, 'modules');
  const home = join(root, 'usr/lib/modules', kernel.release);
  rmSync(root, { recursive: true, force: true });
  mkdirSync(home, { recursive: true });
  for (const name of ['modules.builtin', 'modules.order', 'modules.builtin.modinfo']) {
    if (existsSync(join(kernel.modules, name))) copyFileSync(join(kernel.modules, name), join(home, name));
  }
  for (const name of modules) {
    const from = join(kernel.modules, name);
    if (existsSync(from)) cpSync(from, join(home, name), { recursive: true, filter: (path) => !hardware.test(path) });
  }
  symlinkSync('usr/lib', join(root, 'lib'));
  execFileSync('/usr/sbin/depmod', ['-b', root, kernel.release], { stdio: ['ignore', 'ignore', 'inherit'] });
  rmSync(join(root, 'lib'));
  const own = pack(root, join(cache, 'modules.cpio'));
  const whole = join(cache, 'initrd.cpio');
  copyFileSync(base, whole);
  appendFileSync(whole, readFileSync(own));
  return whole;
}

function addProgram(root: string, name: string): void {
  const found = ['/usr/sbin', '/usr/bin', '/sbin', '/bin']
    .map((directory) => join(directory, name))
    .find((path) => existsSync(path));
  if (found === undefined) throw new Error(`no ${name} on this machine for the guest`);
  const to = join(root, 'usr', basename(realpathSync(dirname(found))) === 'sbin' ? 'sbin' : 'bin', name);
  copyFileSync(realpathSync(found), to);
  addLibraries(root, found);
}

/** The shared libraries of a program, and theirs, where its loader looks for them. */
function addLibraries(root: string, program: string): void {
  for (const line of execFileSync('ldd', [program], { encoding: 'utf8' }).split('\n')) {
    const path = /(\/\S+) \(0x/.exec(line)?.[1];
    if (path === undefined) continue;
    const to = join(root, realpathSync(dirname(path)), basename(path));
    mkdirSync(dirname(to), { recursive: true });
    copyFileSync(path, to);
  }
}

/** The contents of a folder as the kernel unpacks them; a multiple of 4 bytes, so that another may follow. */
function pack(folder: string, to: string): string {
  const names = execFileSync('find', ['.', '-print0'], { cwd: folder, maxBuffer: 1 << 28 });
  const file = openSync(to, 'w');
  const words = ['--null', '--create', '--format=newc', '--quiet', '--owner=0:0'];
  execFileSync('cpio', words, { cwd: folder, input: names, stdio: ['pipe', file, 'inherit'] });
  closeSync(file);
  rmSync(folder, { recursive: true });
  return to;
}
