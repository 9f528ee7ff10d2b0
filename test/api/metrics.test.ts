/** What is counted of how it goes with an API server. */
import assert from 'node:assert/strict';
import { Counter, Gauge, Registry } from '@prometheus-io/client';
import test from 'ava';
import { makeApiMetrics } from '../../src/api-metrics.ts';
import { eventually } from '../netns/eventually.ts';
import { bookmark, errorEvent, initialEnd, serviceEvent, statusObject } from './scripted-server.ts';
import { has, paths, reasons, watching } from './watched.ts';

/** name{label} → value of what is said of Services or of requests. */
async function read(registry: Registry): Promise<Record<string, number>> {
  const values: Record<string, number> = {};
  for (const line of (await registry.metrics()).split('\n')) {
    const [, name = '', labels = '', value] = /^(\w+)\{(.*)\} (\S+)$/.exec(line) ?? [];
    const said = labels.replace('resource="services"', '').replace(/host="[^"]*"/, '');
    if (value !== undefined && !labels.includes('resource') !== labels.includes('services')) {
      values[`${name}{${said.replace(/^,|,$/g, '')}}`] = Number(value);
    }
  }
  return values;
}

test('lists, watches, events, failures, and when the server said something last', async (t) => {
  const registry = new Registry();
  let clock = 1_000_000;
  const observer = makeApiMetrics({ Counter, Gauge }, [registry], () => clock);
  const { server, until } = await watching(t, { options: { observer } });
  const hasAll = async (wanted: Record<string, number>) => {
    const values = await read(registry);
    assert.deepEqual({ ...values, ...wanted }, values);
  };
  const says = (wanted: Record<string, number>) => eventually(() => hasAll(wanted), 60);

  const first = await server.next(paths.services);
  await says({ 'bpfsvc_api_followed{}': 0 });
  first.events(serviceEvent('ADDED', 'a', '5'), serviceEvent('ADDED', 'b', '6'), initialEnd('9'));
  await until(has('a', 'b'));
  await says({
    'bpfsvc_api_lists_total{}': 1,
    'bpfsvc_api_events_total{}': 2,
    'bpfsvc_api_last_heard_timestamp_seconds{}': 1000,
    'bpfsvc_api_followed{}': 1,
    'rest_client_requests_total{code="200",method="GET"}': 4,
  });

  clock = 2_000_000;
  first.events(bookmark('40'));
  await says({ 'bpfsvc_api_last_heard_timestamp_seconds{}': 2000, 'bpfsvc_api_events_total{}': 2 });
  first.end();
  const second = await server.next(paths.services);
  second.events(serviceEvent('DELETED', 'a', '41'));
  await until(has('b'));
  await says({
    'bpfsvc_api_lists_total{}': 1,
    'bpfsvc_api_watches_resumed_total{}': 1,
    'bpfsvc_api_events_total{}': 3,
    'bpfsvc_api_followed{}': 1,
  });

  second.events(errorEvent(410, 'too old'));
  (await server.next(paths.services)).refuse(503, statusObject(503, 'busy'));
  await until((snapshot) => reasons(snapshot).includes('busy'));
  await says({ 'bpfsvc_api_followed{}': 0, 'bpfsvc_api_failures_total{fault="refused"}': 1 });
  await says({ 'rest_client_requests_total{code="503",method="GET"}': 1 });
  (await server.next(paths.services)).cut();
  (await server.next(paths.services)).write('nonsense\n');
  const last = await server.next(paths.services);
  last.events(initialEnd('90'));
  await until(has());
  await eventually(async () => assert.equal((await read(registry))['bpfsvc_api_followed{}'], 1), 60);
  t.like(await read(registry), {
    'bpfsvc_api_lists_total{}': 2,
    'bpfsvc_api_failures_total{fault="unreachable"}': 1,
    'bpfsvc_api_failures_total{fault="nonsense"}': 1,
    'bpfsvc_api_failures_total{fault="refused"}': 1,
    'rest_client_requests_total{code="<error>",method="GET"}': 1,
  });
});

test('what a cluster does not have is followed, and no failure', async (t) => {
  const registry = new Registry();
  const observer = makeApiMetrics({ Counter, Gauge }, [registry], Date.now);
  const { server, until } = await watching(t, { told: ['cidrs'], pace: { absent: 60_000 }, options: { observer } });
  (await server.next(paths.cidrs)).refuse(404, 'no such thing');
  await until(({ synced }) => synced);
  const text = await registry.metrics();
  t.regex(text, /^bpfsvc_api_followed\{resource="servicecidrs"\} 1$/m);
  t.notRegex(text, /^bpfsvc_api_failures_total\{/m);
});
