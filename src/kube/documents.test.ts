import test from 'ava';
import fc from 'fast-check';
import { parseAllDocuments } from 'yaml';
import { chunkReader } from './chunk-reader.ts';
import { objectsOf, readDocuments, splitDocuments } from './documents.ts';
import { objectKey } from './objects.ts';

const service = (name: string) => `apiVersion: v1\nkind: Service\nmetadata: {name: ${name}}\n`;

async function read(text: string): Promise<{ names: string[]; failures: string[] }> {
  const { chunks } = await readDocuments(text, new Map(), chunkReader());
  const failures = chunks.flatMap(({ line, content: { failure } }) =>
    failure === null ? [] : `${line + failure.line - 1}:${failure.column}`,
  );
  return { names: objectsOf(chunks).map(objectKey), failures };
}

for (const [name, text, names] of [
  ['one document', service('a'), ['a']],
  ['several', `${service('a')}---\n${service('b')}`, ['a', 'b']],
  ['a separator in front and behind', `---\n${service('a')}---\n`, ['a']],
  ['comments between', `# one\n---\n# two\n${service('a')}--- # three\n${service('b')}`, ['a', 'b']],
  ['content on the line of the separator', '--- {apiVersion: v1, kind: Service, metadata: {name: a}}\n', ['a']],
  ['an end mark', `${service('a')}...\n---\n${service('b')}...\n`, ['a', 'b']],
  ['a directive', `%YAML 1.2\n---\n${service('a')}---\n${service('b')}`, ['a', 'b']],
  [
    'a directive that the document needs',
    `%TAG !k! tag:yaml.org,2002:\n---\napiVersion: v1\nkind: !k!str Service\nmetadata: {name: a}\n`,
    ['a'],
  ],
  ['carriage returns', `${service('a')}---\n${service('b')}`.replaceAll('\n', '\r\n'), ['a', 'b']],
  ['JSON', '{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}}', ['a']],
  ['JSON behind a separator', '---\n{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}}\n', ['a']],
  [
    'flow style with trailing commas',
    '---\n{\n  apiVersion: "v1",\n  kind: "Service",\n  metadata: {\n    name: "a",\n  },\n}\n',
    ['a'],
  ],
  [
    'anchors and merge keys',
    'apiVersion: v1\nkind: Service\nmetadata: &m {name: a}\nspec: {selector: {<<: *m}}\n',
    ['a'],
  ],
  ['nothing', '\n# nothing\n', []],
  ['a separator inside of indented text', `${service('a')}data: |\n  ---\n  x\n---\n${service('b')}`, ['a', 'b']],
] as const) {
  test(`readDocuments() ${name}`, async (t) => {
    t.deepEqual(await read(text), { names: names.map((one) => `Service default/${one}`), failures: [] });
  });
}

for (const [name, text, failure] of [
  ['a bracket that never closes', `${service('a')}---\nx: [\n---\n${service('b')}`, '6:1'],
  ['a tab for indentation', `${service('a')}---\nx:\n\ty: 1\n---\n${service('b')}`, '6:1'],
  ['JSON that is cut off', `${service('a')}---\n{"apiVersion": "v1",\n---\n${service('b')}`, '6:1'],
] as const) {
  test(`readDocuments() says where it fails and reads its neighbours: ${name}`, async (t) => {
    const { names, failures } = await read(text);
    t.deepEqual(names, ['Service default/a', 'Service default/b']);
    t.is(failures.length, 1);
    t.is(failures[0], failure);
  });
}

for (const [name, text] of [
  ['an alias of nothing', 'a: *b'],
  [
    'aliases without end',
    `a: &a [x, x, x]\n${'bcdefgh'.replace(/./g, (key) => `${key}: &${key} [${`*${String.fromCharCode(key.charCodeAt(0) - 1)}, `.repeat(9)}]\n`)}`,
  ],
] as const) {
  test(`readDocuments() survives ${name}`, async (t) => t.is((await read(text)).failures.length, 1));
}

