import test from 'ava';
import fc from 'fast-check';
import { cidrContains, parseCidr } from '../model/address.ts';
import { type Allocation, type AllocationRanges, type AllocationRequest, allocate, defaultRanges } from './allocate.ts';

function request(owner: string, changed: Partial<AllocationRequest> = {}): AllocationRequest {
  return { owner, addresses: [], wantedFamilies: [4], nodePorts: [], wantedPorts: [], ...changed };
}

function rangesOf(cidrs: readonly string[], first = 30000, last = 32767): AllocationRanges {
  return { serviceCidrs: cidrs.flatMap((text) => parseCidr(text) ?? []), nodePorts: { first, last } };
}

function addressesOf({ grants }: Allocation, family: 4 | 6 = 4): (string | undefined)[] {
  return [...grants.values()].map(({ addresses }) => addresses.get(family));
}

const three = ['a/a', 'a/b', 'a/c'].map((owner) => request(owner));

test('allocate() gives the address that the name alone decides, for good', (t) => {
  const { grants } = allocate([request('default/web', { wantedFamilies: [4, 6], wantedPorts: [80] })], defaultRanges);
  const grant = grants.get('default/web');
  t.deepEqual(
    [...(grant?.addresses ?? [])],
    [
      [4, '10.96.71.213'],
      [6, 'fd00:10:96::ab'],
    ],
  );
  t.deepEqual([...(grant?.nodePorts ?? [])], [[80, 31126]]);
});

test('allocate() gives out neither the network nor the broadcast address', (t) => {
  const { grants, problems } = allocate(three, rangesOf(['10.0.0.0/30']));
  t.deepEqual(addressesOf({ grants, problems }).sort(), ['10.0.0.1', '10.0.0.2', undefined]);
  t.deepEqual(problems, [{ object: 'Service a/c', reason: 'no free IPv4 clusterIP in 10.0.0.0/30' }]);
});

test('allocate() gives out the last address of an IPv6 range, but not the first', (t) => {
  const requests = [...three, request('a/d')].map((one) => ({ ...one, wantedFamilies: [6 as const] }));
  const allocation = allocate(requests, rangesOf(['fd00::/126']));
  t.deepEqual(addressesOf(allocation, 6).sort(), ['fd00::1', 'fd00::2', 'fd00::3', undefined]);
});

for (const cidr of ['10.0.0.0/31', '10.0.0.0/32', 'fd00::1/128']) {
  test(`allocate() has nothing in ${cidr}`, (t) => {
    const { problems } = allocate([request('a/a', { wantedFamilies: [cidr.includes(':') ? 6 : 4] })], rangesOf([cidr]));
    t.is(problems.length, 1);
  });
}

test('allocate() without a range of the family says so', (t) => {
  const { problems } = allocate([request('a/a', { wantedFamilies: [4, 6] })], rangesOf(['10.0.0.0/24']));
  t.deepEqual(problems, [
    { object: 'Service a/a', reason: 'needs an IPv6 clusterIP, and there is no service CIDR of that family' },
  ]);
});

test('allocate() keeps clear of written addresses, also those of Services that want nothing', (t) => {
  const taken = request('z/z', { addresses: ['10.0.0.1', '10.9.9.9', 'fd00::1'], wantedFamilies: [] });
  const { grants } = allocate([taken, request('a/a')], rangesOf(['10.0.0.0/30']));
  t.deepEqual(
    [...grants].map(([owner, { addresses }]) => [owner, addresses.get(4)]),
    [['a/a', '10.0.0.2']],
  );
});

test('allocate() keeps clear of written nodePorts and says when there is none left', (t) => {
  const requests = [
    request('a/a', { wantedFamilies: [], wantedPorts: [443, 80] }),
    request('b/b', { wantedFamilies: [], wantedPorts: [80] }),
    request('c/c', { wantedFamilies: [], nodePorts: [30001, 80, 40000] }),
  ];
  const { grants, problems } = allocate(requests, rangesOf([], 30000, 30002));
  t.deepEqual([...(grants.get('a/a')?.nodePorts.values() ?? [])].sort(), [30000, 30002]);
  t.deepEqual(problems, [{ object: 'Service b/b', reason: 'port 80: no free nodePort in 30000-30002' }]);
});

test('allocate() uses large IPv6 ranges', (t) => {
  const range = rangesOf(['fd00:1:2:3::/64']);
  const [address = ''] = addressesOf(allocate([request('a/a', { wantedFamilies: [6] })], range), 6);
  t.true(cidrContains({ address: 'fd00:1:2:3::', prefixLength: 64 }, address), address);
});

const owners = fc.uniqueArray(
  fc.tuple(fc.constantFrom('a', 'b', 'c'), fc.stringMatching(/^[a-z]{1,3}$/)).map((name) => name.join('/')),
  { maxLength: 40 },
);
const explicit = fc.array(
  fc.integer({ min: 0, max: 63 }).map((n) => `10.0.0.${n}`),
  { maxLength: 3 },
);
const requests = owners.chain((names) =>
  fc.tuple(
    ...names.map((owner) =>
      fc.record({
        owner: fc.constant(owner),
        addresses: explicit,
        wantedFamilies: fc.subarray([4, 6] as (4 | 6)[]),
        nodePorts: fc.array(fc.integer({ min: 30000, max: 30063 }), { maxLength: 2 }),
        wantedPorts: fc.uniqueArray(fc.integer({ min: 1, max: 5 }), { maxLength: 2 }),
      }),
    ),
  ),
);
const tight = rangesOf(['10.0.0.0/26', 'fd00::/122'], 30000, 30063);

test('allocate() does not care for the order of its requests', (t) => {
  fc.assert(
    fc.property(
      requests.chain((all) => fc.tuple(fc.constant(all), fc.shuffledSubarray(all, { minLength: all.length }))),
      ([all, shuffled]) => t.deepEqual(allocate(shuffled, tight), allocate(all, tight)),
    ),
  );
});

test('allocate() gives nothing out twice, nothing that is written, and nothing outside of its ranges', (t) => {
  fc.assert(
    fc.property(requests, (all) => {
      const { grants, problems } = allocate(all, tight);
      const addresses = [...grants.values()].flatMap((grant) => [...grant.addresses.values()]);
      const ports = [...grants.values()].flatMap((grant) => [...grant.nodePorts.values()]);
      const wanted = all.flatMap((one) => [...one.wantedFamilies, ...one.wantedPorts]).length;
      const written = new Set<string | number>(all.flatMap((one) => [...one.addresses, ...one.nodePorts]));
      t.is(new Set([...addresses, ...ports]).size, addresses.length + ports.length);
      t.false([...addresses, ...ports].some((value) => written.has(value)));
      t.true(addresses.every((address) => tight.serviceCidrs.some((cidr) => cidrContains(cidr, address))));
      t.true(ports.every((port) => port >= 30000 && port <= 30063));
      t.is(addresses.length + ports.length + problems.length, wanted);
    }),
  );
});

test('allocate() leaves everybody where they are when a Service comes whose own place is free', (t) => {
  fc.assert(
    fc.property(owners, fc.stringMatching(/^[a-z]{4}$/), (names, added) => {
      const roomy = rangesOf(['10.0.0.0/16']);
      const all = names.map((owner) => request(owner));
      const alone = addressesOf(allocate([request(`a/${added}`)], roomy))[0];
      const before = allocate(all, roomy);
      const after = allocate([...all, request(`a/${added}`)], roomy);
      fc.pre(!addressesOf(before).includes(alone));
      for (const [owner, grant] of before.grants) t.deepEqual(after.grants.get(owner), grant);
    }),
  );
});
