import test from 'ava';
import { start, worldOf } from '../plan/fixture.ts';
import { backendItems, frontendItems, serviceItems } from './dump-items.ts';
import { frontendsText, servicesText } from './dump-text.ts';
import type { Reading } from './service-ref.ts';

const http = { name: 'http', protocol: 'TCP', number: 80, nodePort: 30080 } as const;
const { tables } = start(
  worldOf({
    front: {
      clusterIPs: ['10.96.0.7'],
      externalIPs: ['198.51.100.7'],
      loadBalancerIPs: ['203.0.113.7'],
      sourceRanges: [{ address: '10.0.0.0', prefixLength: 8 }],
      internalLocal: true,
      ports: [http],
      behind: ['10.3.0.1'],
    },
    node: { clusterIPs: ['10.96.0.8', 'fd00::8'], ports: [{ ...http, nodePort: 30081 }] },
    plain: { clusterIPs: ['10.96.0.9'], externalIPs: ['198.51.100.9'] },
    stays: { clusterIPs: ['10.96.0.10'], externalIPs: ['198.51.100.10'], externalLocal: true, behind: ['10.3.0.2'] },
  }),
);
const none = new Map<never, never>();
const reading: Reading = {
  tables,
  counters: none,
  connections: none,
  flows: none,
  halfOpen: none,
  affinity: none,
  nowSeconds: 0,
};

test('serviceItems() tells of a Service at which addresses and nodePort it is asked from outside', (t) => {
  const [front, node, plain] = serviceItems(reading);
  t.like(front, {
    type: 'LoadBalancer',
    clusterIPs: ['10.96.0.7'],
    externalIPs: ['203.0.113.7', '198.51.100.7'],
    nodePort: 30080,
    port: 80,
    pool: 'local',
  });
  t.like(node, { type: 'NodePort', clusterIPs: ['10.96.0.8', 'fd00::8'], externalIPs: [], nodePort: 30081 });
  t.like(plain, { type: 'ClusterIP', clusterIPs: ['10.96.0.9'], externalIPs: ['198.51.100.9'], nodePort: null });
});

test('servicesText() shows ports as kubectl does, and the first address of several', (t) => {
  const text = servicesText(serviceItems(reading), false);
  t.regex(text, /front +LoadBalancer +10\.96\.0\.7 +203\.0\.113\.7 \+1 +http:80:30080\/TCP +10\.3\.0\.1:8080 /);
  t.regex(text, /node +NodePort +10\.96\.0\.8 \+1 +<none> +http:80:30081\/TCP +<none> /);
  t.regex(servicesText(serviceItems(reading), true), / 203\.0\.113\.7,198\.51\.100\.7 /);
});

test('frontendItems() tells what each address is to the Service, and which of them is guarded', (t) => {
  const items = frontendItems(reading).filter(({ name }) => name === 'front');
  t.deepEqual(
    items.map(({ address, port, kind, sourceRanges, pool }) => [address, port, kind, sourceRanges, pool]),
    [
      ['0.0.0.0', 30080, 'nodePort', false, 'any'],
      ['10.96.0.7', null, 'clusterIP', false, 'any'],
      ['10.96.0.7', 80, 'clusterIP', false, 'local'],
      ['198.51.100.7', null, 'externalIP', false, 'any'],
      ['198.51.100.7', 80, 'externalIP', false, 'any'],
      ['203.0.113.7', null, 'loadBalancerIP', false, 'any'],
      ['203.0.113.7', 80, 'loadBalancerIP', true, 'any'],
    ],
  );
});

test('frontendsText() says what happens otherwise: an undefined port is refused only at a clusterIP', (t) => {
  const text = frontendsText(frontendItems(reading), false);
  t.regex(text, /<node IPv4> +30080 +TCP +default\/front:http +any +1 +random +<none> +drop\n/);
  t.regex(text, /<node IPv6> +30081 +TCP +default\/node:http +any +0 +random +<none> +reject\n/);
  t.regex(
    text,
    /198\.51\.100\.10 +80 +TCP +default\/stays:http +any, outside local +1, outside 0 +random +<none> +drop\n/,
  );
  t.regex(text, /10\.96\.0\.7 +\* +\* .* reject\n/);
  t.regex(text, /198\.51\.100\.7 +\* +\* .* pass\n/);
});

test('backendItems() tells the port of the Service, not its nodePort', (t) => {
  t.deepEqual(
    backendItems(reading).map(({ address, servicePort, pools }) => [address, servicePort, pools]),
    [
      ['10.3.0.1', 80, ['any']],
      ['10.3.0.2', 80, ['any']],
    ],
  );
});

test('backendItems() names the pools of a backend in one order, whatever that of the rows', (t) => {
  const near = { clusterIPs: ['10.96.0.11'], externalIPs: ['198.51.100.11'], internalLocal: true };
  const world = worldOf({ near: { ...near, behind: ['10.3.0.3'] } });
  const { tables: own } = start({ ...world, node: { ...world.node, name: 'there' } });
  for (const rows of [[...own.frontends], [...own.frontends].reverse()]) {
    const [item] = backendItems({ ...reading, tables: { ...own, frontends: new Map(rows) } });
    t.deepEqual(item?.pools, ['any', 'local']);
  }
});
