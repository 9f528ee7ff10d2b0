/** A release besides the one that is tested: the same sources, other bytes, another number. */
import {
  appendFileSync,
  cpSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const root = join(import.meta.dirname, '../..');

export interface OtherBuild extends Disposable {
  /** Its bin/bpfsvc. */
  readonly cli: string;
}

/** The programs are told apart by the bytes of their files: behind the end of an ELF file nobody reads any. */
export function makeOtherBuild(version: string): OtherBuild {
  const folder = mkdtempSync(join(tmpdir(), 'bpfsvc-build-'));
  for (const name of ['bin', 'build/js', 'build/bpf']) {
    cpSync(join(root, name), join(folder, name), { recursive: true, verbatimSymlinks: true });
  }
  for (const name of ['native', 'node_modules']) symlinkSync(join(root, name), join(folder, name));
  const programs = join(folder, 'build/bpf');
  for (const name of readdirSync(programs)) appendFileSync(join(programs, name), version);
  const scripts = join(folder, 'build/js');
  const number = (JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }).version;
  for (const name of readdirSync(scripts).filter((name) => name.endsWith('.js'))) {
    const text = readFileSync(join(scripts, name), 'utf8');
    writeFileSync(join(scripts, name), text.replace(`version: "${number}"`, `version: "${version}"`));
  }
  return {
    cli: join(folder, 'bin/bpfsvc'),
    [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }),
  };
}
