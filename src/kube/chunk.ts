import { LineCounter, parseAllDocuments } from 'yaml';
import { type Reading, readObjects } from './reader.ts';

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

/** Never throws. */
export function readChunk(text: string): ChunkContent {
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
