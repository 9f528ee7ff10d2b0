import test from 'ava';
import { behind, type Case, compile, dns, endpoint, http, node, outcomes, two, web } from './fixture.ts';
import type { Endpoint } from './service.ts';

function isNested(endpoint: string, owner: string): string {
  return `endpoint ${endpoint} is left out: it is the clusterIP of Service ${owner}, and a Service has no Services behind it`;
}

const cases: readonly Case[] = [
  {
    name: 'serves a clusterIP, its port before its address',
    service: {},
    endpoints: two,
    frontends: ['10.96.0.1 80/TCP any [10.0.0.1 8080, 10.0.0.2 8080] local [-] hasEndpoint', '10.96.0.1 as http'],
  },
  {
    name: 'rejects on a port without an endpoint',
    service: {},
    frontends: ['10.96.0.1 80/TCP any [] local [-]', '10.96.0.1 as http'],
  },
  {
    name: 'takes the local set alone under internalTrafficPolicy Local',
    service: { internalLocal: true },
    endpoints: two,
    frontends: ['10.96.0.1 80/TCP any [-] local [10.0.0.2 8080] localOnly hasEndpoint', '10.96.0.1 as http'],
  },
  {
    name: 'drops and does not reject when only others have endpoints',
    service: { internalLocal: true },
    endpoints: behind(endpoint('10.0.0.1')),
    frontends: ['10.96.0.1 80/TCP any [-] local [] localOnly hasEndpoint', '10.96.0.1 as http'],
  },
  {
    name: 'does not let externalTrafficPolicy touch the clusterIP',
    service: { externalLocal: true },
    endpoints: two,
    frontends: ['10.96.0.1 80/TCP any [10.0.0.1 8080, 10.0.0.2 8080] local [-] hasEndpoint', '10.96.0.1 as http'],
  },
  {
    name: 'keeps families apart',
    service: { clusterIPs: ['10.96.0.1', 'fd00::1'], affinitySeconds: 10800 },
    endpoints: behind(endpoint('10.0.0.1'), endpoint('fd01::1')),
    frontends: [
      '10.96.0.1 80/TCP any [10.0.0.1 8080] local [-] hasEndpoint affinity 10800',
      'fd00::1 80/TCP any [fd01::1 8080] local [-] hasEndpoint affinity 10800',
      '10.96.0.1 as http',
      'fd00::1 as http',
    ],
  },
  {
    name: 'ignores an endpoint of the other family, also for hasEndpoint',
    service: {},
    endpoints: behind(endpoint('fd01::1')),
    frontends: ['10.96.0.1 80/TCP any [] local [-]', '10.96.0.1 as http'],
  },
  {
    name: 'ties endpoints to ports by name and protocol',
    service: { ports: [http, { ...http, name: 'dns' }, dns].map((port, i) => ({ ...port, number: 80 + i })) },
    endpoints: new Map([['dns/UDP', [endpoint('10.0.0.1')]]]),
    frontends: [
      '10.96.0.1 80/TCP any [] local [-]',
      '10.96.0.1 81/TCP any [] local [-]',
      '10.96.0.1 82/UDP any [10.0.0.1 8080] local [-] hasEndpoint',
      '10.96.0.1 as http',
    ],
  },
  {
    name: 'serves SCTP where the endpoints have the number that clients ask for',
    service: { ports: [{ ...http, name: 'sig', protocol: 'SCTP', number: 8080, nodePort: 30080 }, http] },
    endpoints: new Map([['sig/SCTP', [endpoint('10.0.0.1')]]]),
    frontends: [
      '10.96.0.1 8080/SCTP any [10.0.0.1 8080] local [-] hasEndpoint',
      '10.96.0.1 80/TCP any [] local [-]',
      '10.96.0.1 as sig',
    ],
    problems: ['nodePort 30080/SCTP is not served: SCTP keeps its port number, and endpoint 10.0.0.1:8080 has another'],
  },
  {
    name: 'keeps the address of a Service of which no port can be served: nothing of it may leak',
    service: { ports: [{ ...http, protocol: 'SCTP' }] },
    endpoints: new Map([['http/SCTP', [endpoint('10.0.0.1'), endpoint('fd00::1')]]]),
    frontends: ['10.96.0.1 as http'],
    problems: [
      'port http (80/SCTP) of clusterIP 10.96.0.1 is not served: SCTP keeps its port number, and endpoint 10.0.0.1:8080 has another',
    ],
  },
  {
    name: 'leaves a clusterIP alone that a device of the node has, and serves the other',
    service: { clusterIPs: ['10.96.0.1', 'fd00::1'] },
    node: { ...node, localAddresses: new Set(['10.96.0.1']) },
    frontends: ['fd00::1 80/TCP any [] local [-]', 'fd00::1 as http'],
    problems: ['clusterIP 10.96.0.1 is not served: it is an address of this node'],
  },
  ...['0.0.0.0', '127.0.0.1', '224.0.0.1', '239.255.0.1', '::', '::1', 'ff02::1'].map((address) => ({
    name: `does not serve ${address}`,
    service: { clusterIPs: [address] },
    frontends: [],
    problems: [`clusterIP ${address} is not served: it is unspecified, loopback or multicast`],
  })),
  ...['1.27.0.1', '240.0.0.1', '10.127.0.1', '::1:1', 'fd00::ff'].map((address) => ({
    name: `serves ${address}`,
    service: { clusterIPs: [address] },
    frontends: [`${address} 80/TCP any [] local [-]`, `${address} as http`],
  })),
  { name: 'reports a Service without ports', service: { ports: [] }, frontends: [], problems: ['it has no port'] },
  {
    name: 'reports a name that no table holds',
    service: { ports: [{ ...http, name: 'x'.repeat(64) }] },
    frontends: [],
    problems: [`'${'x'.repeat(64)}' is not a name of 1 to 63 characters`],
  },
  {
    name: 'serves the first of two ports with one number',
    service: { ports: [http, { ...http, name: 'again' }] },
    frontends: ['10.96.0.1 80/TCP any [] local [-]', '10.96.0.1 as http'],
    problems: ['port again (80/TCP) is not served: number 80/TCP is there twice'],
  },
  {
    name: 'serves the first of two ports with one name',
    service: { ports: [http, { ...http, number: 81 }] },
    frontends: ['10.96.0.1 80/TCP any [] local [-]', '10.96.0.1 as http'],
    problems: ['port http (81/TCP) is not served: name http/TCP is there twice'],
  },
  {
    name: 'takes one port number with two protocols',
    service: { ports: [dns, { ...dns, protocol: 'TCP' }] },
    frontends: ['10.96.0.1 53/UDP any [] local [-]', '10.96.0.1 53/TCP any [] local [-]', '10.96.0.1 as dns'],
  },
  {
    name: 'leaves what an older Service claims to that one',
    service: { ports: [http, dns] },
    rivals: [{ ...web, name: 'older', created: '2020-01-01T00:00:00Z' }],
    frontends: ['10.96.0.1 53/UDP any [] local [-]'],
    problems: ['port http (80/TCP) of clusterIP 10.96.0.1 belongs to Service default/older'],
  },
  {
    name: 'leaves out an endpoint that is a Service itself, whatever its port, and serves its neighbours',
    service: { clusterIPs: ['10.96.0.1', 'fd00::1'], ports: [http, dns] },
    endpoints: new Map([
      ['http/TCP', [endpoint('10.96.0.2'), endpoint('10.0.0.1'), endpoint('fd00::2')]],
      ['dns/UDP', [endpoint('10.96.0.2'), endpoint('10.96.0.1', { port: 53 })]],
    ]),
    rivals: [{ ...web, name: 'api', clusterIPs: ['10.96.0.2', 'fd00::2'] }],
    frontends: [
      '10.96.0.1 80/TCP any [10.0.0.1 8080] local [-] hasEndpoint',
      'fd00::1 80/TCP any [] local [-]',
      '10.96.0.1 53/UDP any [] local [-]',
      'fd00::1 53/UDP any [] local [-]',
      '10.96.0.1 as http',
      'fd00::1 as http',
    ],
    problems: [
      isNested('10.96.0.1:53', 'default/web'),
      isNested('10.96.0.2:8080', 'default/api'),
      isNested('[fd00::2]:8080', 'default/api'),
    ],
  },
  {
    name: 'names ten endpoints that are Services and counts the others',
    service: {},
    endpoints: behind(...Array.from({ length: 12 }, (_, i) => endpoint('10.96.0.2', { port: 10 + i }))),
    rivals: [{ ...web, name: 'api', clusterIPs: ['10.96.0.2'] }],
    frontends: ['10.96.0.1 80/TCP any [] local [-]', '10.96.0.1 as http'],
    problems: [
      ...Array.from({ length: 10 }, (_, i) => isNested(`10.96.0.2:${10 + i}`, 'default/api')),
      'and 2 more endpoints like these',
    ],
  },
  {
    name: 'keeps an endpoint at an address that a device of the node has, whoever claims it',
    service: {},
    endpoints: behind(endpoint('10.96.0.2')),
    node: { ...node, localAddresses: new Set(['10.96.0.2']) },
    rivals: [{ ...web, name: 'api', clusterIPs: ['10.96.0.2'] }],
    frontends: ['10.96.0.1 80/TCP any [10.96.0.2 8080] local [-] hasEndpoint', '10.96.0.1 as http'],
  },
  {
    name: 'keeps what a younger Service claims',
    service: {},
    rivals: [{ ...web, name: 'xerxes', ports: [http, dns] }],
    frontends: ['10.96.0.1 80/TCP any [] local [-]', '10.96.0.1 as http'],
  },
];

