/**
 * Makes the image without Docker, as an OCI image layout in a tar archive: `node deploy/image/run.ts [amd64|arm64|native] [NAME:TAG]`.
 * build/image/bpfsvc-ARCH.tar is what `ctr images import`, `podman load`, `skopeo copy oci-archive:` and kind take.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import about from '../../package.json' with { type: 'json' };
import { architectureOf } from './architecture.ts';
import { collectContent, environment } from './content.ts';
import { type Image, makeImage } from './oci.ts';

const root: string = fileURLToPath(new URL('../../', import.meta.url));

/** Makes it; `work` is a folder that is emptied first. */
export async function makeOwnImage(architecture: string, name: string, work: string): Promise<Image> {
  const content = await collectContent(architectureOf(architecture), { root, cache: join(root, '.cache/image'), work });
  const labels = {
    'org.opencontainers.image.title': about.name,
    'org.opencontainers.image.description': about.description,
    'org.opencontainers.image.version': about.version,
    'org.opencontainers.image.licenses': about.license,
  };
  return makeImage({ name, architecture, entrypoint: ['/usr/bin/bpfsvc'], environment, labels }, content);
}

if (import.meta.main) {
  const [asked = 'native', name = `bpfsvc:${about.version}`] = process.argv.slice(2);
  const own = process.arch === 'arm64' ? 'arm64' : 'amd64';
  const architecture = asked === 'native' ? own : asked;
  const folder = join(root, 'build/image');
  mkdirSync(folder, { recursive: true });
  const { archive, digest, size } = await makeOwnImage(architecture, name, join(folder, `work-${architecture}`));
  const path = join(folder, `bpfsvc-${architecture}.tar`);
  writeFileSync(path, archive);
  const mb = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;
  console.log(`${path}: ${name}, ${architecture}, ${mb(size.compressed)}, unpacked ${mb(size.unpacked)}\n${digest}`);
}
