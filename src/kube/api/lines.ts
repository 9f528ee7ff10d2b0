const NEWLINE = 0x0a;

/** No object is nearly as large: etcd takes a megabyte and a half, unless told otherwise. */
const LONGEST = 64 * 1024 * 1024;

/**
 * Lines of text out of pieces of bytes, wherever these are cut, in the middle of a character too. The last line counts only with its
 * newline: without, it may be half of one. Throws if a line is longer than `longest` bytes.
 */
export async function* readLines(
  pieces: AsyncIterable<Buffer>,
  longest: number = LONGEST,
): AsyncGenerator<string, void, undefined> {
  let held: Buffer[] = [];
  let size = 0;
  for await (const piece of pieces) {
    let from = 0;
    for (let end = piece.indexOf(NEWLINE); end >= 0; end = piece.indexOf(NEWLINE, from)) {
      const rest = piece.subarray(from, end);
      from = end + 1;
      const line = held.length === 0 ? rest : Buffer.concat([...held, rest]);
      held = [];
      size = 0;
      if (line.length > 0) yield line.toString('utf8');
    }
    if (from === piece.length) continue;
    held.push(piece.subarray(from));
    size += piece.length - from;
    if (size > longest) throw new Error(`a line is longer than ${longest} bytes`);
  }
}
