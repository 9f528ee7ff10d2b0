import test from 'ava';
import type { Cidr } from './address.ts';
import { behind, type Case, dns, endpoint, http, node, outcomes, two, web } from './fixture.ts';
import type { Service, ServicePort } from './service.ts';

const nodePort: ServicePort = { ...http, nodePort: 30080 };
const outside: Partial<Service> = { externalIPs: ['198.51.100.1'], loadBalancerIPs: ['203.0.113.1'] };
const range = (address: string, prefixLength: number): Cidr => ({ address, prefixLength });

const cases: readonly Case[] = [
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
    name: 'gives the outside the local set under externalTrafficPolicy Local, pods and the node the whole one, and leaves its clusterIP',
    service: { ...outside, ports: [nodePort], externalLocal: true },
    endpoints: two,
    frontends: [
      '10.96.0.1 80/TCP any [10.0.0.1 8080, 10.0.0.2 8080] local [-] hasEndpoint',
      '203.0.113.1 80/TCP (loadBalancer) any [10.0.0.1 8080, 10.0.0.2 8080] local [10.0.0.2 8080] localOutside hasEndpoint',
      '198.51.100.1 80/TCP (external) any [10.0.0.1 8080, 10.0.0.2 8080] local [10.0.0.2 8080] localOutside hasEndpoint',
      '0.0.0.0 30080/TCP (node) any [10.0.0.1 8080, 10.0.0.2 8080] local [10.0.0.2 8080] localOutside hasEndpoint',
      '10.96.0.1 as http',
      '203.0.113.1 as http (loadBalancer)',
      '198.51.100.1 as http (external)',
    ],
  },
  {
    name: 'gives everybody the local set at its clusterIP, and the outside at the rest, if both policies are Local',
    service: { ports: [nodePort], internalLocal: true, externalLocal: true },
    endpoints: two,
    frontends: [
      '10.96.0.1 80/TCP any [-] local [10.0.0.2 8080] localOnly hasEndpoint',
      '0.0.0.0 30080/TCP (node) any [10.0.0.1 8080, 10.0.0.2 8080] local [10.0.0.2 8080] localOutside hasEndpoint',
      '10.96.0.1 as http',
    ],
  },
  {
    name: 'has an empty local set for the outside where only others have endpoints',
    service: { ports: [nodePort], externalLocal: true },
    endpoints: behind(endpoint('10.0.0.1')),
    frontends: [
      '10.96.0.1 80/TCP any [10.0.0.1 8080] local [-] hasEndpoint',
      '0.0.0.0 30080/TCP (node) any [10.0.0.1 8080] local [] localOutside hasEndpoint',
      '10.96.0.1 as http',
    ],
  },
  {
    name: 'has a local set that topology does not touch',
    service: { ports: [nodePort], externalLocal: true },
    node: { ...node, zone: 'a' },
    endpoints: behind(
      endpoint('10.0.0.1', { zoneHints: ['a'] }),
      endpoint('10.0.0.2', { nodeName: 'here', zoneHints: ['b'] }),
    ),
    frontends: [
      '10.96.0.1 80/TCP any [10.0.0.1 8080] local [-] hasEndpoint',
      '0.0.0.0 30080/TCP (node) any [10.0.0.1 8080] local [10.0.0.2 8080] localOutside hasEndpoint',
      '10.96.0.1 as http',
    ],
  },
  {
    name: 'rejects everybody under externalTrafficPolicy Local if nobody anywhere can answer',
    service: { ports: [nodePort], externalLocal: true },
    endpoints: behind(endpoint('10.0.0.1', { ready: false, serving: false })),
    frontends: [
      '10.96.0.1 80/TCP any [] local [-]',
      '0.0.0.0 30080/TCP (node) any [] local [] localOutside',
      '10.96.0.1 as http',
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
];

for (const one of cases) {
  test(`compileService() ${one.name}`, (t) => t.deepEqual(...outcomes(one)));
}
