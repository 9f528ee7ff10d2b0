import { createHash } from 'node:crypto';
import { gunzipSync } from 'node:zlib';
import test from 'ava';
import { fullName, makeImage } from './oci.ts';
import { makeTar } from './tar.ts';

const settings = {
  name: 'registry.test:5000/bpfsvc:1.2.3',
  architecture: 'arm64',
  entrypoint: ['/usr/bin/bpfsvc'],
  environment: ['A=b'],
  labels: { title: 'bpfsvc' },
};
const entries = [{ path: 'etc/text', kind: 'file', bytes: Buffer.from('hello') }] as const;

/** Path → bytes of an archive of ours. */
function filesOf(tar: Buffer): Map<string, Buffer> {
  const files = new Map<string, Buffer>();
  for (let at = 0; tar[at] !== 0; ) {
    const size = Number.parseInt(tar.toString('latin1', at + 124, at + 135), 8);
    const path = tar.toString('latin1', at, at + 100).replace(/\0.*/s, '');
    files.set(path, tar.subarray(at + 512, at + 512 + size));
    at += 512 + Math.ceil(size / 512) * 512;
  }
  return files;
}

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

test('makeImage(): each blob is called by its sum, and from the index everything is found', (t) => {
  const { archive, digest, size } = makeImage(settings, entries);
  const files = filesOf(archive);
  const blobs = [...files].filter(([path]) => /^blobs\/sha256\/./.test(path));
  for (const [path, bytes] of blobs) t.is(path, `blobs/sha256/${sha256(bytes)}`);
  const json = (path: string) => JSON.parse(files.get(path)?.toString() ?? 'null');
  const blob = (name: string) => `blobs/${name.replace(':', '/')}`;
  t.deepEqual(json('oci-layout'), { imageLayoutVersion: '1.0.0' });
  const [described] = json('index.json').manifests;
  t.is(described.digest, digest);
  t.deepEqual(described.platform, { architecture: 'arm64', os: 'linux' });
  t.is(described.annotations['io.containerd.image.name'], settings.name);
  const manifest = json(blob(digest));
  const config = json(blob(manifest.config.digest));
  t.deepEqual(config.config, {
    Entrypoint: ['/usr/bin/bpfsvc'],
    Env: ['A=b'],
    Labels: { title: 'bpfsvc' },
    WorkingDir: '/',
  });
  const layer = files.get(blob(manifest.layers[0].digest)) ?? Buffer.alloc(0);
  t.is(layer.length, size.compressed);
  t.deepEqual(gunzipSync(layer), makeTar(entries));
  t.deepEqual(config.rootfs.diff_ids, [`sha256:${sha256(makeTar(entries))}`]);
});

test('makeImage() is the same bytes each time, and another name is the same digest', (t) => {
  const one = makeImage(settings, entries);
  t.deepEqual(makeImage(settings, entries).archive, one.archive);
  t.is(makeImage({ ...settings, name: 'other:2' }, entries).digest, one.digest);
});

for (const [name, full] of [
  ['bpfsvc:1', 'docker.io/library/bpfsvc:1'],
  ['someone/bpfsvc:1', 'docker.io/someone/bpfsvc:1'],
  ['ghcr.io/someone/bpfsvc:1', 'ghcr.io/someone/bpfsvc:1'],
  ['localhost/bpfsvc:1', 'localhost/bpfsvc:1'],
  ['registry:5000/bpfsvc:1', 'registry:5000/bpfsvc:1'],
] as const) {
  test(`fullName() of ${name} is ${full}`, (t) => t.is(fullName(name), full));
}
