import test from 'ava';
import fc from 'fast-check';
import { changeClaims, claimKey, clusterOwnerOf, compareSeniority, emptyClaims, ownerOf } from './claims.ts';
import { type Service, serviceName } from './service.ts';

function service(name: string, more: Partial<Service> = {}): Service {
  return {
    namespace: 'default',
    name,
    created: '2025-01-01T00:00:00Z',
    clusterIPs: ['10.96.0.1'],
    externalIPs: [],
    loadBalancerIPs: [],
    sourceRanges: [],
    ports: [{ name: '', protocol: 'TCP', number: 80, nodePort: 0 }],
    affinitySeconds: 0,
    scheduler: 'random',
    internalLocal: false,
    externalLocal: false,
    healthCheckNodePort: 0,
    ...more,
  };
}

const port80 = claimKey('10.96.0.1', { number: 80, protocol: 'TCP' });
const udp80 = claimKey('10.96.0.1', { number: 80, protocol: 'UDP' });
const address = claimKey('10.96.0.1');

const seniority: readonly [name: string, senior: Service, junior: Service][] = [
  ['the older', service('b', { created: '2024-12-31T23:59:59Z' }), service('a')],
  ['the older across time zones', service('b', { created: '2025-01-01T00:30:00+01:00' }), service('a')],
  ['of equals the lesser name', service('a'), service('b')],
  ['of equals the lesser namespace', service('b', { namespace: 'a' }), service('a', { namespace: 'b' })],
  ['known age before unknown', service('b'), service('a', { created: '' })],
  ['known age before nonsense', service('b'), service('a', { created: 'yesterday' })],
  ['of unknown ages the lesser name', service('a', { created: '' }), service('b', { created: '' })],
];

for (const [name, senior, junior] of seniority) {
  test(`compareSeniority() prefers ${name}`, (t) => {
    t.true(compareSeniority(senior, junior) < 0);
    t.true(compareSeniority(junior, senior) > 0);
    t.is(compareSeniority(senior, senior), 0);
  });
}

test('changeClaims() gives a claim to the senior, whoever came first', (t) => {
  const claims = emptyClaims();
  t.deepEqual([...changeClaims(claims, 'default/b', service('b'))], []);
  t.deepEqual([...changeClaims(claims, 'default/a', service('a'))], ['default/b']);
  t.is(ownerOf(claims, port80), 'default/a');
  t.deepEqual([...changeClaims(claims, 'default/c', service('c'))], []);
  t.is(ownerOf(claims, port80), 'default/a');
  t.is(ownerOf(claims, address), 'default/a');
});

test('changeClaims() gives it to the next when the winner goes', (t) => {
  const claims = emptyClaims();
  for (const name of ['a', 'b', 'c']) changeClaims(claims, `default/${name}`, service(name));
  t.deepEqual([...changeClaims(claims, 'default/a', undefined)].sort(), ['default/b', 'default/c']);
  t.is(ownerOf(claims, port80), 'default/b');
  t.deepEqual([...changeClaims(claims, 'default/b', service('b', { clusterIPs: [] }))], ['default/c']);
  t.is(ownerOf(claims, port80), 'default/c');
  changeClaims(claims, 'default/c', undefined);
  t.is(ownerOf(claims, port80), undefined);
  t.is(claims.claimants.size, 0);
});

test('changeClaims() lets two Services share an address with different ports', (t) => {
  const claims = emptyClaims();
  const udp = service('b', { ports: [{ name: '', protocol: 'UDP', number: 80, nodePort: 0 }] });
  changeClaims(claims, 'default/a', service('a'));
  t.deepEqual([...changeClaims(claims, 'default/b', udp)], []);
  t.is(ownerOf(claims, port80), 'default/a');
  t.is(ownerOf(claims, udp80), 'default/b');
  t.is(ownerOf(claims, address), 'default/a');
  t.deepEqual([...changeClaims(claims, 'default/a', undefined)], ['default/b']);
  t.is(ownerOf(claims, address), 'default/b');
});

