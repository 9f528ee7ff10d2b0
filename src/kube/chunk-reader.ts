import { once } from 'node:events';
import { extname } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { type ResourceLimits, Worker } from 'node:worker_threads';
import { type ChunkContent, readChunk } from './chunk.ts';
import { sharer } from './sharing.ts';

/** Reads chunks as `readChunk` does, little text here, much of it in a thread: one reader at a time calls it. */
export interface ChunkReader extends AsyncDisposable {
  read(texts: readonly string[]): Promise<readonly ChunkContent[]>;
}

/** So many characters are read here, leaving turns in between: a thread takes as long to begin. */
const readHere = 256 * 1024;
/** So many go to the thread at one time, or one text: what comes back has to be taken over in one turn. */
/** Beside this file, be it a source or compiled. */
const workerFile = new URL(`./chunk-worker${extname(import.meta.url)}`, import.meta.url);

const batchSize = 256 * 1024;

/**
 * YAML takes long to read (2 MB a second) and much memory (80 times its size, and what a heap has grown to stays): both
 * end with the thread. `limits` is for tests.
 */
export function chunkReader(limits: ResourceLimits = { maxYoungGenerationSizeMb: 32 }): ChunkReader {
  const share = sharer();
  let worker: Worker | undefined;
  let left = readHere;

  async function readInThread(texts: readonly string[]): Promise<ChunkContent[]> {
    worker ??= new Worker(workerFile, { resourceLimits: limits });
    worker.postMessage(texts);
    try {
      const [results] = (await once(worker, 'message')) as [readonly string[]];
      return results.map((json) => share(JSON.parse(json) as ChunkContent));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ERR_WORKER_OUT_OF_MEMORY') throw error;
      worker = undefined;
      const [text = '', ...others] = texts;
      if (others.length === 0) return [tooLarge(text)];
      const one = await readInThread([text]);
      return [...one, ...(await readInThread(others))];
    }
  }

  return {
    async read(texts) {
      const contents: ChunkContent[] = [];
      let since = performance.now();
      for (let i = 0; i < texts.length; ) {
        const text = texts[i] ?? '';
        if (text.length <= left) {
          left -= text.length;
          contents.push(share(readChunk(text)));
          i++;
        } else {
          left = 0;
          const count = countOfBatch(texts, i);
          contents.push(...(await readInThread(texts.slice(i, i + count))));
          i += count;
        }
        if (performance.now() - since < 10) continue;
        await setImmediate();
        since = performance.now();
      }
      return contents;
    },
    async [Symbol.asyncDispose]() {
      await worker?.terminate();
    },
  };
}

function countOfBatch(texts: readonly string[], from: number): number {
  let count = 0;
  let size = 0;
  for (let i = from; i < texts.length; i++) {
    size += texts[i]?.length ?? 0;
    if (count > 0 && size > batchSize) break;
    count++;
  }
  return count;
}

function tooLarge(text: string): ChunkContent {
  const size = `${Math.ceil(text.length / 1e6)} MB`;
  const message = `there is not enough memory to read a document of ${size}: make several of it`;
  return { readings: [], repeated: [], failure: { line: 1, column: 1, message } };
}
