/**
 * Debian's kernels, fetched by an apt of their own: its lists and its cache lie below build/kernels, the machine's are not
 * touched. What was unpacked once is used again; remove the folder for newer kernels.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export interface Kernel {
  /** What was asked for: '6.1', or '7' for any release of that major version. */
  readonly series: string;
  /** As `uname -r` prints it. */
  readonly release: string;
  /** The bootable file. */
  readonly image: string;
  /** The folder that has modules.dep in it. */
  readonly modules: string;
}

/** Where everything of these tests is kept. */
export const cache: string = fileURLToPath(new URL('../../build/kernels/', import.meta.url));

/** The smallest indexes that have our kernels. */
const sources = [
  { archive: 'debian-security', suites: ['bookworm-security', 'trixie-security'] },
  { archive: 'debian', suites: ['trixie-backports'] },
] as const;
const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg';

/** The newest cloud kernel of a series, unpacked. Throws if Debian has none, or it cannot be fetched. */
export function fetchKernel(series: string): Kernel {
  const folder = join(cache, series);
  if (!existsSync(folder)) {
    const unpacked = `${folder}.part`;
    rmSync(unpacked, { recursive: true, force: true });
    mkdirSync(unpacked, { recursive: true });
    for (const file of download(series, unpacked)) {
      execFileSync('dpkg-deb', ['-x', join(unpacked, file), unpacked]);
      rmSync(join(unpacked, file));
    }
    renameSync(unpacked, folder);
  }
  return findKernel(series, folder);
}

function findKernel(series: string, folder: string): Kernel {
  const home = ['lib/modules', 'usr/lib/modules'].map((name) => join(folder, name)).find((name) => existsSync(name));
  const release = home && readdirSync(home)[0];
  const image = ['boot', `usr/lib/modules/${release}`]
    .flatMap((name) => [join(folder, name, `vmlinuz-${release}`), join(folder, name, 'vmlinuz')])
    .find((name) => existsSync(name));
  if (!home || !release || !image) throw new Error(`the kernel packages in ${folder} have no kernel or no modules`);
  return { series, release, image, modules: join(home, release) };
}

let aptConfig: string | undefined;

/** The names of the fetched packages. Since 7.2 a kernel is several. */
function download(series: string, folder: string): string[] {
  aptConfig ??= updateLists();
  const names = apt('apt-cache', ['pkgnames', 'linux-']).split('\n');
  const pattern = new RegExp(`^linux-image-(${series.replaceAll('.', '\\.')}\\.\\d.*cloud-amd64)$`);
  const newest = names
    .flatMap((name) => pattern.exec(name)?.[1] ?? [])
    .sort((a, b) => a.localeCompare(b, 'en', { numeric: true }))
    .at(-1);
  if (newest === undefined) {
    const searched = sources.flatMap(({ suites }) => suites).join(', ');
    throw new Error(`no package linux-image-${series}.*-cloud-amd64 in ${searched} of ${mirror('debian')}`);
  }
  const wanted = ['image', 'base', 'binary', 'modules'].map((part) => `linux-${part}-${newest}`);
  apt('apt-get', ['download', '-qq', ...wanted.filter((name) => names.includes(name))], folder);
  return readdirSync(folder).filter((name) => name.endsWith('.deb'));
}

/** Makes the private apt and fetches its lists; returns the path of its configuration. */
function updateLists(): string {
  const home = join(cache, 'apt');
  for (const name of ['lists/partial', 'cache/archives/partial']) mkdirSync(join(home, name), { recursive: true });
  const lines = sources.flatMap(({ archive, suites }) =>
    suites.map((suite) => `deb [arch=amd64 signed-by=${keyring}] ${mirror(archive)} ${suite} main\n`),
  );
  writeFileSync(join(home, 'sources.list'), lines.join(''));
  const settings = {
    'APT::Architecture': 'amd64',
    'APT::Sandbox::User': 'root',
    'Dir::Etc::SourceList': join(home, 'sources.list'),
    'Dir::Etc::SourceParts': '/dev/null',
    'Dir::State::Lists': join(home, 'lists'),
    'Dir::State::Status': '/dev/null',
    'Dir::Cache': join(home, 'cache'),
  };
  aptConfig = join(home, 'apt.conf');
  const text = Object.entries(settings).map(([key, value]) => `${key} "${value}";\n`);
  writeFileSync(
    aptConfig,
    `${text.join('')}#clear APT::Update::Post-Invoke;\n#clear APT::Update::Post-Invoke-Success;\n`,
  );
  apt('apt-get', ['update', '-qq', '--error-on=any']);
  return aptConfig;
}

/** The mirror that this machine's apt uses for an archive of Debian, or Debian's own. */
function mirror(archive: 'debian' | 'debian-security'): string {
  const format = '$' + '(ORIGIN) $' + '(REPO_URI)';
  const configured = execFileSync('apt-get', ['indextargets', '--format', format], { encoding: 'utf8' });
  const found = configured.split('\n').find((line) => line.startsWith('Debian ') && line.endsWith(`/${archive}/`));
  return found?.slice('Debian '.length) ?? `http://deb.debian.org/${archive}/`;
}

function apt(program: 'apt-get' | 'apt-cache', words: readonly string[], directory?: string): string {
  return execFileSync(program, words, {
    encoding: 'utf8',
    env: { ...process.env, APT_CONFIG: aptConfig },
    stdio: ['ignore', 'pipe', 'inherit'],
    maxBuffer: 1 << 28,
    ...(directory !== undefined && { cwd: directory }),
  });
}
