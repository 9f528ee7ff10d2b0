/**
 * The system of the image: libraries of Debian 12 for either machine, fetched by an apt of its own, so that neither the machine
 * that builds nor its distribution shows in the image. What was unpacked once is used again; remove the folder for newer ones.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Architecture } from './architecture.ts';

const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg';
const sources = [
  ['debian', 'bookworm'],
  ['debian-security', 'bookworm-security'],
] as const;

/** What Node and the addon run on, and what the addon is compiled against. */
const packages = ['libc6', 'libstdc++6', 'libgcc-s1', 'gcc-12-base', 'libbpf1', 'libelf1', 'zlib1g'];
const headers = ['libc6-dev', 'linux-libc-dev', 'libgcc-12-dev', 'libbpf-dev'];

export interface System {
  /** A tree as below / of such a machine. */
  readonly root: string;
  /** 'libc6 2.36-9+deb12u14', sorted: what of it is in an image. */
  readonly packages: readonly string[];
}

/** Fetches and unpacks it below `cache` if it is not there. */
export function fetchSystem({ name }: Architecture, cache: string): System {
  const root = join(cache, `debian-${name}`);
  if (!existsSync(root)) {
    const part = `${root}.part`;
    rmSync(part, { recursive: true, force: true });
    mkdirSync(part, { recursive: true });
    apt(makeApt(name, join(cache, `apt-${name}`)), ['download', '-qq', ...packages, ...headers], part);
    const versions: string[] = [];
    for (const file of readdirSync(part).filter((one) => one.endsWith('.deb'))) {
      const path = join(part, file);
      const [what = '', version = ''] = run('dpkg-deb', [
        '-W',
        '--showformat',
        '$' + '{Package} $' + '{Version}',
        path,
      ]).split(' ');
      if (packages.includes(what)) versions.push(`${what} ${version}`);
      run('dpkg-deb', ['-x', path, part]);
      rmSync(path);
    }
    writeFileSync(join(part, 'packages.json'), JSON.stringify(versions.sort()));
    renameSync(part, root);
  }
  return { root, packages: JSON.parse(readFileSync(join(root, 'packages.json'), 'utf8')) as string[] };
}

/** Debian's own text for each package, below /usr/share/doc of the system. */
export function copyrightsOf({ packages: all }: System): string[] {
  return all.map((text) => `usr/share/doc/${text.split(' ')[0]}/copyright`);
}

/** Makes a private apt and fetches its lists; returns the path of its configuration. */
function makeApt(architecture: string, home: string): string {
  for (const name of ['lists/partial', 'cache/archives/partial']) mkdirSync(join(home, name), { recursive: true });
  const lines = sources.map(
    ([archive, suite]) => `deb [arch=${architecture} signed-by=${keyring}] ${mirror(archive)} ${suite} main\n`,
  );
  writeFileSync(join(home, 'sources.list'), lines.join(''));
  const settings = {
    'APT::Architecture': architecture,
    'APT::Architectures': architecture,
    'APT::Sandbox::User': 'root',
    'Acquire::Languages': 'none',
    'Dir::Etc::SourceList': join(home, 'sources.list'),
    'Dir::Etc::SourceParts': '/dev/null',
    'Dir::State::Lists': join(home, 'lists'),
    'Dir::State::Status': '/dev/null',
    'Dir::Cache': join(home, 'cache'),
  };
  const path = join(home, 'apt.conf');
  const text = Object.entries(settings).map(([key, value]) => `${key} "${value}";\n`);
  writeFileSync(path, `${text.join('')}#clear APT::Update::Post-Invoke;\n#clear APT::Update::Post-Invoke-Success;\n`);
  apt(path, ['update', '-qq', '--error-on=any']);
  return path;
}

/** The mirror that this machine's apt uses for an archive of Debian, or Debian's own. */
function mirror(archive: (typeof sources)[number][0]): string {
  const format = '$' + '(ORIGIN) $' + '(REPO_URI)';
  const found = run('apt-get', ['indextargets', '--format', format])
    .split('\n')
    .find((line) => line.startsWith('Debian ') && line.endsWith(`/${archive}/`));
  return found?.slice('Debian '.length) ?? `http://deb.debian.org/${archive}/`;
}

function apt(config: string, words: readonly string[], directory?: string): void {
  execFileSync('apt-get', words, {
    env: { ...process.env, APT_CONFIG: config },
    stdio: ['ignore', 'ignore', 'inherit'],
    ...(directory !== undefined && { cwd: directory }),
  });
}

function run(program: string, words: readonly string[]): string {
  return execFileSync(program, words, { encoding: 'utf8' });
}
