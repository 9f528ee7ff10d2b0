import { readFile } from 'node:fs/promises';
import type { SecureContextOptions } from 'node:tls';

/** How an API server is reached, and who we are to it. */
export interface Cluster {
  readonly server: URL;
  readonly tls: SecureContextOptions & { readonly rejectUnauthorized?: boolean; readonly servername?: string };
  /** '' for none. */
  readonly authorization: string;
}

/** The message is one sentence for people. */
export class ClusterError extends Error {
  override readonly name = 'ClusterError';
}

/** Throws a ClusterError with a sentence for people. */
export async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    throw new ClusterError(`${path} cannot be read: ${(error as Error).message}`);
  }
}

/** `where` is what people call the place it stands in. A host alone is one of http, as kubectl has it. */
export function parseServer(text: string, where: string): URL {
  const url = URL.parse(/^[a-z]+:\/\//i.test(text) ? text : `http://${text}`);
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    throw new ClusterError(`${where} ${text} is not the URL of an API server, such as https://10.0.0.1:6443`);
  }
  return url;
}
