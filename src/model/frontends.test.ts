import test from 'ava';
import { changeClaims, emptyClaims } from './claims.ts';
import { compileService, type Frontend, type Pool } from './frontends.ts';
import type { NodeFacts } from './node.ts';
import { type Endpoint, type Endpoints, type Service, type ServicePort, serviceName } from './service.ts';

const node: NodeFacts = { name: 'here', zone: null, addresses: ['192.0.2.1'], localAddresses: new Set(['192.0.2.1']) };
const http: ServicePort = { name: 'http', protocol: 'TCP', number: 80, nodePort: 0 };
const dns: ServicePort = { name: 'dns', protocol: 'UDP', number: 53, nodePort: 0 };
const web: Service = {
  namespace: 'default',
  name: 'web',
  created: '',
  clusterIPs: ['10.96.0.1'],
  externalIPs: [],
  loadBalancerIPs: [],
  sourceRanges: [],
  ports: [http],
  affinitySeconds: 0,
  internalLocal: false,
  externalLocal: false,
};

function endpoint(address: string, more: Partial<Endpoint> = {}): Endpoint {
  return {
    address,
    port: 8080,
    ready: true,
    serving: true,
    terminating: false,
    nodeName: 'there',
    zoneHints: [],
    nodeHints: [],
    ...more,
  };
}

const behind = (...endpoints: Endpoint[]): Endpoints => new Map([['http/TCP', endpoints]]);
const poolText = (pool: Pool | null) => pool?.map(({ address, port }) => `${address} ${port}`).join(', ') ?? null;

function frontendText(frontend: Frontend): string {
  if (frontend.kind === 'address') return `${frontend.address} as ${frontend.port.name}`;
  const { address, port, any, local, localOnly, hasEndpoint, affinitySeconds } = frontend;
  const flags = [
    localOnly && 'localOnly',
    hasEndpoint && 'hasEndpoint',
    affinitySeconds && `affinity ${affinitySeconds}`,
  ];
  return [
    `${address} ${port.number}/${port.protocol}`,
    `any [${poolText(any) ?? '-'}]`,
    `local [${poolText(local) ?? '-'}]`,
    ...flags.filter(Boolean),
  ].join(' ');
}

function compile(service: Service, endpoints: Endpoints, facts = node, rivals: readonly Service[] = []) {
  const claims = emptyClaims();
  for (const claimant of [service, ...rivals]) changeClaims(claims, serviceName(claimant), claimant);
  const { frontends, problems } = compileService(service, endpoints, facts, claims);
  for (const problem of problems) if (problem.object !== 'Service default/web') throw new Error(problem.object);
  return { frontends: frontends.map(frontendText), problems: problems.map((problem) => problem.reason) };
}

interface Case {
  readonly name: string;
  readonly service: Partial<Service>;
  readonly endpoints?: Endpoints;
  readonly node?: NodeFacts;
  readonly rivals?: readonly Service[];
  readonly frontends: readonly string[];
  readonly problems?: readonly string[];
}

const two = behind(endpoint('10.0.0.1'), endpoint('10.0.0.2', { nodeName: 'here' }));

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
    name: 'serves TCP and UDP and reports SCTP',
    service: { ports: [{ ...http, name: 'sig', protocol: 'SCTP', number: 3868 }, http] },
    frontends: ['10.96.0.1 80/TCP any [] local [-]', '10.96.0.1 as http'],
    problems: ['port sig (3868/SCTP) is not served: SCTP is not supported yet'],
  },
  {
    name: 'keeps the address of a Service of which no port can be served: nothing of it may leak',
    service: { ports: [{ ...http, protocol: 'SCTP' }] },
    frontends: ['10.96.0.1 as http'],
    problems: ['port http (80/SCTP) is not served: SCTP is not supported yet'],
  },
  {
    name: 'serves the clusterIP and reports what is asked for from outside',
    service: {
      ports: [{ ...http, nodePort: 30080 }],
      externalIPs: ['198.51.100.1', '198.51.100.2'],
      loadBalancerIPs: ['203.0.113.1'],
      externalLocal: true,
    },
    endpoints: two,
    frontends: ['10.96.0.1 80/TCP any [10.0.0.1 8080, 10.0.0.2 8080] local [-] hasEndpoint', '10.96.0.1 as http'],
    problems: [
      'traffic from outside is not supported yet, so not served: nodePort 30080/TCP, externalIP 198.51.100.1, externalIP 198.51.100.2, load balancer IP 203.0.113.1',
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

for (const { name, service, endpoints = new Map(), node: facts, rivals, frontends, problems = [] } of cases) {
  test(`compileService() ${name}`, (t) => {
    t.deepEqual(compile({ ...web, ...service }, endpoints, facts, rivals), { frontends, problems });
  });
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
