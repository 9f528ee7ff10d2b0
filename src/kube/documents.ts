import { LineCounter, parseAllDocuments } from 'yaml';
import type { KubeObject } from './objects.ts';
import { type Reading, readObjects } from './reader.ts';

/** A stretch of a file that can be read by itself, with what was found in it. Lines count from 1. */
export interface Chunk {
  readonly line: number;
  readonly content: ChunkContent;
}

/** Lines here count from the start of the chunk, so that a chunk that only moved is the same. */
export interface ChunkContent {
  readonly readings: readonly DocumentReading[];
  /** A key that occurs twice: the later one counts. */
  readonly repeated: readonly Place[];
  /** Where and why the chunk cannot be read; null: it can. */
  readonly failure: (Place & { readonly message: string }) | null;
}

/** What one document holds; a chunk may have several of them. */
export interface DocumentReading extends Reading {
  /** Where the document begins. */
  readonly line: number;
}

export interface Place {
  readonly line: number;
  readonly column: number;
}

/** The chunks of a file by their text: those that an edit did not touch are not parsed again, and keep their objects. */
export type ChunkCache = ReadonlyMap<string, ChunkContent>;

/** `found` holds every object in order of its document. Parsing takes long (2 MB of YAML a second): turns are left in between. */
export async function readDocuments(text: string, known: ChunkCache): Promise<{ chunks: Chunk[]; cache: ChunkCache }> {
  const chunks: Chunk[] = [];
  const cache = new Map<string, ChunkContent>();
  let since = performance.now();
  for (const { line, part } of splitDocuments(text)) {
    const content = cache.get(part) ?? known.get(part) ?? readChunk(part);
    cache.set(part, content);
    chunks.push({ line, content });
    if (performance.now() - since > 10) {
      await new Promise((resolve) => setImmediate(resolve));
      since = performance.now();
    }
  }
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

function readChunk(text: string): ChunkContent {
  if (/^(?:---)?\s*[{[]/.test(text)) {
    try {
      return {
        readings: [{ ...readObjects(JSON.parse(text.replace(/^---/, ''))), line: 1 }],
        repeated: [],
        failure: null,
      };
    } catch {
      // not JSON: YAML's flow style looks alike
    }
  }
  const lines = new LineCounter();
  const placeOf = (position: number) => {
    const { line, col } = lines.linePos(position);
    return { line: Math.max(line, 1), column: Math.max(col, 1) };
  };
  const readings: DocumentReading[] = [];
  const repeated: Place[] = [];
  try {
    const options = { lineCounter: lines, prettyErrors: false, logLevel: 'error', merge: true } as const;
    const documents = parseAllDocuments(text, options);
    for (const document of Array.isArray(documents) ? documents : []) {
      const fatal = document.errors.find(({ code }) => code !== 'DUPLICATE_KEY');
      if (fatal !== undefined) {
        return { readings, repeated, failure: { ...placeOf(fatal.pos[0]), message: fatal.message + hintOn(text) } };
      }
      repeated.push(...document.errors.map(({ pos }) => placeOf(pos[0])));
      readings.push({ ...readObjects(document.toJS()), line: placeOf(document.range[0]).line });
    }
    return { readings, repeated, failure: null };
  } catch (error) {
    return {
      readings,
      repeated,
      failure: { ...placeOf(0), message: error instanceof Error ? error.message : String(error) },
    };
  }
}

/** People try a chart's templates first, and what the parser makes of those tells nobody anything. */
function hintOn(text: string): string {
  return text.includes('{{') ? " ({{ is of a template: render it first, as 'helm template' does)" : '';
}
