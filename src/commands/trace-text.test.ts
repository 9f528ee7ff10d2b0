import { readFileSync } from 'node:fs';
import test from 'ava';
import { schemaErrors } from '../../test/json-schema.ts';
import { type Event, eventKind, hook, reason } from '../layout.gen.ts';
import { addressToHex } from '../model/address.ts';
import { type TraceItem, traceItem } from './trace-items.ts';
import { traceTable } from './trace-text.ts';

const schema = JSON.parse(readFileSync(new URL('trace.schema.json', import.meta.url), 'utf8'));
const web = { namespace: 'default', name: 'web', portName: 'http', id: 7 };
const nobody = { namespace: '', name: '', portName: '', id: 0 };
const none = '0'.repeat(32);

/** 2026-03-04T05:06:07Z was when the clock stood at zero. */
const bootTime = BigInt(Date.UTC(2026, 2, 4, 5, 6, 7)) * 1_000_000n;

const event: Event = {
  time: 1_234_567_890n,
  asked: {
    source: addressToHex('10.1.0.9'),
    sourcePort: 40000,
    destination: addressToHex('10.96.0.1'),
    destinationPort: 80,
    protocol: 6,
    hook: hook.from_pod,
    device: 3,
  },
  source: addressToHex('10.1.0.9'),
  sourcePort: 40000,
  destination: addressToHex('10.1.0.1'),
  destinationPort: 8080,
  servicePort: 7,
  kind: eventKind.made,
  reason: reason.connected_pod,
  process: 0,
  command: '',
};
const nothing = { source: none, sourcePort: 0, destination: none, destinationPort: 0 };

const cases: { name: string; item: TraceItem; line: RegExp }[] = [
  {
    name: 'a flow',
    item: traceItem(event, web, bootTime),
    line: /^\d\d:06:08\.234567 {3}made {6}TCP {8}10\.1\.0\.9:40000 {10}-> 10\.96\.0\.1:80 {6}=> 10\.1\.0\.1:8080 {7}default\/web:http {3}connected_pod\n$/,
  },
  {
    name: 'a client whose address its backend does not see',
    item: traceItem({ ...event, source: addressToHex('192.0.2.1'), sourcePort: 1025 }, web, bootTime),
    line: / => 10\.1\.0\.1:8080 as 192\.0\.2\.1:1025 /,
  },
  {
    name: 'IPv6, of a Service that is gone',
    item: traceItem(
      {
        ...event,
        asked: { ...event.asked, source: addressToHex('fd00::9'), destination: addressToHex('fd00:96::1') },
        source: addressToHex('fd00::9'),
        destination: addressToHex('fd00::1'),
      },
      { ...nobody, id: 9 },
      bootTime,
    ),
    line: / \[fd00::9\]:40000 +-> \[fd00:96::1\]:80 +=> \[fd00::1\]:8080 +<none> +connected_pod\n$/,
  },
  {
    name: 'a drop of what has no ports',
    item: traceItem(
      {
        ...event,
        ...nothing,
        asked: { ...event.asked, protocol: 1, sourcePort: 0, destinationPort: 0, hook: hook.to_wire },
        kind: eventKind.dropped,
        reason: reason.drop_unallocated,
      },
      nobody,
      bootTime,
    ),
    line: / dropped +ICMP +10\.1\.0\.9 +-> 10\.96\.0\.1 +<none> +drop_unallocated\n$/,
  },
  {
    name: 'the call of a process',
    item: traceItem(
      {
        ...event,
        source: none,
        sourcePort: 0,
        asked: { ...event.asked, source: none, sourcePort: 0, hook: hook.socket },
        reason: reason.connected_socket,
        process: 4711,
        command: 'curl',
      },
      web,
      bootTime,
    ),
    line: / made +TCP +curl\[4711\] +-> 10\.96\.0\.1:80 +=> 10\.1\.0\.1:8080 +default\/web:http +connected_socket\n$/,
  },
];

for (const { name, item, line } of cases) {
  test(`traceTable() and traceItem() tell people and programs of ${name}`, (t) => {
    const table = traceTable();
    t.regex(table(item), /^TIME .* REASON\n/);
    t.regex(table(item), line);
    t.deepEqual(schemaErrors(item, schema), []);
  });
}

test('traceItem() has the time to the microsecond', (t) => {
  t.is(traceItem(event, web, bootTime).time, '2026-03-04T05:06:08.234567Z');
  t.is(traceItem({ ...event, time: 1_999n }, web, bootTime).time, '2026-03-04T05:06:07.000001Z');
});

test('traceTable() gives titles once, above the columns, which only widen', (t) => {
  const table = traceTable();
  const [titles = '', first = ''] = table(traceItem(event, web, bootTime)).split('\n');
  t.is(titles.indexOf('REASON'), first.indexOf('connected_pod'));
  const long = { ...web, name: 'a-name-that-is-rather-long' };
  t.notRegex(table(traceItem(event, long, bootTime)), /TIME/);
  t.true(table(traceItem(event, web, bootTime)).indexOf('connected_pod') > first.indexOf('connected_pod'));
});

test('trace.schema.json finds what is wrong', (t) => {
  const item = traceItem(event, web, bootTime);
  const wrong = [
    { ...item, event: 'else' },
    { ...item, time: 'now' },
    { ...item, asked: { source: '10.0.0.1:80', destination: null } },
    { ...item, process: { pid: 0, command: '' } },
    { time: item.time, event: 'lost', count: 0 },
  ];
  for (const one of wrong) t.notDeepEqual(schemaErrors(one, schema), [], JSON.stringify(one));
  t.deepEqual(schemaErrors({ time: item.time, event: 'lost', count: 3 }, schema), []);
});
