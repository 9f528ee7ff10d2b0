import assert from 'node:assert/strict';
import test from 'ava';
import { openPinned, readPinned, runAgentIn, service, writeManifest } from '../test/agent.ts';
import { eventually } from '../test/netns/eventually.ts';
import { makeSandbox } from '../test/sandbox.ts';
import { connections, connectionsKey, frontend } from './layout.gen.ts';
import { addressToHex } from './model/address.ts';

const box = makeSandbox();
test.after.always(() => box.close());

/** However busy this machine is. */
async function settles(attempt: () => void | Promise<void>): Promise<void> {
  await eventually(attempt, 60);
}

test('runAgent() counts flows anew where a scheduler asks for them, and forgets backends that nobody can choose', async (t) => {
  const name = 'recount';
  const [web, ...slices] = service('web', '10.96.0.1', ['10.1.0.1']) as [{ metadata: object }, ...object[]];
  const metadata = { ...web.metadata, annotations: { 'bpfsvc.dev/scheduler': 'lc' } };
  const manifests = writeManifest(box, 'recount.json', [{ ...web, metadata }, ...slices]);
  const first = runAgentIn(box, { name, manifests });
  await settles(async () => assert.equal((await readPinned(box, name)).names.size, 1));
  await first.stop();

  const bytes = (hex: string) => Buffer.from(hex, 'hex');
  using generation = openPinned(box, name);
  const { flow_connections: counts } = generation.state;
  const [value = ''] = [...(await readPinned(box, name)).frontends.values()].slice(-1);
  const { servicePort } = frontend.decode(value);
  const keyOf = (address: string) =>
    bytes(connectionsKey.encode({ address: addressToHex(address), servicePort, port: 8080 }));
  for (const address of ['10.1.0.1', '10.1.0.9']) counts.update(keyOf(address), bytes(connections.encode(5)));
  const second = runAgentIn(box, { name, manifests });
  await settles(() => assert.equal(counts.lookup(keyOf('10.1.0.9')), undefined));
  await settles(() => assert.deepEqual([...(counts.lookup(keyOf('10.1.0.1')) ?? [])], [0, 0, 0, 0]));
  t.deepEqual(counts.lookup(keyOf('10.1.0.9')), undefined, 'and it does not come back');
  await second.stop();
});
