import assert from 'node:assert/strict';
import test from 'ava';
import { readPinned, runAgentIn, service, writeManifest } from '../test/agent.ts';
import { eventually } from '../test/netns/eventually.ts';
import { makeSandbox } from '../test/sandbox.ts';
import { frontendKey, sourceRangeKey, wire } from './layout.gen.ts';
import { addressFromHex } from './model/address.ts';

const box = makeSandbox();
test.after.always(() => box.close());

/** However busy this machine is. */
async function settles(attempt: () => void | Promise<void>): Promise<void> {
  await eventually(attempt, 60);
}

test('runAgent() offers nodePorts on addresses as they come and go, and knows the sources of its wires', async (t) => {
  const name = 'outside';
  const [web, ...slices] = service('web', '10.96.0.1', ['10.1.0.1']) as [{ spec: object }, ...object[]];
  const front = { ...web, spec: { ...web.spec, type: 'LoadBalancer', loadBalancerSourceRanges: ['10.9.0.0/16'] } };
  const status = { loadBalancer: { ingress: [{ ip: '203.0.113.1' }] } };
  box.addPod('uplink1');
  const manifests = writeManifest(box, 'outside.json', [{ ...front, status }, ...slices]);
  const all = { primary: false, localhost: true, cidrs: [{ address: '192.0.2.0', prefixLength: 24 }] };
  const devices = new Map([['uplink1', 'wire']] as const);
  const agent = runAgentIn(box, { name, manifests, nodePorts: all, devices });
  const nodeAddresses = async () => [...(await readPinned(box, name)).node_addresses.keys()].map(addressFromHex).sort();
  const sources = async () =>
    [...(await readPinned(box, name)).wires.values()].map((value) => addressFromHex(wire.decode(value).ipv4));
  await settles(async () => assert.deepEqual(await nodeAddresses(), ['127.0.0.1', '::1']));
  const first = await readPinned(box, name);
  const ports = [...first.frontends.keys()].map((key) => frontendKey.decode(key));
  t.true(ports.some(({ address, port }) => addressFromHex(address) === '0.0.0.0' && port >= 30_000));
  t.deepEqual(
    [...first.source_ranges.keys()].map((key) => sourceRangeKey.decode(key).prefixLength),
    [32 + 96 + 16],
  );
  t.deepEqual(await sources(), ['::'], 'all zero: none');

  box.ip('addr', 'add', '192.0.2.7/24', 'dev', 'uplink1');
  box.ip('addr', 'add', '198.51.100.7/24', 'dev', 'uplink1');
  await settles(async () => assert.deepEqual(await nodeAddresses(), ['127.0.0.1', '192.0.2.7', '::1']));
  await settles(async () => assert.deepEqual(await sources(), ['192.0.2.7']));
  t.deepEqual((await readPinned(box, name)).frontends, first.frontends, 'nothing else is touched');
  box.ip('addr', 'del', '192.0.2.7/24', 'dev', 'uplink1');
  await settles(async () => assert.deepEqual(await nodeAddresses(), ['127.0.0.1', '::1']));
  await settles(async () => assert.deepEqual(await sources(), ['198.51.100.7']));
  box.ip('link', 'del', 'uplink1');
  await settles(async () => assert.deepEqual(await sources(), []));
  await agent.stop();
});
