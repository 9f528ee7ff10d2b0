import { createWriteStream, renameSync, rmSync } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { pack } from 'tar-stream';
import { blotted } from './blot.ts';

/** One file of the bundle. */
export interface Part {
  /** Below the bundle's folder: 'dump/services.json'. */
  readonly path: string;
  readonly text: string;
  /** Why there is less in it than there should be. */
  readonly fault?: string;
}

/** Writes FILE.tar.gz, whole or not at all, for its owner's eyes. Everything passes by here, so that no credential leaves. */
export async function writeArchive(file: string, folder: string, parts: readonly Part[]): Promise<void> {
  const archive = pack();
  const unfinished = `${file}.part`;
  const written = pipeline(archive, createGzip(), createWriteStream(unfinished, { mode: 0o600 }));
  for (const { path, text } of parts) archive.entry({ name: `${folder}/${path}`, mode: 0o600 }, blotted(text));
  archive.finalize();
  try {
    await written;
    renameSync(unfinished, file);
  } catch (error) {
    rmSync(unfinished, { force: true });
    throw error;
  }
}
