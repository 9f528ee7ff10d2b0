import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { type Entry, makeTar } from './tar.ts';

export interface ImageSettings {
  /** 'bpfsvc:0.1.0': what containerd and podman call it when they import it. */
  readonly name: string;
  readonly architecture: string;
  readonly entrypoint: readonly string[];
  /** 'NAME=VALUE' */
  readonly environment: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
}

export interface Image {
  /** An OCI image layout as a tar archive. */
  readonly archive: Buffer;
  /** 'sha256:…' of the manifest: what a registry calls it. */
  readonly digest: string;
  /** Bytes that a node downloads, and that lie on its disk then. */
  readonly size: { readonly compressed: number; readonly unpacked: number };
}

interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}

const media = (what: string): string => `application/vnd.oci.image.${what}`;

/** An image of one layer. The same settings and entries are the same bytes. */
export function makeImage(settings: ImageSettings, entries: readonly Entry[]): Image {
  const blobs: Entry[] = [];
  const put = (mediaType: string, bytes: Uint8Array): Descriptor => {
    const digest = sha256(bytes);
    blobs.push({ path: `blobs/sha256/${digest.slice('sha256:'.length)}`, kind: 'file', bytes });
    return { mediaType, digest, size: bytes.length };
  };
  const tar = makeTar(entries);
  const layer = put(media('layer.v1.tar+gzip'), gzipSync(tar, { level: 9 }));
  const config = put(media('config.v1+json'), configOf(settings, sha256(tar)));
  const manifest = json({ schemaVersion: 2, mediaType: media('manifest.v1+json'), config, layers: [layer] });
  const described = put(media('manifest.v1+json'), manifest);
  const annotations = {
    'io.containerd.image.name': fullName(settings.name),
    'org.opencontainers.image.ref.name': settings.name.slice(settings.name.lastIndexOf(':') + 1),
  };
  const platform = { architecture: settings.architecture, os: 'linux' };
  const index = {
    schemaVersion: 2,
    mediaType: media('index.v1+json'),
    manifests: [{ ...described, platform, annotations }],
  };
  const archive = makeTar([
    ...blobs,
    { path: 'index.json', kind: 'file', bytes: json(index) },
    { path: 'oci-layout', kind: 'file', bytes: json({ imageLayoutVersion: '1.0.0' }) },
  ]);
  return { archive, digest: described.digest, size: { compressed: layer.size, unpacked: tar.length } };
}

/** As a runtime calls 'bpfsvc:0.1.0', which it would look for at Docker's registry if it had none. */
export function fullName(name: string): string {
  const parts = name.split('/');
  const [first = ''] = parts;
  if (parts.length > 1 && /[.:]|^localhost$/.test(first)) return name;
  return `docker.io/${parts.length === 1 ? 'library/' : ''}${name}`;
}

function configOf({ architecture, entrypoint, environment, labels }: ImageSettings, diffId: string): Buffer {
  return json({
    architecture,
    os: 'linux',
    config: { Entrypoint: entrypoint, Env: environment, Labels: labels, WorkingDir: '/' },
    rootfs: { type: 'layers', diff_ids: [diffId] },
  });
}

function json(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}

function sha256(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}
