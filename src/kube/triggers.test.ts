import test from 'ava';
import { serviceYaml, settings, storeOf } from './fixture.ts';
import { parse } from './parse.ts';
import { changeTriggers } from './triggers.ts';

function slice(name: string, type: string, at: string): string {
  const annotations = `annotations: {endpoints.kubernetes.io/last-change-trigger-time: ${at}, other: x}`;
  const metadata = `{name: ${name}, labels: {kubernetes.io/service-name: web}, ${annotations}}`;
  return `{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: ${metadata}, addressType: ${type}, ports: [{port: 1}], endpoints: []}\n---\n`;
}

test('changeTriggers() tells when the slices that changed began to, by their annotations', (t) => {
  const old = slice('old', 'IPv4', '"2026-01-01T00:00:00Z"');
  const before = storeOf(serviceYaml('') + old);
  const after = new Map([
    ...before,
    ...storeOf(
      slice('a', 'IPv4', '"2026-01-02T00:00:00.5Z"') +
        slice('b', 'IPv6', '2026-01-02T00:00:01Z') +
        slice('c', 'IPv4', 'yesterday') +
        slice('d', 'IPv4', '""'),
    ),
  ]);
  const parsed = parse(after, settings, parse(before, settings, null));
  t.deepEqual(changeTriggers(parsed, before, ['default/web']), [
    { family: 4, at: Date.UTC(2026, 0, 2, 0, 0, 0, 500) },
    { family: 6, at: Date.UTC(2026, 0, 2, 0, 0, 1) },
  ]);
  t.deepEqual(changeTriggers(parsed, after, ['default/web']), []);
  t.deepEqual(changeTriggers(parsed, before, ['default/none']), []);
});
