import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import anyTest from 'ava';
import { worlds } from '../../test/explain/worlds.ts';
import type { Answer } from './answer.ts';

const test = anyTest.serial;
const script = fileURLToPath(new URL('../../test/explain/answer-worlds.ts', import.meta.url));

type Answers = Record<string, Record<string, Answer>>;

async function answersOf(...options: string[]): Promise<Answers> {
  const run = promisify(execFile);
  return JSON.parse((await run(process.execPath, [script, ...options], { maxBuffer: 2 ** 26 })).stdout);
}

let answers: Answers;
let withoutSockets: Answers;
test.before(async () => {
  answers = await answersOf();
  withoutSockets = await answersOf('--no-sockets');
});

function textOf({ verdict, backends, masqueraded }: Answer): string {
  return [verdict, ...backends.map((backend) => (masqueraded.includes(backend) ? `${backend}*` : backend))].join(' ');
}

for (const world of worlds) {
  test(`explain: ${world.name}`, (t) => {
    for (const [flow, expected] of Object.entries(world.flows)) {
      const answer = answers[world.name]?.[flow] as Answer;
      t.is(textOf(answer), expected, `${flow}\n${JSON.stringify(answer.steps, null, 1)}`);
      const packet = withoutSockets[world.name]?.[flow];
      if (packet === undefined) continue;
      t.is(textOf(packet), expected, `${flow} without sockets\n${JSON.stringify(packet.steps, null, 1)}`);
      t.is(packet.service, answer.service);
    }
  });
}

/** What an operator must be able to read, in steps or reason. */
const told: readonly [world: RegExp, flow: string, words: RegExp][] = [
  [/left to others/, '10.60.1.9 > 10.97.0.41:80', /Service town\/elsewhere is not programmed: type ExternalName/],
  [
    /left to others/,
    '10.60.1.9 > 10.60.1.1:80/udp',
    /endpoint of Service town\/headless, which is not programmed: headless/,
  ],
  [
    /left to others/,
    '10.60.1.9 > 10.97.0.42:80',
    /Service town\/mesh is not programmed: label .*service-proxy-name=mesh/,
  ],
  [/mode VIP/, '203.0.113.5 > 198.51.100.11:80', /in mode Proxy/],
  [/^clusterIPs/, '10.60.1.9 > 10.60.2.1:80', /endpoint of Service town\/many, asked directly/],
  [/^clusterIPs/, '10.60.1.9 > 10.97.0.50:80', /in a ServiceCIDR and no Service has it/],
  [/^nodePorts, IPv4: the primary/, '203.0.113.5 > 192.0.2.22:31080', /nodePorts answer on .*192\.0\.2\.21/],
  [/^SCTP/, '10.60.1.9 > 10.97.0.42:7000/sctp', /SCTP keeps its port number/],
  [/^both policies/, '203.0.113.5 > 198.51.100.10:80', /10\.60\.2\.1:8080 on birch: out, the Local policy/],
  [
    /terminating.*Cluster: ready/,
    '10.60.1.9 > 10.97.0.41:80',
    /10\.60\.2\.3:80 on birch: out, serving while it terminates/,
  ],
  [
    /terminating.*Cluster: ready/,
    '10.60.1.9 > 10.97.0.41:80',
    /10\.60\.2\.4:80 on birch: out, terminating and serving no more/,
  ],
  [/hints: of this zone/, '10.60.1.9 > 10.97.0.41:80', /10\.60\.2\.1:80 on birch: out, its hints are for zone b/],
  [/loadBalancerSourceRanges guard/, '203.0.113.130 > 198.51.100.10:80', /203\.0\.113\.130 is in none of them/],
  [
    /^externalTrafficPolicy Local/,
    '10.60.1.9 > 198.51.100.20:80',
    /Local is for clients from outside, and this one is a pod/,
  ],
  [/session affinity/, '10.60.1.9 > 10.97.0.41:80', /ClientIP: .* 10800 s/],
  [/^schedulers/, '10.60.1.9 > 10.97.1.0:80', /2 may be chosen, by scheduler rr, in turn: /],
  [/^schedulers/, '10.60.1.9 > 10.97.1.1:80', /by scheduler lc, the one with the fewest connections of this node: /],
  [/^schedulers/, '10.60.1.9 > 10.97.1.6:80', /by scheduler maglev, a hash of the client's address: /],
  [/^schedulers/, '10.60.1.9 > 10.97.1.7:80', /each as likely as the other/],
  [/^clusterIPs/, '10.60.1.1 > 10.97.0.41:80', /reaches itself as 10\.60\.1\.1/],
  [/^clusterIPs/, '10.60.1.1 > 10.97.0.41:80', /10\.97\.0\.41:\d+ → 10\.60\.1\.1:80/],
];
for (const [pattern, flow, words] of told) {
  test(`explain tells why: ${flow}, ${words.source}`, (t) => {
    const world = worlds.find(({ name }) => pattern.test(name));
    const answer = answers[world?.name ?? '']?.[flow] as Answer;
    const text = [answer.reason, ...answer.steps.map((step) => step.text)].join('\n');
    t.regex(text, words);
  });
}

test('the worlds are many', (t) => {
  t.true(worlds.length >= 30);
  t.true(worlds.flatMap(({ flows }) => Object.keys(flows)).length >= 150);
  t.is(new Set(worlds.map(({ name }) => name)).size, worlds.length);
});
