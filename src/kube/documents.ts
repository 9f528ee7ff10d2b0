import { hash } from 'node:crypto';
import type { ChunkContent } from './chunk.ts';
import type { ChunkReader } from './chunk-reader.ts';
import type { KubeObject } from './objects.ts';

/** A stretch of a file that can be read by itself, with what was found in it. Lines count from 1. */
export interface Chunk {
  readonly line: number;
  readonly content: ChunkContent;
}

/**
 * The chunks of a file by a hash of their text: those that an edit did not touch are not parsed again, and keep their
 * objects.
 */
export type ChunkCache = ReadonlyMap<string, ChunkContent>;

/** Holds every object in order of its document. */
export async function readDocuments(
  text: string,
  known: ChunkCache,
  reader: ChunkReader,
): Promise<{ chunks: Chunk[]; cache: ChunkCache }> {
  const parts = splitDocuments(text).map(({ line, part }) => ({ line, part, key: hash('sha256', part, 'base64') }));
  const fresh = new Map(parts.flatMap(({ key, part }) => (known.has(key) ? [] : [[key, part]])));
  const contents = await reader.read([...fresh.values()]);
  const read = new Map([...fresh.keys()].map((key, i) => [key, contents[i]]));
  const cache = new Map<string, ChunkContent>();
  const chunks = parts.map(({ line, key }) => {
    const content = known.get(key) ?? read.get(key);
    if (content === undefined) throw new Error('a chunk was not read');
    cache.set(key, content);
    return { line, content };
  });
  return { chunks, cache };
}

/**
 * A line that begins with `---` ends a document wherever it stands, even in a block of text, so it is safe to cut there.
 * Not so with directives (`%YAML`), which belong to the document after the line.
 */
export function splitDocuments(text: string): { line: number; part: string }[] {
  if (/^%/m.test(text)) return [{ line: 1, part: text }];
  const parts: { line: number; part: string }[] = [];
  let line = 1;
  for (const part of text.split(/^(?=---(?:\s|$))/m)) {
    parts.push({ line, part });
    for (let i = part.indexOf('\n'); i >= 0; i = part.indexOf('\n', i + 1)) line++;
  }
  return parts;
}

export function objectsOf(chunks: readonly Chunk[]): KubeObject[] {
  return chunks.flatMap(({ content }) => content.readings.flatMap(({ objects }) => objects));
}
