import test from 'ava';
import type { Cidr } from './address.ts';
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

const nodePort: ServicePort = { ...http, nodePort: 30080 };
const outside: Partial<Service> = { externalIPs: ['198.51.100.1'], loadBalancerIPs: ['203.0.113.1'] };
const range = (address: string, prefixLength: number): Cidr => ({ address, prefixLength });
const behind = (...endpoints: Endpoint[]): Endpoints => new Map([['http/TCP', endpoints]]);
const poolText = (pool: Pool | null) => pool?.map(({ address, port }) => `${address} ${port}`).join(', ') ?? null;

function frontendText(frontend: Frontend): string {
  const place = frontend.place === 'cluster' ? '' : ` (${frontend.place})`;
  if (frontend.kind === 'address') return `${frontend.address} as ${frontend.port.name}${place}`;
  const { address, number, port, any, local, localOnly, hasEndpoint, affinitySeconds, guarded } = frontend;
  const flags = [
    guarded && 'guarded',
    localOnly && 'localOnly',
    hasEndpoint && 'hasEndpoint',
    affinitySeconds && `affinity ${affinitySeconds}`,
  ];
  return [
    `${address} ${number}/${port.protocol}${place}`,
    `any [${poolText(any) ?? '-'}]`,
    `local [${poolText(local) ?? '-'}]`,
    ...flags.filter(Boolean),
  ].join(' ');
}

function compile(service: Service, endpoints: Endpoints, facts = node, rivals: readonly Service[] = []) {
  const claims = emptyClaims();
  for (const claimant of [service, ...rivals]) changeClaims(claims, serviceName(claimant), claimant);
  const { frontends, problems, sources } = compileService(service, endpoints, facts, claims);
  for (const problem of problems) if (problem.object !== 'Service default/web') throw new Error(problem.object);
  return {
    frontends: frontends.map(frontendText),
    sources: sources.map(({ address, prefixLength }) => `${address}/${prefixLength}`),
    problems: problems.map((problem) => problem.reason),
  };
}

