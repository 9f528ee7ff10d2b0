import test, { type ExecutionContext } from 'ava';
import { recordEvents } from '../../src/kube/api/event-recorder.ts';
import { startScriptedServer, statusObject } from './scripted-server.ts';

const events = '/api/v1/namespaces/shop/events';
const services = '/api/v1/namespaces/shop/services';

async function startRecorder(t: ExecutionContext) {
  const server = await startScriptedServer();
  const recorder = recordEvents({
    place: { kubeconfig: null, master: server.url },
    node: 'n1',
    userAgent: 'test',
    pauseMs: 1,
  });
  t.teardown(() => server.close());
  t.teardown(() => recorder.close());
  return { server, recorder };
}

test('a Problem of an object is told once, and again only after it was gone', async (t) => {
  const { server, recorder } = await startRecorder(t);
  const problem = { object: 'Service shop/web', reason: 'externalIPs[0]: "x" is not an IP address: left out' };
  const told = async () => {
    const listed = await server.next(services);
    t.is(listed.query.get('fieldSelector'), 'metadata.name=web');
    listed.refuse(200, { items: [{ metadata: { uid: 'u-1' } }] });
    const asked = await server.next(events);
    asked.refuse(201, {});
    return asked.body as { metadata: { name: string }; involvedObject: object; message: string; source: object };
  };
  recorder.report([{ object: 'API server here', reason: 'away' }, { object: 'file a.yaml', reason: 'bad' }, problem]);
  const first = await told();
  t.deepEqual(first.involvedObject, { apiVersion: 'v1', kind: 'Service', namespace: 'shop', name: 'web', uid: 'u-1' });
  t.like(first, { message: problem.reason, source: { component: 'bpfsvc', host: 'n1' }, type: 'Warning', count: 1 });
  const other = { ...problem, reason: 'FailedToStartServiceHealthcheck: another' };
  recorder.report([problem, other]);
  const second = await told();
  t.like(second, { message: 'another', reason: 'FailedToStartServiceHealthcheck' });
  t.like(first, { reason: 'NotServedAsWritten' });
  t.not(second.metadata.name, first.metadata.name);
  recorder.report([]);
  recorder.report([problem]);
  t.is((await told()).metadata.name, first.metadata.name);
  t.is(server.count(services), 3);
});

test('what the server does not take is let go', async (t) => {
  const { server, recorder } = await startRecorder(t);
  recorder.report(
    ['gone', 'refused', 'there', 'last'].map((name) => ({ object: `Service shop/${name}`, reason: 'r' })),
  );
  (await server.next(services)).refuse(200, { items: [] });
  (await server.next(services)).refuse(403, statusObject(403, 'forbidden'));
  (await server.next(services)).refuse(200, { items: [{ metadata: { uid: 'u' } }] });
  (await server.next(events)).refuse(409, statusObject(409, 'already exists'));
  (await server.next(services)).cut();
  t.is(server.count(events), 1);
});
