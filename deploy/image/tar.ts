/** What stands in a layer or an archive, by its path without a leading slash. */
export type Entry =
  | { readonly path: string; readonly kind: 'file'; readonly bytes: Uint8Array; readonly isExecutable?: boolean }
  | { readonly path: string; readonly kind: 'link'; readonly target: string };

const BLOCK = 512;

/**
 * A ustar archive of these entries in the order of their paths, each folder before what is in it. Everything belongs to root and was made
 * at the beginning of time, so that the same entries are the same bytes. Throws a RangeError for a path that ustar cannot hold.
 */
export function makeTar(entries: readonly Entry[]): Buffer {
  const folders = new Set(entries.flatMap(({ path }) => foldersOf(path)));
  const all = [...[...folders].map((path) => ({ path, kind: 'folder' }) as const), ...entries];
  all.sort((a, b) => (a.path < b.path ? -1 : 1));
  const blocks = all.flatMap((entry) => {
    if (entry.kind === 'folder') return [header(`${entry.path}/`, '5', 0o755)];
    if (entry.kind === 'link') return [header(entry.path, '2', 0o777, 0, entry.target)];
    const { length } = entry.bytes;
    const padding = Buffer.alloc((BLOCK - (length % BLOCK)) % BLOCK);
    return [header(entry.path, '0', entry.isExecutable ? 0o755 : 0o644, length), entry.bytes, padding];
  });
  return Buffer.concat([...blocks, Buffer.alloc(2 * BLOCK)]);
}

function foldersOf(path: string): string[] {
  const parts = path.split('/').slice(0, -1);
  return parts.map((_, i) => parts.slice(0, i + 1).join('/'));
}

function header(path: string, type: string, mode: number, size = 0, target = ''): Buffer {
  const block = Buffer.alloc(BLOCK);
  const put = (text: string, offset: number, room: number): void => {
    if (Buffer.byteLength(text) > room) throw new RangeError(`too long for a tar archive: ${text}`);
    block.write(text, offset);
  };
  const octal = (value: number, offset: number, digits: number): void =>
    put(value.toString(8).padStart(digits, '0'), offset, digits);
  put(path, 0, 100);
  octal(mode, 100, 7);
  octal(0, 108, 7);
  octal(0, 116, 7);
  octal(size, 124, 11);
  octal(0, 136, 11);
  put(' '.repeat(8), 148, 8);
  put(type, 156, 1);
  put(target, 157, 100);
  put('ustar\u000000', 257, 8);
  const sum = block.reduce((a, b) => a + b, 0);
  put(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 8);
  return block;
}
