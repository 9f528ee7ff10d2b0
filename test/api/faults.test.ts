import test from 'ava';
import {
  bookmark,
  errorEvent,
  initialEnd,
  serviceEvent,
  startScriptedServer,
  statusObject,
} from './scripted-server.ts';
import { has, paths, reasons, type Watched, watching } from './watched.ts';

/** Lists Service 'a' and goes on. */
async function listed({ server, until }: Watched): Promise<Awaited<ReturnType<typeof server.next>>> {
  const services = await server.next(paths.services);
  services.events(serviceEvent('ADDED', 'a', '5'), initialEnd('9'));
  await until(has('a'));
  return services;
}

test('410 as an event: all is listed anew, and what is gone goes in one step', async (t) => {
  const watched = await watching(t);
  const { server, until, snapshots } = watched;
  const first = await listed(watched);
  first.events(errorEvent(410, 'too old resource version: 9 (100)'));
  const second = await server.next(paths.services);
  t.is(second.query.get('sendInitialEvents'), 'true');
  t.false(second.query.has('resourceVersion'));
  second.events(serviceEvent('ADDED', 'b', '90'), serviceEvent('ADDED', 'c', '91'));
  second.events(serviceEvent('DELETED', 'c', '95'), initialEnd('100'));
  await until(has('b'));
  const seen = new Set(snapshots.map(({ objects }) => objects && [...objects.keys()].join()));
  t.deepEqual([...seen], [null, 'Service default/a', 'Service default/b']);
  t.deepEqual(snapshots.at(-1)?.problems, []);
});

test('410 as the answer to a watch: all is listed anew', async (t) => {
  const watched = await watching(t);
  (await listed(watched)).end();
  const resumed = await watched.server.next(paths.services);
  t.is(resumed.query.get('resourceVersion'), '9');
  resumed.refuse(410, statusObject(410, 'too old resource version'));
  const anew = await watched.server.next(paths.services);
  t.is(anew.query.get('sendInitialEvents'), 'true');
});

test('a list by stream that breaks in the middle begins again, and what was known stays', async (t) => {
  const watched = await watching(t);
  const { server, until } = watched;
  (await listed(watched)).events(errorEvent(410, 'too old'));
  const broken = await server.next(paths.services);
  broken.events(serviceEvent('ADDED', 'b', '90'));
  broken.cut();
  const again = await server.next(paths.services);
  t.is(again.query.get('sendInitialEvents'), 'true');
  t.true(has('a')(watched.last()));
  again.events(serviceEvent('ADDED', 'c', '92'), initialEnd('100'));
  await until(has('c'));
});

test('429 and 503: nothing is asked before the server allows it, and nothing is listed again', async (t) => {
  const watched = await watching(t);
  const { server } = watched;
  (await listed(watched)).end();
  for (const status of [429, 503]) {
    const refused = await server.next(paths.services);
    const before = performance.now();
    refused.refuse(status, statusObject(status, 'too many requests'), { 'retry-after': '1' });
    const allowed = await server.next(paths.services);
    t.true(performance.now() - before >= 990);
    t.is(allowed.query.get('resourceVersion'), '9');
    allowed.events(bookmark('9'));
    allowed.end();
  }
});

test('an error event that names a time is waited out too', async (t) => {
  const watched = await watching(t);
  const first = await listed(watched);
  const before = performance.now();
  first.events(errorEvent(429, 'slow down', { details: { retryAfterSeconds: 1 } }));
  const next = await watched.server.next(paths.services);
  t.true(performance.now() - before >= 990);
  t.is(next.query.get('resourceVersion'), '9');
});

test('a silent peer is left, and the watch goes on from where it was', async (t) => {
  const watched = await watching(t, { pace: { silence: 300 } });
  const first = await listed(watched);
  await first.gone;
  const second = await watched.server.next(paths.services);
  t.is(second.query.get('resourceVersion'), '9');
});