for (const [name, text, lines] of [
  ['of one chunk with a directive', `%YAML 1.2\n---\n${service('a')}---\n# b\n${service('b')}---\nx: 1\n`, [2, 6, 11]],
  [
    'each with its directive',
    `%YAML 1.2\n---\n${service('a')}...\n---\n${service('b')}...\n%YAML 1.2\n---\nx: 1\n`,
    [2, 7, 13],
  ],
  ['after an end mark alone', `${service('a')}...\n${service('b')}...\nx: 1\n`, [1, 5, 9]],
] as const) {
  test(`readDocuments() tells the line of documents ${name}`, async (t) => {
    const { chunks } = await readDocuments(text, new Map(), chunkReader());
    const found = chunks.flatMap(({ line, content }) => content.readings.map((reading) => line + reading.line - 1));
    t.deepEqual(found, [...lines]);
  });
}

test('readDocuments() of a key that occurs twice takes the later one, and says where', async (t) => {
  const text = `${service('a')}---\napiVersion: v1\nkind: Service\nmetadata: {name: b}\nmetadata: {name: c}\n`;
  const { chunks } = await readDocuments(text, new Map(), chunkReader());
  t.deepEqual(objectsOf(chunks).map(objectKey), ['Service default/a', 'Service default/c']);
  t.deepEqual(chunks[1]?.content.repeated, [{ line: 5, column: 1 }]);
});

const fragment = fc.oneof(
  fc.string(),
  fc.constantFrom(
    '\n',
    ': ',
    '- ',
    '---\n',
    '%YAML 1.1\n',
    '&a ',
    '*a',
    '!!binary ',
    '!!set ',
    '<<: ',
    '? ',
    '|\n',
    '"',
    '{',
    '}',
    '[',
    ']',
    ',',
    service('a'),
  ),
);

test('readDocuments() never throws, whatever the text', async (t) => {
  const anyText = fc.asyncProperty(fc.array(fragment, { maxLength: 12 }), async (fragments) => {
    await readDocuments(fragments.join(''), new Map(), chunkReader());
  });
  await t.notThrowsAsync(async () => await fc.assert(anyText, { numRuns: 3000 }));
});

test('readDocuments() keeps the objects of documents that did not change, wherever they moved', async (t) => {
  const first = await readDocuments(`${service('a')}---\n${service('b')}`, new Map(), chunkReader());
  const second = await readDocuments(`# new\n---\n${service('c')}---\n${service('b')}`, first.cache, chunkReader());
  t.is(objectsOf(second.chunks)[1], objectsOf(first.chunks)[1]);
  t.deepEqual(
    second.chunks.map(({ line }) => line),
    [1, 2, 6],
  );
  t.is(second.cache.size, 3);
});

const line = fc.constantFrom(
  'a: 1',
  'b:',
  '  - x',
  '---',
  '--- # c',
  '---x',
  ' ---',
  '...',
  '# c',
  '',
  'c: |',
  '  text',
  '"q',
  'q"',
  '[',
  ']',
  '--- |',
);

test('splitDocuments() finds the documents that the parser finds in the whole', (t) => {
  fc.assert(
    fc.property(fc.array(line, { maxLength: 12 }), (lines) => {
      const text = lines.join('\n');
      const parts = splitDocuments(text);
      t.is(parts.map(({ part }) => part).join(''), text);
      for (const { line: at, part } of parts)
        t.true(
          text
            .split('\n')
            .slice(at - 1)
            .join('\n')
            .startsWith(part),
        );
      const whole = parseAllDocuments(text, { logLevel: 'error' });
      if (!Array.isArray(whole) || whole.some(({ errors }) => errors.length > 0)) return;
      const values = (source: string) =>
        parseAllDocuments(source, { logLevel: 'error' })
          .map((document) => document.toJS())
          .filter((value) => value !== null);
      t.deepEqual(
        parts.flatMap(({ part }) => values(part)),
        values(text),
      );
    }),
    { numRuns: 3000 },
  );
});
