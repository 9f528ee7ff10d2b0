import test from 'ava';
import { behind, endpoint, node, web } from './fixture.ts';
import { healthCheckOf } from './health-check.ts';
import { noLocalOf } from './no-local.ts';
import type { Endpoints, Service } from './service.ts';

const here = { nodeName: 'here' };
const asked: Service = { ...web, externalLocal: true, healthCheckNodePort: 30100 };

function count(service: Service, endpoints: Endpoints): [number, number][] | null {
  return [...(healthCheckOf(service, endpoints, node)?.localEndpoints ?? [])];
}

test('healthCheckOf() is null where nobody asks', (t) => t.is(healthCheckOf(web, new Map(), node), null));

for (const [name, endpoints, expected] of [
  ['none', behind(), 0],
  ['Ready ones of this node', behind(endpoint('10.0.0.1', here), endpoint('10.0.0.2', here), endpoint('10.0.0.3')), 2],
  ['Ready ones, though they terminate', behind(endpoint('10.0.0.1', { ...here, terminating: true })), 1],
  ['no serving, terminating one', behind(endpoint('10.0.0.1', { ...here, ready: false, terminating: true })), 0],
  [
    'an address once over all ports',
    new Map([
      ['http/TCP', [endpoint('10.0.0.1', here), endpoint('10.0.0.2', here)]],
      ['admin/TCP', [endpoint('10.0.0.1', { ...here, port: 9 }), endpoint('10.0.0.3', here)]],
    ]),
    3,
  ],
  ['no other family', behind(endpoint('fd00::1', here)), 0],
] as const) {
  test(`healthCheckOf() counts ${name}: ${expected}`, (t) => t.deepEqual(count(asked, endpoints), [[4, expected]]));
}

test('healthCheckOf() counts each family of the Service by itself', (t) => {
  const service = { ...asked, clusterIPs: ['10.96.0.1', 'fd00:96::1'] };
  const endpoints = behind(endpoint('10.0.0.1', here), endpoint('fd00::1', here), endpoint('fd00::2', here));
  t.deepEqual(count(service, endpoints), [
    [4, 1],
    [6, 2],
  ]);
});

const away = behind(endpoint('10.0.0.1'));
const exposed = { ...web, externalIPs: ['192.0.2.77'] };

for (const [name, service, endpoints, expected] of [
  ['policies Cluster', exposed, away, []],
  ['internal Local, others have some', { ...web, internalLocal: true }, away, ['internal 4']],
  ['internal Local, one here', { ...web, internalLocal: true }, behind(endpoint('10.0.0.1', here)), []],
  ['internal Local, nobody anywhere', { ...web, internalLocal: true }, behind(), []],
  ['external Local, nothing outside', { ...web, externalLocal: true }, away, []],
  ['both Local, nothing outside', { ...web, internalLocal: true, externalLocal: true }, away, ['internal 4']],
  ['external Local of an externalIP', { ...exposed, externalLocal: true }, away, ['external 4']],
  [
    'both, of both families',
    {
      ...exposed,
      clusterIPs: ['10.96.0.1', 'fd00:96::1'],
      externalIPs: ['192.0.2.77', '2001:db8::77'],
      internalLocal: true,
      externalLocal: true,
    },
    behind(endpoint('10.0.0.1'), endpoint('fd00::1')),
    ['internal 4', 'external 4', 'internal 6', 'external 6'],
  ],
] as const) {
  test(`noLocalOf() ${name}: ${expected.join(', ') || 'nothing'}`, (t) => {
    const found = noLocalOf(service, endpoints, node).map(({ policy, family }) => `${policy} ${family}`);
    t.deepEqual(found, [...expected]);
  });
}
