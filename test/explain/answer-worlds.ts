/**
 * Answers all flows of all worlds, as JSON: { world: { flow: answer } }. With --no-sockets only those of the
 * node itself, whose sockets are not asked. A process of its own, since asking sockets takes it into another cgroup.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseNodePortAddresses } from '../../src/commands/run-options.ts';
import type { Answer } from '../../src/explain/answer.ts';
import { explain } from '../../src/explain/explain.ts';
import { openOffline } from '../../src/explain/offline.ts';
import { makeQuestion, parseTarget, type Question } from '../../src/explain/question.ts';
import { defaultRanges } from '../../src/kube/allocate.ts';
import { readManifests } from '../../src/kube/manifests.ts';
import { type Parsed, parse } from '../../src/kube/parse.ts';
import { type Cidr, parseCidr } from '../../src/model/address.ts';
import { clusterCidr, node, objectsOf, type WorldText } from './world.ts';
import { worlds } from './worlds.ts';

const sockets = !process.argv.includes('--no-sockets');
const all: Record<string, Record<string, Answer>> = {};
for (const world of worlds) all[world.name] = await answersOf(world);
process.stdout.write(JSON.stringify(all));

async function answersOf(world: WorldText): Promise<Record<string, Answer>> {
  const { flows, options = {} } = world;
  const every = Object.keys(flows).map((flow) => [flow, questionOf(flow)] as const);
  const questions = every.filter(([, { from }]) => sockets || /^(192\.0\.2\.2|127\.|2001:db8::2)/.test(from));
  if (questions.length === 0) return {};
  const cidrs = options.clusterCidr === undefined ? clusterCidr : options.clusterCidr;
  const described = {
    parsed: await read(world),
    node,
    serviceCidrs: [],
    detector: { mode: 'ClusterCIDR' as const, cidrs: (cidrs?.split(',') ?? []).map((text) => parseCidr(text) as Cidr) },
    masqueradeAll: options.masqueradeAll ?? false,
    nodePorts: parseNodePortAddresses(options.nodePortAddresses ?? ['primary']),
  };
  await using offline = await openOffline(
    described,
    questions.map(([, question]) => question),
    { sockets },
  );
  const answers: Record<string, Answer> = {};
  for (const [flow, question] of questions) answers[flow] = await explain(offline.stage, question);
  return answers;
}

async function read(world: WorldText): Promise<Parsed> {
  const folder = mkdtempSync(join(tmpdir(), 'bpfsvc-explain-'));
  try {
    const file = join(folder, 'world.json');
    writeFileSync(file, JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objectsOf(world) }));
    const settings = { serviceProxyName: world.options?.proxyName ?? null, ranges: defaultRanges };
    return parse((await readManifests(file)).objects, settings, null);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function questionOf(flow: string): Question {
  const [, from = '', to = '', protocol = 'tcp'] = /^(\S+) > (\S+:\d+)(?:\/(\w+))?$/.exec(flow) ?? [];
  return makeQuestion({ from, ...parseTarget(to), protocol });
}