test('changeClaims() takes a nodePort for a port of every address of its family and protocol', (t) => {
  const claims = emptyClaims();
  const at = (more: Partial<Service['ports'][number]>) => [
    { name: '', protocol: 'TCP' as const, number: 80, nodePort: 30080, ...more },
  ];
  changeClaims(claims, 'default/a', service('a', { ports: at({}) }));
  changeClaims(claims, 'default/b', service('b', { ports: at({ number: 81 }), clusterIPs: ['10.96.0.2', 'fd00::2'] }));
  changeClaims(claims, 'default/c', service('c', { ports: at({ protocol: 'UDP' }), clusterIPs: ['10.96.0.3'] }));
  const owner = (address: string, protocol: 'TCP' | 'UDP') =>
    ownerOf(claims, claimKey(address, { number: 30080, protocol }));
  t.is(owner('0.0.0.0', 'TCP'), 'default/a');
  t.is(owner('::', 'TCP'), 'default/b');
  t.is(owner('0.0.0.0', 'UDP'), 'default/c');
  t.is(owner('::', 'UDP'), undefined);
});

test('changeClaims() gives an address as such to whom it is a clusterIP, a port of it to the senior', (t) => {
  const claims = emptyClaims();
  const outside = service('a', { clusterIPs: ['10.96.0.9'], externalIPs: ['10.96.0.1'] });
  changeClaims(claims, 'default/a', outside);
  t.is(ownerOf(claims, address), 'default/a');
  t.is(clusterOwnerOf(claims, '10.96.0.1'), undefined);
  t.deepEqual([...changeClaims(claims, 'default/b', service('b'))], ['default/a']);
  t.is(ownerOf(claims, address), 'default/b');
  t.is(clusterOwnerOf(claims, '10.96.0.1'), 'default/b');
  t.is(ownerOf(claims, port80), 'default/a');
});

test('changeClaims() claims nothing outside of a family that the Service has no clusterIP of', (t) => {
  const claims = emptyClaims();
  const single = service('a', { externalIPs: ['fd00::9'] });
  changeClaims(claims, 'default/a', single);
  t.is(ownerOf(claims, claimKey('fd00::9')), undefined);
  changeClaims(claims, 'default/a', { ...single, clusterIPs: [...single.clusterIPs, 'fd00::1'] });
  t.is(ownerOf(claims, claimKey('fd00::9')), 'default/a');
});

test('changeClaims() notices that a Service was made anew under the same name', (t) => {
  const claims = emptyClaims();
  changeClaims(claims, 'default/a', service('a'));
  changeClaims(claims, 'default/b', service('b'));
  const younger = service('a', { created: '2025-06-01T00:00:00Z' });
  t.deepEqual([...changeClaims(claims, 'default/a', younger)], ['default/b']);
  t.is(ownerOf(claims, port80), 'default/b');
});

const anyService = fc
  .record({
    name: fc.constantFrom('a', 'b', 'c', 'd'),
    created: fc.constantFrom('', '2025-01-01T00:00:00Z', '2024-01-01T00:00:00Z'),
    clusterIPs: fc.subarray(['10.96.0.1', '10.96.0.2', 'fd00::1']),
    externalIPs: fc.subarray(['10.96.0.1', '198.51.100.1']),
    loadBalancerIPs: fc.subarray(['198.51.100.1']),
    ports: fc
      .subarray([80, 81])
      .chain((numbers) =>
        fc.tuple(
          ...numbers.map((number) =>
            fc
              .constantFrom(0, 30080)
              .map((nodePort) => ({ name: `${number}`, protocol: 'TCP' as const, number, nodePort })),
          ),
        ),
      ),
    externalLocal: fc.boolean(),
    gone: fc.boolean(),
  })
  .map(({ gone, ...more }) => ({ gone, service: service(more.name, more) }));

test('changeClaims() ends the same in any order of changes, and names everybody whose outcome changed', (t) => {
  fc.assert(
    fc.property(fc.array(anyService, { maxLength: 20 }), (changes) => {
      const claims = emptyClaims();
      for (const { gone, service } of changes) {
        const before = new Map([...claims.claimants].map(([key, names]) => [key, names[0]]));
        const name = serviceName(service);
        const affected = changeClaims(claims, name, gone ? undefined : service);
        for (const [key, names] of claims.claimants) {
          if (before.get(key) === names[0]) continue;
          for (const other of names) t.true(other === name || affected.has(other), `${other} on ${key}`);
        }
        t.false(affected.has(name));
      }
      const fresh = emptyClaims();
      for (const [name, last] of [...claims.services].reverse()) changeClaims(fresh, name, last);
      t.deepEqual(new Map([...fresh.claimants].sort()), new Map([...claims.claimants].sort()));
    }),
  );
});
