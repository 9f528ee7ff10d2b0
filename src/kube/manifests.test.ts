import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { chunkReader } from './chunk-reader.ts';
import { faultOf, readManifestFile } from './manifest-file.ts';
import { ManifestError, type ManifestSnapshot, readManifests, watchManifests } from './manifests.ts';

function service(name: string, port = 80): string {
  return `apiVersion: v1\nkind: Service\nmetadata:\n  name: ${name}\nspec:\n  ports:\n  - port: ${port}\n`;
}

/** A folder with these files in it, in a folder of its own: events of the other tests must not help. */
function folder(t: ExecutionContext, files: Record<string, string>): string {
  const parent = mkdtempSync(join(tmpdir(), 'bpfsvc-manifests-'));
  t.teardown(() => rmSync(parent, { recursive: true, force: true }));
  const path = join(parent, 'folder');
  chmodSync(parent, 0o755);
  mkdirSync(path);
  for (const [name, text] of Object.entries(files)) writeFileSync(join(path, name), text);
  return path;
}

function keys({ objects }: ManifestSnapshot): string[] {
  return [...objects.keys()].map((key) => key.replace('Service default/', ''));
}

function problems(snapshot: ManifestSnapshot): string[] {
  return snapshot.problems.map(({ object, reason }) => `${object}: ${reason}`);
}

/** 'name:port' of each Service. */
function ports({ objects }: ManifestSnapshot): string[] {
  return [...objects.values()].map((object) => {
    const port = object.kind === 'Service' ? object.spec.ports[0]?.port : '';
    return `${object.metadata.name}:${port}`;
  });
}

/** No poll that could find what a file event should have told. */
const never = 2 ** 31 - 1;