for (const one of cases) {
  test(`compileService() ${one.name}`, (t) => t.deepEqual(...outcomes(one)));
}

const twice: readonly [name: string, winner: Partial<Endpoint>, loser: Partial<Endpoint>, pool: string][] = [
  ['who does not terminate', {}, { ready: false, terminating: true }, '10.0.0.1 8080'],
  ['who does not terminate, even unready', { ready: false, serving: false }, { terminating: true, ready: true }, ''],
  ['who is ready', {}, { ready: false, serving: false }, '10.0.0.1 8080'],
];

for (const [name, winner, loser, pool] of twice) {
  test(`compileService() takes of an endpoint that is there twice the one ${name}`, (t) => {
    const pair = [endpoint('10.0.0.1', winner), endpoint('10.0.0.1', loser)];
    for (const order of [pair, pair.toReversed()]) {
      const [text] = compile(web, behind(...order)).frontends;
      t.true(text?.includes(`any [${pool}]`), text);
    }
  });
}

test('compileService() does not depend on the order of contradicting endpoints', (t) => {
  const pair = [endpoint('10.0.0.1', { nodeName: 'here' }), endpoint('10.0.0.1', { nodeName: 'there' })];
  const local = { ...web, internalLocal: true };
  t.deepEqual(compile(local, behind(...pair)), compile(local, behind(...pair.toReversed())));
});

test('compileService() keeps one address with two ports apart', (t) => {
  const [text] = compile(web, behind(endpoint('10.0.0.1'), endpoint('10.0.0.1', { port: 81 }))).frontends;
  t.true(text?.includes('any [10.0.0.1 8080, 10.0.0.1 81]'), text);
});
