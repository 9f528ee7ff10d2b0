import assert from 'node:assert/strict';
import test from 'ava';
import { possibleCpus } from 'libbpf-ts';
import { openPinned, runAgentIn, service, writeManifest } from '../test/agent.ts';
import { eventually } from '../test/netns/eventually.ts';
import { makeSandbox } from '../test/sandbox.ts';
import type { Generation } from './kernel/generation.ts';
import { counterKey, flow, flowKey, reason, u32 } from './layout.gen.ts';
import { makeMetrics } from './metrics.ts';

const box = makeSandbox();
test.after.always(() => box.close());

/** Prometheus' text format, by its description: 'name{a="b"}' → value. Throws for a line that is not of it. */
function parse(text: string): Map<string, number> {
  const values = new Map<string, number>();
  const typed = new Set<string>();
  for (const line of text.trimEnd().split('\n')) {
    const [, named] = /^# TYPE (\w+) (?:counter|gauge|histogram)$/.exec(line) ?? [];
    if (named !== undefined) typed.add(named);
    if (line === '' || line.startsWith('# ')) continue;
    const [, name, labels = '', value] = /^(\w+)(\{(?:\w+="(?:[^"\\\n]|\\.)*",?)*\})? (\S+)$/.exec(line) ?? [];
    if (name === undefined || Number.isNaN(Number(value)) || values.has(name + labels)) throw new Error(line);
    if (!typed.has(name.replace(/_(bucket|sum|count)$/, '')) && !typed.has(name)) throw new Error(`no type: ${line}`);
    values.set(name + labels, Number(value));
  }
  return values;
}

function count(generation: Generation, servicePort: number, why: keyof typeof reason, each: number): void {
  const perCpu = Buffer.alloc(8 * possibleCpus);
  for (let cpu = 0; cpu < possibleCpus; cpu += 1) perCpu.writeBigUInt64LE(BigInt(each), 8 * cpu);
  const key = counterKey.encode({ servicePort, reason: reason[why] });
  generation.state.counters.update(Buffer.from(key, 'hex'), perCpu);
}

function addFlows(generation: Generation, rows: number): void {
  const key = flowKey.decode('00'.repeat(flowKey.size));
  for (let device = 1; device <= rows; device += 1) {
    generation.state.flows.update(
      Buffer.from(flowKey.encode({ ...key, device }), 'hex'),
      Buffer.from(flow.encode(flow.decode('00'.repeat(flow.size))), 'hex'),
    );
  }
}

test('makeMetrics() tells what the kernel counted, what is in its maps, and what the agent did', async (t) => {
  const source: { generation: Generation | undefined } = { generation: undefined };
  const metrics = makeMetrics(source, '1.2.3');
  t.is(parse(await metrics.text()).get('bpfsvc_build_info{version="1.2.3"}'), 1, 'before anything is loaded');
  const self = parse(await metrics.text());
  const megabytes = (self.get('process_resident_memory_bytes') ?? 0) / 2 ** 20;
  t.true(megabytes > 20 && megabytes < 2000, `${megabytes}`);
  t.true((self.get('process_cpu_seconds_total') ?? 0) > 0);
  const age = Date.now() / 1000 - (self.get('process_start_time_seconds') ?? 0);
  t.true(age >= 0 && age < 3600, `${age}`);

  const odd = { apiVersion: 'v1', kind: 'Service', metadata: { name: 'odd' }, spec: { ports: 'none' } };
  const manifests = writeManifest(box, 'web.json', [...service('web', '10.96.0.1', ['10.1.0.1', '10.1.0.2']), odd]);
  const agent = runAgentIn(box, { manifests, metrics });
  t.teardown(() => agent.stop());
  await eventually(() => assert(agent.messages.some((line) => / written for /.test(line))), 60);
  const generation = openPinned(box);
  t.teardown(() => generation[Symbol.dispose]());
  source.generation = generation;

  const [id] = [...(await idsOf(generation))];
  count(generation, id ?? 0, 'connected_pod', 3);
  count(generation, id ?? 0, 'connected_moved', 2);
  count(generation, id ?? 0, 'drop_no_source_port', 1);
  count(generation, id ?? 0, 'reject_undefined_port', 5);
  count(generation, 0, 'drop_unallocated', 7);
  count(generation, 0, 'event_lost', 4);
  addFlows(generation, 10);

  const values = parse(await metrics.text());
  const web = 'namespace="default",service="web",port="http",protocol="TCP"';
  const nobody = 'namespace="",service="",port="",protocol=""';
  const expected: [string, number][] = [
    [`bpfsvc_connections_total{${web},reason="connected_pod"}`, 3 * possibleCpus],
    [`bpfsvc_source_ports_moved_total{${web}}`, 2 * possibleCpus],
    [`bpfsvc_drops_total{${web},reason="drop_no_source_port"}`, possibleCpus],
    [`bpfsvc_rejections_total{${web},reason="reject_undefined_port"}`, 5 * possibleCpus],
    [`bpfsvc_drops_total{${nobody},reason="drop_unallocated"}`, 7 * possibleCpus],
    ['bpfsvc_trace_events_lost_total', 4 * possibleCpus],
    ['bpfsvc_map_rows{map="flows"}', 10],
    ['bpfsvc_map_max_rows{map="flows"}', 1024],
    ['bpfsvc_map_rows{map="affinity"}', 0],
    ['bpfsvc_map_rows{map="counters"}', 6],
    ['bpfsvc_map_rows{map="frontends"}', 2],
    ['bpfsvc_map_rows{map="backends"}', 2],
    ['bpfsvc_map_max_rows{map="frontends"}', 16_384],
    [`bpfsvc_generation_info{generation="${generation.hash}"}`, 1],
    ['bpfsvc_pass_duration_seconds_count{scope="all"}', 1],
    ['bpfsvc_rows_refused', 0],
    ['bpfsvc_problems', 1],
  ];
  for (const [name, value] of expected) t.is(values.get(name), value, name);
  t.true((values.get('bpfsvc_rows_written_total') ?? 0) >= 5);
  t.is([...values.keys()].filter((name) => name.startsWith('bpfsvc_connections_total')).length, 1);

  addFlows(generation, 20);
  count(generation, id ?? 0, 'connected_pod', 4);
  const [later, same] = (await Promise.all([metrics.text(), metrics.text()])).map(parse);
  t.is(later?.get('bpfsvc_map_rows{map="flows"}'), 10, 'large maps are not counted at each look');
  t.is(later?.get(`bpfsvc_connections_total{${web},reason="connected_pod"}`), 4 * possibleCpus);
  t.deepEqual(same, later, 'whoever asks at the same time gets the same');
  writeManifest(box, 'web.json', service('web', '10.96.0.1', ['10.1.0.1', '10.1.0.3']));
  await eventually(async () => {
    const after = parse(await metrics.text());
    assert(after.get('bpfsvc_pass_duration_seconds_count{scope="changed"}'));
    assert.equal(after.get('bpfsvc_problems'), 0);
  }, 60);
});

async function idsOf({ tables }: Generation): Promise<number[]> {
  const ids: number[] = [];
  for (let key = tables.names.nextKey(undefined); key !== undefined; key = tables.names.nextKey(key)) {
    ids.push(u32.decode(Buffer.from(key).toString('hex')));
  }
  return ids;
}