/** Watches `path`; `until` waits for a snapshot that is as asked, the last one if it is. */
async function watching(t: ExecutionContext, path: string, pollMs = never) {
  const seen: ManifestSnapshot[] = [];
  let wake = () => {};
  const source = await watchManifests(
    path,
    (snapshot) => {
      seen.push(snapshot);
      wake();
    },
    pollMs,
  );
  t.teardown(() => source.close());
  return {
    seen,
    async until(asked: (snapshot: ManifestSnapshot) => boolean): Promise<ManifestSnapshot> {
      for (;;) {
        const last = seen.at(-1);
        if (last !== undefined && asked(last)) return last;
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    },
  };
}

test('readManifests() takes .yaml, .yml and .json of a folder in byte order, and nothing else', async (t) => {
  const path = folder(t, {
    'b.yml': service('b'),
    'a.yaml': service('a'),
    'B.json': JSON.stringify({ apiVersion: 'v1', kind: 'ServiceList', items: [{ metadata: { name: 'capital' } }] }),
    'notes.txt': service('txt'),
    '.hidden.yaml': service('hidden'),
    'a.yaml~': service('backup'),
  });
  mkdirSync(join(path, 'deeper.yaml'));
  writeFileSync(join(path, 'deeper.yaml', 'c.yaml'), service('deeper'));
  const snapshot = await readManifests(path);
  t.deepEqual(keys(snapshot), ['capital', 'a', 'b']);
  t.deepEqual([snapshot.problems, snapshot.synced], [[], true]);
});

test('readManifests() takes one file of whatever name', async (t) => {
  t.deepEqual(keys(await readManifests(join(folder(t, { web: service('web') }), 'web'))), ['web']);
});

test('readManifests() of an empty folder is empty, and known to be', async (t) => {
  const { objects, synced } = await readManifests(folder(t, {}));
  t.deepEqual([objects.size, synced], [0, true]);
});

test('readManifests() the later document of a name wins, in whatever file, and the earlier is a Problem', async (t) => {
  const path = folder(t, { 'a.yaml': `${service('web', 1)}---\n${service('web', 2)}`, 'b.yaml': service('web', 3) });
  const snapshot = await readManifests(path);
  t.deepEqual(ports(snapshot), ['web:3']);
  t.deepEqual(problems(snapshot), [
    'Service default/web: it is in a.yaml line 1 and again in a.yaml line 8: the latter is used',
    'Service default/web: it is in a.yaml line 8 and again in b.yaml line 1: the latter is used',
  ]);
});

test('readManifests() what is bad is reported with its place, and its neighbours are read', async (t) => {
  const path = folder(t, {
    'a.yaml': `${service('a')}---\nx: [\n`,
    'b.yaml': `replicas: 3\n---\n${service('b')}`,
    'c.yaml': '',
    'd.yaml': `${service('d')}---\napiVersion: v1\nkind: Service\nmetadata: {}\n`,
    'e.json': '{"apiVersion": }',
    'h.yaml': `${service('h', 1)}  ports: [{port: 2}]\n`,
    'i.yaml': '{{- if .Values.enabled }}\nkind: Service\n{{- end }}\n',
    'j.yaml': 'apiVersion: v1\nkind: List\nitems: [5]\n',
  });
  writeFileSync(join(path, 'f.yaml'), Buffer.from([0x61, 0xff, 0xfe]));
  symlinkSync('nowhere', join(path, 'g.yaml'));
  const snapshot = await readManifests(path);
  t.deepEqual(keys(snapshot), ['a', 'b', 'd', 'h']);
  t.false(snapshot.synced);
  const found = problems(snapshot);
  t.is(found.length, 10);
  t.regex(found[0] ?? '', /^file a.yaml: line 10, column 1: not YAML: /);
  t.is(found[1], 'file b.yaml: line 1: not a Kubernetes object: it has no apiVersion');
  t.is(found[2], 'file c.yaml: is empty (0 bytes)');
  t.is(found[3], 'file d.yaml: line 8: Service (no name): metadata.name is missing');
  t.regex(found[4] ?? '', /^file e.json: line 1: not a Kubernetes object: it has no apiVersion|^file e.json: line 1/);
  t.is(found[5], 'file f.yaml: is not UTF-8 text: save it as UTF-8');
  t.is(found[6], 'file g.yaml: is a symbolic link to what does not exist');
  t.is(found[7], 'file h.yaml: line 8, column 3: the key is there already: the latter one counts');
  t.regex(found[8] ?? '', /^file i.yaml: line 1, column \d+: not YAML: .* \(\{\{ is of a template: render it first/);
  t.regex(found[9] ?? '', /^file j.yaml: line 1: List: items\[0\]: not a Kubernetes object: /);
});

test('readManifests() tells the lines of a file with a directive', async (t) => {
  const path = folder(t, { 'a.yaml': `%YAML 1.2\n---\n${service('web', 1)}---\n${service('web', 2)}---\nx: 1\n` });
  t.deepEqual(problems(await readManifests(path)), [
    'file a.yaml: line 18: not a Kubernetes object: it has no apiVersion',
    'Service default/web: it is in a.yaml line 2 and again in a.yaml line 10: the latter is used',
  ]);
});

test('readManifests() objects that are not of Kubernetes do not keep the rest from being complete', async (t) => {
  const path = folder(t, { 'values.yaml': 'replicas: 3\n', 'web.yaml': service('web') });
  t.true((await readManifests(path)).synced);
});

for (const [name, path, message] of [
  ['is not there', '/nowhere/at/all', '/nowhere/at/all does not exist'],
  ['is in something that is no folder', '/dev/null/x', '/dev/null/x does not exist'],
  ['is a device', '/dev/null', '/dev/null is neither a file nor a folder'],
] as const) {
  test(`readManifests() one sentence for a path that ${name}`, async (t) => {
    await t.throwsAsync(readManifests(path), { instanceOf: ManifestError, message });
    await t.throwsAsync(
      watchManifests(path, () => {}),
      { instanceOf: ManifestError, message },
    );
  });
}

test('readManifests() one sentence for a path without permission', (t) => {
  const path = folder(t, { 'web.yaml': service('web') });
  const program = `
    import { readManifests } from ${JSON.stringify(join(import.meta.dirname, 'manifests.ts'))};
    if (process.getuid() === 0) process.setgroups([]), process.setgid(65534), process.setuid(65534);
    for (const path of process.argv.slice(1)) await readManifests(path).then(({ problems }) => console.log(problems[0].reason), (error) => console.log(error.message));
  `;
  const ask = (...paths: string[]) =>
    execFileSync(process.execPath, ['--input-type=module', '-e', program, ...paths], { encoding: 'utf8' }).trim();
  chmodSync(path, 0o755);
  chmodSync(join(path, 'web.yaml'), 0);
  t.is(ask(path), 'may not be read by this user (permission denied)');
  const file = join(path, 'web.yaml');
  t.is(ask(file), `${file} may not be read by this user (permission denied)`);
  chmodSync(path, 0);
  t.is(ask(path), `${path} may not be read by this user (permission denied)`);
});

test('faultOf() other errors keep their own words', (t) => {
  t.is(
    faultOf(Object.assign(new Error('EMFILE: too many open files'), { code: 'EMFILE' })),
    'cannot be read: EMFILE: too many open files',
  );
  t.is(faultOf('odd'), 'cannot be read: odd');
});

test('watchManifests() tells the first snapshot at once, then each edit, file more and file less', async (t) => {
  const path = folder(t, { 'a.yaml': service('a') });
  const { seen, until } = await watching(t, path);
  t.deepEqual(seen.map(ports), [['a:80']]);
  writeFileSync(join(path, 'a.yaml'), service('a', 81));
  await until((snapshot) => ports(snapshot).join() === 'a:81');
  writeFileSync(join(path, 'b.yaml'), service('b'));
  await until((snapshot) => ports(snapshot).join() === 'a:81,b:80');
  rmSync(join(path, 'a.yaml'));
  t.deepEqual(problems(await until((snapshot) => ports(snapshot).join() === 'b:80')), []);
});

test('watchManifests() objects that an edit did not touch stay the same values', async (t) => {
  const path = folder(t, { 'a.yaml': `${service('a')}---\n${service('b')}` });
  const { seen, until } = await watching(t, path);
  writeFileSync(join(path, 'a.yaml'), `${service('a', 81)}---\n${service('b')}`);
  const after = await until((snapshot) => ports(snapshot).join() === 'a:81,b:80');
  t.is(after.objects.get('Service default/b'), seen[0]?.objects.get('Service default/b'));
});

for (const name of ['web.yaml', '']) {
  test(`watchManifests() sees a save by rename of ${name === '' ? 'a file in a folder' : 'the one file'}`, async (t) => {
    const path = folder(t, { 'web.yaml': service('web') });
    const { until } = await watching(t, join(path, name));
    for (const port of [81, 82, 83]) {
      writeFileSync(join(path, 'web.yaml.new'), service('web', port));
      renameSync(join(path, 'web.yaml.new'), join(path, 'web.yaml'));
      t.truthy(await until((snapshot) => ports(snapshot).join() === `web:${port}`));
    }
  });

  test(`watchManifests() sees the swap of a ConfigMap's link (${name || 'folder'})`, async (t) => {
    const path = folder(t, {});
    const generation = (n: number) => {
      mkdirSync(join(path, `..${n}`));
      writeFileSync(join(path, `..${n}`, 'web.yaml'), service('web', n));
      symlinkSync(`..${n}`, join(path, '..data.new'));
      renameSync(join(path, '..data.new'), join(path, '..data'));
    };
    generation(1);
    symlinkSync('..data/web.yaml', join(path, 'web.yaml'));
    const { until } = await watching(t, join(path, name));
    for (const n of [2, 3, 4]) {
      generation(n);
      rmSync(join(path, `..${n - 1}`), { recursive: true });
      t.deepEqual(problems(await until((snapshot) => ports(snapshot).join() === `web:${n}`)), []);
    }
  });
}

test('watchManifests() sees an edit of a file that a link leads to, elsewhere', async (t) => {
  const elsewhere = folder(t, { 'real.yaml': service('web') });
  const path = folder(t, {});
  symlinkSync(join(elsewhere, 'real.yaml'), join(path, 'web.yaml'));
  const { until } = await watching(t, path);
  // the first edit may be seen by the look that follows the first one anyway
  for (const port of [81, 82]) {
    writeFileSync(join(elsewhere, 'real.yaml'), service('web', port));
    t.truthy(await until((snapshot) => ports(snapshot).join() === `web:${port}`));
  }
});

test('watchManifests() goes on with a folder that took the place of the watched one', async (t) => {
  const parent = folder(t, {});
  const path = join(parent, 'live');
  mkdirSync(path);
  writeFileSync(join(path, 'web.yaml'), service('web'));
  const { until } = await watching(t, path);
  renameSync(path, join(parent, 'old'));
  mkdirSync(path);
  writeFileSync(join(path, 'web.yaml'), service('web', 81));
  await until((snapshot) => ports(snapshot).join() === 'web:81');
  writeFileSync(join(path, 'web.yaml'), service('web', 82));
  t.truthy(await until((snapshot) => ports(snapshot).join() === 'web:82'));
});

for (const [name, spoil, problem] of [
  ['is no longer YAML', (file: string) => writeFileSync(file, 'x: [\n'), /^file web.yaml: line 2, column 1: not YAML/],
  ['is cut off', (file: string) => truncateSync(file, 33), /^file web.yaml: line 3, column \d+: not YAML/],
  ['is emptied', (file: string) => truncateSync(file, 0), /^file web.yaml: is empty \(0 bytes\)/],
  [
    'becomes something else',
    (file: string) => writeFileSync(file, 'hello\n'),
    /^file web.yaml: line 1: not a Kubernetes object/,
  ],
] as const) {
  test(`watchManifests() a file that ${name} keeps what it last said until it is mended`, async (t) => {
    const path = folder(t, { 'web.yaml': service('web'), 'other.yaml': service('other') });
    const { until } = await watching(t, path);
    spoil(join(path, 'web.yaml'));
    writeFileSync(join(path, 'other.yaml'), service('other', 81));
    const spoilt = await until((snapshot) => snapshot.problems.length > 0 && ports(snapshot)[0] === 'other:81');
    t.deepEqual([ports(spoilt), spoilt.synced], [['other:81', 'web:80'], true]);
    t.regex(problems(spoilt)[0] ?? '', problem);
    t.is(problems(spoilt).at(-1), 'file web.yaml: what it last said stays in use');
    writeFileSync(join(path, 'web.yaml'), service('web', 82));
    const mended = await until((snapshot) => snapshot.problems.length === 0);
    t.deepEqual(ports(mended), ['other:81', 'web:82']);
  });
}

test('watchManifests() the same bad content again, and the same good content again, are no news', async (t) => {
  const path = folder(t, { 'web.yaml': service('web') });
  const { seen, until } = await watching(t, path);
  writeFileSync(join(path, 'web.yaml'), service('web'));
  writeFileSync(join(path, 'bad.yaml'), 'x: [\n');
  await until((snapshot) => snapshot.problems.length === 1);
  writeFileSync(join(path, 'bad.yaml'), 'x: [\n');
  writeFileSync(join(path, 'last.yaml'), service('last'));
  await until((snapshot) => keys(snapshot).includes('last'));
  t.is(seen.length, 3);
});

test('watchManifests() an object that an edit makes unusable stays as it last was', async (t) => {
  const path = folder(t, { 'web.yaml': `${service('web')}---\n${service('other')}` });
  const { until } = await watching(t, path);
  writeFileSync(
    join(path, 'web.yaml'),
    `${service('web').replace(/spec:[\s\S]*/, 'spec: none\n')}---\n${service('other', 81)}`,
  );
  const after = await until((snapshot) => snapshot.problems.length > 0);
  t.deepEqual(ports(after), ['web:80', 'other:81']);
  t.is(problems(after).at(-1), 'Service default/web: its last good state stays in use');
});

test('watchManifests() an object whose name an edit lost may be any that is missing', async (t) => {
  const path = folder(t, { 'web.yaml': `${service('web')}---\n${service('other')}---\n${service('third')}` });
  const { until } = await watching(t, path);
  writeFileSync(join(path, 'web.yaml'), `${service('""')}---\n${service('other', 81)}`);
  const after = await until((snapshot) => snapshot.problems.length > 0);
  t.deepEqual(ports(after), ['other:81', 'web:80', 'third:80']);
  writeFileSync(join(path, 'web.yaml'), service('other', 82));
  t.deepEqual(ports(await until((snapshot) => snapshot.problems.length === 0)), ['other:82']);
});

test('watchManifests() is synced once every file could be read, and stays so', async (t) => {
  const path = folder(t, { 'a.yaml': service('a'), 'b.yaml': `${service('b')}---\nx: [\n` });
  const { seen, until } = await watching(t, path);
  t.deepEqual([seen[0]?.synced, keys(seen[0] as ManifestSnapshot)], [false, ['a', 'b']]);
  writeFileSync(join(path, 'b.yaml'), service('b'));
  await until(({ synced }) => synced);
  writeFileSync(join(path, 'b.yaml'), 'x: [\n');
  t.true((await until((snapshot) => snapshot.problems.length > 0)).synced);
});

test('watchManifests() a path that goes away is a Problem, and is taken up again when it is back', async (t) => {
  const parent = folder(t, { 'web.yaml': service('web') });
  const path = join(parent, 'web.yaml');
  const { until } = await watching(t, path);
  rmSync(path);
  const gone = await until((snapshot) => snapshot.problems.length > 0);
  t.deepEqual(ports(gone), ['web:80']);
  t.deepEqual(problems(gone), [`manifests: ${path} does not exist: what was last read stays in use`]);
  writeFileSync(path, service('web', 81));
  t.deepEqual(ports(await until((snapshot) => snapshot.problems.length === 0)), ['web:81']);
});

test('watchManifests() a folder that goes away is a Problem, and is taken up again when it is back', async (t) => {
  const path = join(folder(t, {}), 'live');
  const fill = (port: number) => {
    mkdirSync(path);
    writeFileSync(join(path, 'web.yaml'), service('web', port));
  };
  fill(80);
  const { until } = await watching(t, path);
  rmSync(path, { recursive: true });
  t.deepEqual(ports(await until((snapshot) => problems(snapshot).join().includes('does not exist'))), ['web:80']);
  fill(81);
  t.deepEqual(ports(await until((snapshot) => snapshot.problems.length === 0)), ['web:81']);
});

test('watchManifests() polls for what file events do not tell', async (t) => {
  const elsewhere = folder(t, {});
  const path = folder(t, {});
  for (const n of [81, 82]) {
    mkdirSync(join(elsewhere, `v${n}`));
    writeFileSync(join(elsewhere, `v${n}`, 'web.yaml'), service('web', n));
    symlinkSync(`v${n}`, join(elsewhere, `hop${n}`));
  }
  renameSync(join(elsewhere, 'hop81'), join(elsewhere, 'hop'));
  symlinkSync(join(elsewhere, 'hop', 'web.yaml'), join(path, 'web.yaml'));
  const { until } = await watching(t, path, 200);
  renameSync(join(elsewhere, 'hop82'), join(elsewhere, 'hop'));
  t.truthy(await until((snapshot) => ports(snapshot).join() === 'web:82'));
});

test('readManifestFile() says the same values again if the content is the same, and looks twice soon after a change', async (t) => {
  const path = join(folder(t, { 'web.yaml': service('web') }), 'web.yaml');
  const first = await readManifestFile('web.yaml', path, null, chunkReader());
  writeFileSync(path, service('web'));
  const second = await readManifestFile('web.yaml', path, first, chunkReader());
  t.is(second.entries, first.entries);
  t.is(second.signature, '', 'a file that changed a moment ago is read again');
});

test('watchManifests() tells nothing after close()', async (t) => {
  const path = folder(t, { 'web.yaml': service('web') });
  let told = 0;
  const closed = await watchManifests(path, () => told++);
  closed.close();
  const { until } = await watching(t, path);
  writeFileSync(join(path, 'web.yaml'), service('web', 81));
  await until((snapshot) => ports(snapshot).join() === 'web:81');
  t.is(told, 1);
});