interface Case {
  readonly name: string;
  readonly service: Partial<Service>;
  readonly endpoints?: Endpoints;
  readonly node?: NodeFacts;
  readonly rivals?: readonly Service[];
  readonly frontends: readonly string[];
  readonly sources?: readonly string[];
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
    name: 'serves its nodePort, load balancer IPs and externalIPs with the very pool of its clusterIP',
    service: { ...outside, ports: [nodePort] },
    endpoints: two,
    frontends: [
      '10.96.0.1 80/TCP any [10.0.0.1 8080, 10.0.0.2 8080] local [-] hasEndpoint',
      '203.0.113.1 80/TCP (loadBalancer) any [10.0.0.1 8080, 10.0.0.2 8080] local [-] hasEndpoint',
      '198.51.100.1 80/TCP (external) any [10.0.0.1 8080, 10.0.0.2 8080] local [-] hasEndpoint',
      '0.0.0.0 30080/TCP (node) any [10.0.0.1 8080, 10.0.0.2 8080] local [-] hasEndpoint',
      '10.96.0.1 as http',
      '203.0.113.1 as http (loadBalancer)',
      '198.51.100.1 as http (external)',
    ],
  },
  {
    name: 'keeps the whole set for the outside under internalTrafficPolicy Local',
    service: { ports: [nodePort], internalLocal: true },
    endpoints: two,
    frontends: [
      '10.96.0.1 80/TCP any [-] local [10.0.0.2 8080] localOnly hasEndpoint',
      '0.0.0.0 30080/TCP (node) any [10.0.0.1 8080, 10.0.0.2 8080] local [-] hasEndpoint',
      '10.96.0.1 as http',
    ],
  },
  {
    name: 'does not serve the outside under externalTrafficPolicy Local, but its clusterIP as ever',
    service: { ...outside, ports: [nodePort], externalLocal: true },
    endpoints: two,
    frontends: ['10.96.0.1 80/TCP any [10.0.0.1 8080, 10.0.0.2 8080] local [-] hasEndpoint', '10.96.0.1 as http'],
    problems: [
      'load balancer IP 203.0.113.1, externalIP 198.51.100.1, nodePort 30080/TCP are not served: externalTrafficPolicy Local is not supported yet',
    ],
  },
  {
    name: 'offers a nodePort in each family of its clusterIPs, to the endpoints of that family',
    service: { clusterIPs: ['fd00::1', '10.96.0.1'], ports: [nodePort, dns] },
    endpoints: behind(endpoint('10.0.0.1'), endpoint('fd01::1')),
    frontends: [
      'fd00::1 80/TCP any [fd01::1 8080] local [-] hasEndpoint',
      '10.96.0.1 80/TCP any [10.0.0.1 8080] local [-] hasEndpoint',
      '0.0.0.0 30080/TCP (node) any [10.0.0.1 8080] local [-] hasEndpoint',
      ':: 30080/TCP (node) any [fd01::1 8080] local [-] hasEndpoint',
      'fd00::1 53/UDP any [] local [-]',
      '10.96.0.1 53/UDP any [] local [-]',
      'fd00::1 as http',
      '10.96.0.1 as http',
    ],
  },
  {
    name: 'names addresses of a family that it has no clusterIP of, and unusable ones',
    service: { externalIPs: ['fd00::9', '127.0.0.1', '0.0.0.0'], loadBalancerIPs: ['224.0.0.1', '::'] },
    frontends: ['10.96.0.1 80/TCP any [] local [-]', '10.96.0.1 as http'],
    problems: [
      'load balancer IP 224.0.0.1, load balancer IP ::, externalIP 127.0.0.1, externalIP 0.0.0.0 are not served: it is unspecified, loopback or multicast',
      'externalIP fd00::9 is not served: the Service has no IPv6 clusterIP',
    ],
  },
  {
    name: 'serves externalIPs and load balancer IPs that a device of the node has',
    service: { externalIPs: ['192.0.2.1'], loadBalancerIPs: ['192.0.2.2'] },
    node: { ...node, localAddresses: new Set(['192.0.2.1', '192.0.2.2']) },
    frontends: [
      '10.96.0.1 80/TCP any [] local [-]',
      '192.0.2.2 80/TCP (loadBalancer) any [] local [-]',
      '192.0.2.1 80/TCP (external) any [] local [-]',
      '10.96.0.1 as http',
      '192.0.2.2 as http (loadBalancer)',
      '192.0.2.1 as http (external)',
    ],
  },
  {
    name: 'guards its load balancer IPs, an externalIP that is one too, and nothing else',
    service: {
      ports: [nodePort],
      externalIPs: ['198.51.100.1', '203.0.113.1'],
      loadBalancerIPs: ['203.0.113.1'],
      sourceRanges: [range('10.1.0.0', 16), range('10.2.0.0', 16)],
    },
    frontends: [
      '10.96.0.1 80/TCP any [] local [-]',
      '203.0.113.1 80/TCP (loadBalancer) any [] local [-] guarded',
      '198.51.100.1 80/TCP (external) any [] local [-]',
      '0.0.0.0 30080/TCP (node) any [] local [-]',
      '10.96.0.1 as http',
      '203.0.113.1 as http (loadBalancer)',
      '198.51.100.1 as http (external)',
    ],
    sources: ['10.1.0.0/16', '10.2.0.0/16'],
  },
  {
    name: 'lets the load balancer IP itself ask where the node may',
    service: { loadBalancerIPs: ['203.0.113.1'], sourceRanges: [range('192.0.2.0', 24)] },
    frontends: [
      '10.96.0.1 80/TCP any [] local [-]',
      '203.0.113.1 80/TCP (loadBalancer) any [] local [-] guarded',
      '10.96.0.1 as http',
      '203.0.113.1 as http (loadBalancer)',
    ],
    sources: ['192.0.2.0/24', '203.0.113.1/32'],
  },
  {
    name: 'leaves a family open that no range is of',
    service: {
      clusterIPs: ['10.96.0.1', 'fd00::1'],
      loadBalancerIPs: ['203.0.113.1', 'fd02::1'],
      sourceRanges: [range('fd03::', 64)],
    },
    frontends: [
      '10.96.0.1 80/TCP any [] local [-]',
      'fd00::1 80/TCP any [] local [-]',
      '203.0.113.1 80/TCP (loadBalancer) any [] local [-]',
      'fd02::1 80/TCP (loadBalancer) any [] local [-] guarded',
      '10.96.0.1 as http',
      'fd00::1 as http',
      '203.0.113.1 as http (loadBalancer)',
      'fd02::1 as http (loadBalancer)',
    ],
    sources: ['fd03::/64'],
  },
  {
    name: 'does not guard where a range is everything',
    service: { loadBalancerIPs: ['203.0.113.1'], sourceRanges: [range('10.0.0.0', 8), range('0.0.0.0', 0)] },
    frontends: [
      '10.96.0.1 80/TCP any [] local [-]',
      '203.0.113.1 80/TCP (loadBalancer) any [] local [-]',
      '10.96.0.1 as http',
      '203.0.113.1 as http (loadBalancer)',
    ],
  },
  {
    name: 'serves an address once that is both clusterIP and externalIP, as clusterIP',
    service: { externalIPs: ['10.96.0.1'], loadBalancerIPs: ['10.96.0.1'], sourceRanges: [range('10.1.0.0', 16)] },
    frontends: ['10.96.0.1 80/TCP any [] local [-]', '10.96.0.1 as http'],
    sources: ['10.1.0.0/16'],
  },
  {
    name: 'leaves to older Services what they ask for, each named once',
    service: { ...outside, clusterIPs: ['10.96.0.1', 'fd00::1'], ports: [nodePort] },
    rivals: [
      {
        ...web,
        name: 'older',
        created: '2020-01-01T00:00:00Z',
        clusterIPs: ['198.51.100.1', 'fd00::2'],
        ports: [http, { ...nodePort, name: 'other', number: 81 }],
      },
    ],
    frontends: [
      '10.96.0.1 80/TCP any [] local [-]',
      'fd00::1 80/TCP any [] local [-]',
      '203.0.113.1 80/TCP (loadBalancer) any [] local [-]',
      '10.96.0.1 as http',
      'fd00::1 as http',
      '203.0.113.1 as http (loadBalancer)',
    ],
    problems: [
      'port http (80/TCP) of externalIP 198.51.100.1 belongs to Service default/older',
      'nodePort 30080/TCP belongs to Service default/older',
    ],
  },
  {
    name: 'keeps an address that is its clusterIP, though an older Service has a port of it from outside',
    service: {},
    rivals: [
      {
        ...web,
        name: 'older',
        created: '2020-01-01T00:00:00Z',
        clusterIPs: ['10.96.0.2'],
        externalIPs: ['10.96.0.1'],
        ports: [dns],
      },
    ],
    frontends: ['10.96.0.1 80/TCP any [] local [-]', '10.96.0.1 as http'],
  },
  {
    name: 'gives the second of two equal nodePorts up, and not its port',
    service: { ports: [nodePort, { ...nodePort, name: 'again', number: 81 }] },
    frontends: [
      '10.96.0.1 80/TCP any [] local [-]',
      '0.0.0.0 30080/TCP (node) any [] local [-]',
      '10.96.0.1 81/TCP any [] local [-]',
      '10.96.0.1 as http',
    ],
    problems: ['nodePort 30080/TCP of port again (81/TCP) is not served: it is there twice'],
  },
  {
    name: 'takes an endpoint at another Service’s externalIP for one: an address of the node may be both',
    service: {},
    endpoints: behind(endpoint('198.51.100.1')),
    rivals: [{ ...web, name: 'api', clusterIPs: ['10.96.0.2'], externalIPs: ['198.51.100.1'] }],
    frontends: ['10.96.0.1 80/TCP any [198.51.100.1 8080] local [-] hasEndpoint', '10.96.0.1 as http'],
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
  const { name, service, endpoints = new Map(), node: facts, rivals, frontends, sources = [], problems = [] } = one;
  test(`compileService() ${name}`, (t) => {
    t.deepEqual(compile({ ...web, ...service }, endpoints, facts, rivals), { frontends, sources, problems });
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
