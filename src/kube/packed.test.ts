import test from 'ava';
import fc from 'fast-check';
import type { Endpoint } from '../model/service.ts';
import { sameValue } from './equality.ts';
import type { SliceObject } from './objects.ts';
import { firstOfEquals, packEndpoints, slicePacker } from './packed.ts';

const names = fc.constantFrom('', 'n1', 'n 2', 'true');
const hints = fc.array(fc.record({ name: names }), { maxLength: 2 });
const flag = fc.constantFrom(true, false, null);

const sliceEndpoint = fc.record({
  addresses: fc.constantFrom(['10.0.0.1'], ['fd00::1'], ['10.0.0.2', '10.0.0.3'], [], [''], ['10.0.0.1 10.0.0.2']),
  conditions: fc.record({ ready: flag, serving: flag, terminating: flag }),
  nodeName: names,
  hints: fc.record({ forZones: hints, forNodes: hints }),
});

function sliceOf(endpoints: SliceObject['endpoints']): SliceObject {
  const metadata = { namespace: 'default', name: 'a', labels: {}, creationTimestamp: '', deletionTimestamp: '' };
  return { kind: 'EndpointSlice', metadata, addressType: 'IPv4', ports: [], endpoints };
}

test('slicePacker() keeps what is read of an endpoint: its first address and all that is said of it', (t) => {
  const pack = slicePacker();
  const lists = fc.array(sliceEndpoint, { maxLength: 5 });
  fc.assert(
    fc.property(lists, lists, (a, b) => {
      const read = (endpoints: SliceObject['endpoints']) =>
        endpoints.map(({ addresses, ...rest }) => ({ address: addresses[0] ?? '', ...rest }));
      const packed = pack(sliceOf(a));
      t.deepEqual(read(packed.endpoints), read(a));
      t.true(sameValue(packed, slicePacker()(sliceOf(structuredClone(a)))), 'equal whoever packed it');
      if (sameValue(packed, pack(sliceOf(b)))) t.deepEqual(read(b), read(a));
    }),
  );
});

const endpoint = fc.record({
  address: fc.constantFrom('10.0.0.1', 'fd00::1'),
  port: fc.constantFrom(80, 8080),
  ready: fc.boolean(),
  serving: fc.boolean(),
  terminating: fc.boolean(),
  nodeName: names,
  zoneHints: fc.array(names, { maxLength: 2 }),
  nodeHints: fc.array(names, { maxLength: 2 }),
});

test('packEndpoints() keeps endpoints as they are, by port, in their order', (t) => {
  const ports = fc.uniqueArray(fc.tuple(names, fc.array(endpoint, { maxLength: 5 })), { selector: ([key]) => key });
  fc.assert(
    fc.property(ports, (found) => {
      const packed = packEndpoints(found);
      t.deepEqual(
        [...packed.keys()].map((key): [string, readonly Endpoint[] | undefined] => [key, packed.get(key)]),
        found,
      );
      t.deepEqual(
        [...packed.values()],
        found.map(([, endpoints]) => endpoints),
      );
      t.true(sameValue(packed, packEndpoints(structuredClone(found))));
      t.is(packed.get('another'), undefined);
    }),
  );
});

test('firstOfEquals() starts anew when it knows too many', (t) => {
  const once = firstOfEquals<object>(2);
  const [a, b] = [{}, {}];
  t.is(once('a', a), a);
  t.is(once('a', b), a);
  once('b', b);
  once('c', b);
  t.is(once('a', b), b);
});
