import test from 'ava';
import { type ChunkContent, readChunk } from './chunk.ts';
import { chunkReader } from './chunk-reader.ts';

const endpoint = '  - {addresses: [10.0.0.1], conditions: {ready: true}, nodeName: n1}\n';

function slice(name: string, count: number): string {
  return `---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: ${name}}\naddressType: IPv4\nendpoints:\n${endpoint.repeat(count)}`;
}

/** Slices come packed: their endpoints are seen by who asks for them. */
function plain(content: ChunkContent): ChunkContent {
  const readings = content.readings.map((reading) => ({
    ...reading,
    objects: reading.objects.map((object) => {
      if (object.kind !== 'EndpointSlice') return object;
      const { kind, metadata, addressType, ports, endpoints } = object;
      return { kind, metadata, addressType, ports, endpoints };
    }),
  }));
  return { ...content, readings };
}

test('read() says the same of a chunk in its thread as here, each at its place', async (t) => {
  await using reader = chunkReader();
  const texts = ['x: [', slice('large', 5000), 'a: 1\na: 2\n', slice('b', 1), '{"kind": 1}', slice('large2', 4000), ''];
  const read = texts.map(readChunk);
  t.deepEqual((await reader.read(texts)).map(plain), read);
  t.deepEqual((await reader.read(texts.toReversed())).map(plain), read.toReversed(), 'the thread is there already');
  t.deepEqual(await reader.read([]), []);
});

test('read() lets endpoints share what is equal', async (t) => {
  await using reader = chunkReader();
  const [content] = await reader.read([slice('large', 5000)]);
  const [object] = content?.readings[0]?.objects ?? [];
  if (object?.kind !== 'EndpointSlice') return t.fail();
  const [first, second] = object.endpoints;
  t.not(first, second);
  t.is(first?.conditions, second?.conditions);
  t.is(first?.hints, second?.hints);
});

test('read() of a document that does not fit into memory is a failure of that one alone', async (t) => {
  await using reader = chunkReader({ maxOldGenerationSizeMb: 32 });
  const found = await reader.read([slice('a', 10), slice('huge', 40_000), slice('b', 10)]);
  t.deepEqual(
    found.map(({ failure }) => failure?.message),
    [undefined, 'there is not enough memory to read a document of 3 MB: make several of it', undefined],
  );
});
