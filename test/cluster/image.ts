/** Container images made of folders, with tar and nothing else: an OCI layout in a file that `ctr images import` takes. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream, mkdirSync, mkdtempSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { arch } from 'node:os';
import { join } from 'node:path';

export interface Image {
  /** All that it is known as, with registry and tag. */
  readonly names: readonly string[];
  /** Folders, the lowest first; one that several images share is stored once. */
  readonly layers: readonly string[];
  /** As in an OCI image's configuration: Entrypoint, Cmd, Env, User, … */
  readonly config: object;
}

interface Blob {
  readonly digest: string;
  readonly size: number;
}

/** Writes all of them into one archive. */
export async function writeImages(images: readonly Image[], archive: string): Promise<void> {
  const work = mkdtempSync(`${archive}-`);
  const blobs = join(work, 'blobs/sha256');
  mkdirSync(blobs, { recursive: true });
  const layers = new Map<string, Blob>();
  for (const folder of new Set(images.flatMap((image) => image.layers))) layers.set(folder, await layer(folder, blobs));
  const manifests = images.flatMap((image) => describe(image, layers, blobs));
  writeFileSync(join(work, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  writeFileSync(join(work, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests }));
  execFileSync('tar', ['-C', work, '-cf', archive, '.']);
  rmSync(work, { recursive: true });
}

async function layer(folder: string, blobs: string): Promise<Blob> {
  const file = join(blobs, 'layer');
  const plain = ['--sort=name', '--mtime=@0', '--owner=0', '--group=0', '--numeric-owner'];
  execFileSync('tar', [...plain, '-C', folder, '-cf', file, '.']);
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(file)) hash.update(chunk);
  const digest = hash.digest('hex');
  renameSync(file, join(blobs, digest));
  return { digest: `sha256:${digest}`, size: statSync(join(blobs, digest)).size };
}

function describe(image: Image, layers: ReadonlyMap<string, Blob>, blobs: string): object[] {
  const put = (object: object): Blob => {
    const text = JSON.stringify(object);
    const digest = createHash('sha256').update(text).digest('hex');
    writeFileSync(join(blobs, digest), text);
    return { digest: `sha256:${digest}`, size: Buffer.byteLength(text) };
  };
  const own = image.layers.map((folder) => layers.get(folder) as Blob);
  const platform = { architecture: arch() === 'x64' ? 'amd64' : arch(), os: 'linux' };
  const config = put({
    ...platform,
    config: image.config,
    rootfs: { type: 'layers', diff_ids: own.map(({ digest }) => digest) },
  });
  const mediaType = 'application/vnd.oci.image.manifest.v1+json';
  const manifest = put({
    schemaVersion: 2,
    mediaType,
    config: { mediaType: 'application/vnd.oci.image.config.v1+json', ...config },
    layers: own.map((blob) => ({ mediaType: 'application/vnd.oci.image.layer.v1.tar', ...blob })),
  });
  return image.names.map((name) => ({
    mediaType,
    ...manifest,
    annotations: { 'io.containerd.image.name': name, 'org.opencontainers.image.ref.name': name.split(':').at(-1) },
  }));
}