test('a peer that does not even answer is left', async (t) => {
  const watched = await watching(t, { pace: { answer: 300 } });
  const { server, until } = watched;
  await (await server.next(paths.services)).gone;
  const { objects } = await until(({ problems }) => problems.length > 0);
  t.is(objects, null);
  t.regex(reasons(watched.last()), /it cannot be reached, it was silent for 0 s: what is known stays/);
  await listed(watched);
  await until(({ problems }) => problems.length === 0);
});

test('a line that is no event: the watch begins again from before it, and after three times all is listed anew', async (t) => {
  const watched = await watching(t);
  const { server, until } = watched;
  let watch = await listed(watched);
  for (const garbage of [
    '{"type":"ADDED","object":{"kind":"Serv\n',
    '<html>\n',
    '{"type":"NEWS","object":{"metadata":{}}}\n',
  ]) {
    watch.write(garbage);
    watch = await server.next(paths.services);
    if (garbage !== '{"type":"NEWS","object":{"metadata":{}}}\n') t.is(watch.query.get('resourceVersion'), '9');
  }
  t.is(watch.query.get('sendInitialEvents'), 'true');
  await until((snapshot) => /a line is not JSON|no watch event/.test(reasons(snapshot)));
  watch.events(serviceEvent('ADDED', 'b', '20'), initialEnd('21'));
  await until(({ problems }) => problems.length === 0);
  await until(has('b'));
});

test('a server that restarts: many errors, one list', async (t) => {
  const watched = await watching(t);
  const { server, until } = watched;
  (await listed(watched)).cut();
  for (const status of [500, 503, 401, 403, 500, 503]) {
    (await server.next(paths.services)).refuse(status, statusObject(status, 'not yet'));
  }
  (await server.next(paths.services)).cut();
  const back = await server.next(paths.services);
  t.is(back.query.get('resourceVersion'), '9');
  back.events(serviceEvent('ADDED', 'b', '12'));
  await until(has('a', 'b'));
  await until(({ problems }) => problems.length === 0);
});

test('a server whose store was restored from a backup is listed anew', async (t) => {
  const watched = await watching(t);
  const first = await listed(watched);
  first.events(bookmark('8'));
  const next = await watched.server.next(paths.services);
  t.is(next.query.get('sendInitialEvents'), 'true');
});

test('an object of a wrong shape keeps its last good state, and says so until it is mended or goes', async (t) => {
  const watched = await watching(t);
  const { until } = watched;
  const watch = await listed(watched);
  watch.events(
    serviceEvent('MODIFIED', 'a', '10', { ports: 'eighty' }),
    serviceEvent('ADDED', 'b', '11', { type: [] }),
  );
  const { objects } = await until((snapshot) => snapshot.problems.length === 3);
  t.deepEqual([...(objects?.keys() ?? [])], ['Service default/a']);
  t.regex(reasons(watched.last()), /Service default\/a: its last good state stays in use/);
  watch.events(serviceEvent('MODIFIED', 'a', '12'), serviceEvent('DELETED', 'b', '13', { type: [] }));
  await until(({ problems }) => problems.length === 0);
  watch.events(errorEvent(410, 'too old'));
  const anew = await watched.server.next(paths.services);
  anew.events(serviceEvent('ADDED', 'a', '14', { ports: 'eighty' }), initialEnd('15'));
  await until((snapshot) => snapshot.problems.length === 2);
  t.true(has('a')(watched.last()));
});

test('a server that is not there: known by name, and used when it comes', async (t) => {
  const gone = await startScriptedServer();
  await gone.close();
  const { until, snapshots } = await watching(t, { server: gone });
  const { objects, synced, problems } = await until((snapshot) => snapshot.problems.length > 0);
  t.is(objects, null);
  t.false(synced);
  t.regex(problems[0]?.reason ?? '', /^it cannot be reached, connect ECONNREFUSED 127.0.0.1:\d+: what is known stays/);
  const { problems: all } = await until((snapshot) => snapshot.problems.length === 4);
  t.is(new Set(all.map(({ reason }) => reason)).size, 1);
  t.true(snapshots.every((snapshot) => snapshot.objects === null));
});
