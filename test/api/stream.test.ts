import test from 'ava';
import { bookmark, initialEnd, serviceEvent, serviceObject } from './scripted-server.ts';
import { has, names, paths, reasons, watching } from './watched.ts';

test('a list by stream: nothing is known before its end, of none of the kinds', async (t) => {
  const { server, snapshots, until } = await watching(t, { told: ['services', 'slices'] });
  const services = await server.next(paths.services);
  t.deepEqual(Object.fromEntries(services.query), {
    watch: '1',
    sendInitialEvents: 'true',
    resourceVersionMatch: 'NotOlderThan',
    allowWatchBookmarks: 'true',
    labelSelector: '!service.kubernetes.io/service-proxy-name,!service.kubernetes.io/headless',
    timeoutSeconds: services.query.get('timeoutSeconds') ?? '',
  });
  services.events(serviceEvent('ADDED', 'a', '5'), serviceEvent('ADDED', 'b', '7'), initialEnd('9'));
  const slices = await server.next(paths.slices);
  t.is(slices.query.get('labelSelector'), services.query.get('labelSelector'));
  slices.events(initialEnd('9'));
  const first = await until(({ synced }) => synced);
  t.deepEqual(names(first), ['a', 'b']);
  t.true(snapshots.slice(0, -1).every(({ objects, synced }) => objects === null && !synced));
  services.events(serviceEvent('DELETED', 'a', '10'), serviceEvent('ADDED', 'c', '11'));
  await until(has('b', 'c'));
  t.deepEqual([...new Set(snapshots.flatMap(({ problems }) => problems))], []);
});

test('only the own Node is asked for, and only the Services of this proxy', async (t) => {
  const { server } = await watching(t, {
    told: ['nodes', 'services', 'slices'],
    options: { node: 'worker-1', serviceProxyName: 'mine' },
  });
  const own = 'service.kubernetes.io/service-proxy-name=mine,!service.kubernetes.io/headless';
  t.is((await server.next(paths.nodes)).query.get('fieldSelector'), 'metadata.name=worker-1');
  t.is((await server.next(paths.services)).query.get('labelSelector'), own);
  t.is((await server.next(paths.slices)).query.get('labelSelector'), own);
});

test('a line, and a character, cut anywhere: byte by byte it is the same', async (t) => {
  const { server, until } = await watching(t);
  const services = await server.next(paths.services);
  const line = Buffer.from(`${JSON.stringify(serviceEvent('ADDED', 'a', '5', { externalName: '日本 🦀' }))}\n`);
  services.write(...Array.from(line, (byte) => Buffer.of(byte)));
  const two = Buffer.from(
    `${JSON.stringify(serviceEvent('ADDED', 'b', '6', { sessionAffinity: 'é' }))}\n${JSON.stringify(initialEnd('7'))}\n`,
  );
  const at = two.indexOf(Buffer.from('é')) + 1;
  services.write(two.subarray(0, at), two.subarray(at));
  const { objects } = await until(({ synced }) => synced);
  const service = objects?.get('Service default/b');
  t.is(service?.kind === 'Service' ? service.spec.sessionAffinity : '', 'é');
  t.true(objects?.has('Service default/a'));
});

