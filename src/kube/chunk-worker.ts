import { parentPort } from 'node:worker_threads';
import { readChunk } from './chunk.ts';

/*
 * A thread that parses: texts in, as many JSON texts of ChunkContent out. Text, since taking over a clone of so many small
 * objects would keep the other thread longer than reading them.
 */
parentPort?.on('message', (texts: readonly string[]) => {
  parentPort?.postMessage(texts.map((text) => JSON.stringify(readChunk(text))));
});