test('a slice of the largest size there is', async (t) => {
  const { server, until } = await watching(t, { told: ['slices'] });
  const slices = await server.next(paths.slices);
  const endpoints = Array.from({ length: 50_000 }, (_, i) => ({
    addresses: [`10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`],
    nodeName: `node-${i % 100}`,
    targetRef: { kind: 'Pod', name: `pod-${i}`, uid: '00000000-0000-0000-0000-000000000000' },
  }));
  const metadata = { name: 'a', resourceVersion: '5', labels: { 'kubernetes.io/service-name': 'a' } };
  const object = { apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', metadata, endpoints, addressType: 'IPv4' };
  slices.events({ type: 'ADDED', object }, initialEnd('7'));
  const { objects } = await until(({ synced }) => synced);
  const slice = objects?.get('EndpointSlice default/a');
  t.is(slice?.kind === 'EndpointSlice' ? slice.endpoints.length : 0, 50_000);
});

test('a watch that ends goes on from the last bookmark, and nothing is listed again', async (t) => {
  const { server, until, snapshots } = await watching(t);
  const first = await server.next(paths.services);
  first.events(serviceEvent('ADDED', 'a', '5'), initialEnd('9'), bookmark('40'));
  await until(has('a'));
  first.end();
  const second = await server.next(paths.services);
  t.is(second.query.get('resourceVersion'), '40');
  t.false(second.query.has('sendInitialEvents'));
  t.false(second.query.has('resourceVersionMatch'));
  second.events(serviceEvent('ADDED', 'b', '41'));
  await until(has('a', 'b'));
  second.cut();
  const third = await server.next(paths.services);
  t.is(third.query.get('resourceVersion'), '41');
  third.events(serviceEvent('DELETED', 'a', '42'));
  await until(has('b'));
  t.false(snapshots.some((snapshot) => snapshot.objects !== null && names(snapshot)?.length === 0));
});

test('an object that says the same as before is the very same, and nobody is told', async (t) => {
  const { server, until, snapshots } = await watching(t);
  const services = await server.next(paths.services);
  services.events(serviceEvent('ADDED', 'a', '5'), initialEnd('9'));
  const { objects } = await until(has('a'));
  const before = objects?.get('Service default/a');
  const count = snapshots.length;
  services.events(serviceEvent('MODIFIED', 'a', '10'), serviceEvent('ADDED', 'b', '11'));
  const after = await until(has('a', 'b'));
  t.is(after.objects?.get('Service default/a'), before);
  t.is(snapshots.length, count + 1);
  t.deepEqual([...(objects?.keys() ?? [])], ['Service default/a']);
});

const list = (metadata: object, ...items: object[]) => ({ kind: 'ServiceList', apiVersion: 'v1', metadata, items });

test('a server that streams no lists is asked for pages, and watched from there', async (t) => {
  const { server, until } = await watching(t);
  (await server.next(paths.services)).refuse(422, {
    kind: 'Status',
    code: 422,
    message: 'sendInitialEvents is forbidden',
  });
  const bare = (name: string) => ({ ...serviceObject(name, '3'), kind: undefined, apiVersion: undefined });
  const first = await server.next(paths.services);
  t.is(first.query.get('limit'), '500');
  t.false(first.query.has('watch'));
  t.truthy(first.query.get('labelSelector'));
  first.refuse(200, list({ resourceVersion: '20', continue: 'more/=' }, bare('a'), bare('b')));
  const second = await server.next(paths.services);
  t.is(second.query.get('continue'), 'more/=');
  second.refuse(200, list({ resourceVersion: '20' }, bare('c')));
  const watch = await server.next(paths.services);
  t.is(watch.query.get('resourceVersion'), '20');
  await until(has('a', 'b', 'c'));
  watch.events(serviceEvent('DELETED', 'b', '21'));
  await until(has('a', 'c'));
  watch.cut();
  t.is((await server.next(paths.services)).query.get('resourceVersion'), '21');
});

test('an old server that ignores the wish for a list by stream is found out by its bookmark', async (t) => {
  const { server, until } = await watching(t);
  const ignoring = await server.next(paths.services);
  ignoring.events(serviceEvent('ADDED', 'a', '5'), bookmark('9'));
  const page = await server.next(paths.services);
  t.is(page.query.get('limit'), '500');
  page.refuse(200, list({ resourceVersion: '9' }, serviceObject('b', '5')));
  await until(has('b'));
});

test('a listing that went on too long begins again', async (t) => {
  const { server, until } = await watching(t);
  (await server.next(paths.services)).refuse(400, 'unknown');
  const metadata = { resourceVersion: '20', continue: 'x' };
  (await server.next(paths.services)).refuse(200, {
    kind: 'ServiceList',
    metadata,
    items: [serviceObject('old', '1')],
  });
  (await server.next(paths.services)).refuse(410, { kind: 'Status', code: 410, message: 'continue is too old' });
  const again = await server.next(paths.services);
  t.false(again.query.has('continue'));
  again.refuse(200, list({ resourceVersion: '30' }, serviceObject('new', '25')));
  await until(has('new'));
});

test('a cluster without ServiceCIDRs, or that does not show its Nodes, is served', async (t) => {
  const { server, until } = await watching(t, { told: ['cidrs', 'nodes'] });
  (await server.next(paths.cidrs)).refuse(404, '404 page not found');
  (await server.next(paths.nodes)).refuse(403, { kind: 'Status', code: 403, message: 'nodes is forbidden' });
  const snapshot = await until(({ synced }) => synced);
  t.regex(reasons(snapshot), /^API server \S+: it does not tell about nodes: 403: nodes is forbidden: what is known/);
  t.notRegex(reasons(snapshot), /servicecidrs/);
  (await server.next(paths.nodes)).events(initialEnd('3'));
  await until(({ problems }) => problems.length === 0);
});
