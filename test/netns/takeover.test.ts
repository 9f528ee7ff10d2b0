/** From kube-proxy to bpfsvc and back under traffic: what real kube-proxy wrote is in the kernel, and nobody notices. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import anyTest, { type ExecutionContext } from 'ava';
import { type Schema, schemaErrors } from '../json-schema.ts';
import { type Flavour, flavours } from '../takeover/kube-proxy.ts';
import { allRules, loadRules } from '../takeover/rules.ts';
import { nodePorts, serviceCidrs, stageOptions, stageText, vips } from '../takeover/stage.ts';
import { type Agent, startAgent } from './agent.ts';
import { run, stop } from './command.ts';
import { eventually } from './eventually.ts';
import { createLab, type Lab, type Node } from './lab.ts';
import { manifest, nodeObjects, serviceObjects } from './objects.ts';
import { type Client, type Connection, startClient, startServer, type Target } from './traffic.ts';

const test = anyTest.serial;

interface Stage extends AsyncDisposable {
  readonly lab: Lab;
  readonly node: Node;
  /** By where they are and whether socket hooks will see them. */
  readonly clients: Readonly<Record<'pod' | 'pod at tc' | 'node' | 'outside', Client>>;
}

async function setStage(flavour: Flavour): Promise<Stage> {
  const lab = await createLab({ ...stageOptions, tag: `over${flavours.indexOf(flavour)}` });
  const node = lab.node('n1');
  for (const name of ['n1p2', 'n2p1']) await startServer(lab, lab.pod(name), [8080]);
  await loadRules(node, flavour);
  await run(node, ['ip', 'link', 'set', 'lo', 'up']);
  /* what rests for longer, the kernel forgets, and the node's sockets of it are ended: a busy machine is slower than that */
  for (const name of ['udp_timeout', 'udp_timeout_stream']) {
    await run(node, ['sysctl', '-qw', `net.netfilter.nf_conntrack_${name}=900`]);
  }
  const cgroup = { cgroup: node.cgroup };
  const clients = {
    pod: startClient(lab, lab.pod('n1p1'), cgroup),
    'pod at tc': startClient(lab, lab.pod('n1p1')),
    node: startClient(lab, node, cgroup),
    outside: startClient(lab, lab.outside),
  };
  return { lab, node, clients, [Symbol.asyncDispose]: async () => await lab.close() };
}

const dnsPort = [{ name: 'dns', port: 53, targetPort: 8080, protocol: 'UDP' as const }];
/** What is lost is lost; a machine that is busy is only late. */
const PATIENCE_MS = 15_000;

const flags = ['--service-cidr', serviceCidrs];
const targetsInside: readonly Target[] = [
  ...vips.web.map((address) => ({ protocol: 'tcp' as const, address, port: 80 })),
  ...vips.web.map((address) => ({ protocol: 'udp' as const, address, port: 80 })),
  ...vips.dns.map((address) => ({ protocol: 'udp' as const, address, port: 53, connected: false })),
];

function targetsOf(who: string, node: Node): readonly Target[] {
  const fromOutside = [node.ip4, node.ip6].map((address) => ({
    protocol: 'tcp' as const,
    address,
    port: nodePorts.web,
  }));
  return who === 'outside' ? fromOutside : targetsInside;
}

/** Conversations of every client with every target; several, for each chooses a backend. */
async function converse({ clients, node }: Stage): Promise<{ name: string; talk: Connection }[]> {
  const talks: { name: string; talk: Connection }[] = [];
  for (const [who, client] of Object.entries(clients)) {
    for (const target of targetsOf(who, node)) {
      for (let i = 0; i < 2; i += 1) {
        talks.push({
          name: `${who} ${target.protocol} ${target.address}`,
          talk: await client.open({ ...target, timeout: PATIENCE_MS }),
        });
      }
    }
  }
  return talks;
}

async function askAll(t: ExecutionContext, talks: Awaited<ReturnType<typeof converse>>, when: string): Promise<void> {
  for (const { name, talk } of talks) {
    await t.notThrowsAsync(async () => await talk.ask(), `${name}, ${when}`);
  }
}

/** New connections all the time. */
function startTraffic({ clients, node }: Stage): { stop(): Promise<unknown[]> } {
  const streams = Object.entries(clients).flatMap(([who, client]) =>
    targetsOf(who, node).map((target) => ({
      who,
      target,
      stream: client.stream({ ...target, perSecond: 5, timeout: PATIENCE_MS }),
    })),
  );
  return {
    async stop() {
      const tallies = await Promise.all(
        streams.map(async ({ who, target, stream }) => ({ who, target, tally: await stream.stop() })),
      );
      return tallies
        .filter(({ tally }) => tally.failed > 0 || tally.ok === 0)
        .map(
          ({ who, target, tally }) =>
            `${who} ${target.protocol} ${target.address}: ${JSON.stringify(tally.errors)} of ${tally.asked}`,
        );
    },
  };
}

interface Document {
  readonly disagreements: readonly { readonly known: string; readonly place: string }[];
  readonly hindrances: readonly string[];
  readonly done: readonly string[] | null;
  readonly notes: readonly string[];
  readonly connections: { readonly tcp: number; readonly udp: number } | null;
  readonly natKept: boolean;
  readonly rules: readonly { readonly flavour: string; readonly places: number }[];
}

const schema = JSON.parse(
  readFileSync(new URL('../../src/commands/takeover.schema.json', import.meta.url), 'utf8'),
) as Schema;

async function takeover(
  agent: Agent,
  ...words: string[]
): Promise<{ code: number; document: Document; stderr: string }> {
  const { code, stdout, stderr } = await agent.bpfsvc('takeover', '-o', 'json', ...words);
  const document = JSON.parse(stdout) as Document;
  const errors = schemaErrors(document, schema);
  if (errors.length > 0) throw new Error(errors.join('\n'));
  return { code, stderr, document };
}

for (const flavour of flavours) {
  test(`from kube-proxy (${flavour}) to bpfsvc and back: no connection and no question is lost`, async (t) => {
    t.timeout(600_000);
    await using stage = await setStage(flavour);
    const { lab, node } = stage;
    await run(node, [flavour === 'iptables-legacy' ? 'iptables-legacy' : 'iptables-nft', '-N', 'FOREIGN']);
    const talks = await converse(stage);
    const traffic = startTraffic(stage);
    await using agent = await startAgent(lab, node, stageText(lab), flags);
    await askAll(t, talks, 'with both at work');

    const dry = await takeover(agent, '--dry-run');
    t.is(dry.code, 0, dry.stderr);
    t.deepEqual(dry.document.disagreements, []);
    t.deepEqual(dry.document.hindrances, []);
    t.is(dry.document.done, null);
    t.true((dry.document.connections?.tcp ?? 0) >= 12, JSON.stringify(dry.document.connections));
    t.deepEqual(
      dry.document.rules.map(({ flavour: own, places }) => [own, places]),
      [
        [flavour, 16],
        [flavour, 16],
      ],
    );
    t.regex(await allRules(node), /KUBE-SERVICES|kube-proxy/, 'a dry run removes nothing');

    const over = await takeover(agent);
    t.is(over.code, 0, over.stderr);
    const rules = await allRules(node);
    t.notRegex(rules, /KUBE-(?!FIREWALL)|table ip6? kube-proxy/);
    t.regex(rules, /FOREIGN/);
    if (flavour !== 'nftables') t.regex(rules, /-A INPUT -j KUBE-FIREWALL/, 'that is the kubelet’s');
    await askAll(t, talks, 'after kube-proxy has gone');

    const again = await takeover(agent);
    t.is(again.code, 0, again.stderr);
    t.true(again.document.natKept);
    await askAll(t, talks, 'after the second time');
    t.deepEqual(await traffic.stop(), []);
    for (const { talk } of talks) await talk.close();
    await conclude(t, agent, node);

    const own = await converse(stage);
    const onwards = startTraffic(stage);
    await loadRules(node, flavour);
    await agent.end();
    t.like(await takeover(agent, '--back', '--dry-run'), { code: 0 });
    const back = await takeover(agent, '--back');
    t.is(back.code, 0, back.stderr);
    await askAll(t, own, 'after going back');
    const later = await converse(stage);
    t.true(
      ((await takeover(agent, '--back')).document.connections?.tcp ?? 0) >= 12,
      'kube-proxy serves new connections',
    );
    for (const { talk } of own) await talk.close();
    t.is((await agent.bpfsvc('unload')).code, 0);
    await askAll(t, later, 'without bpfsvc');
    t.deepEqual(await onwards.stop(), []);
  });
}

/** When the last one is over, the rules that kept address translation go, too. */
async function conclude(t: ExecutionContext, agent: Agent, node: Node): Promise<void> {
  await run(node, ['conntrack', '-D', '-p', 'udp']);
  await eventually(async () => {
    const { document } = await takeover(agent);
    if (!(document.done ?? []).some((line) => line.startsWith('the last connection')))
      throw new Error(JSON.stringify(document.connections));
  }, 30);
  t.notRegex(await allRules(node), /bpfsvc-takeover/);
}

test('what stands in the way is named, and nothing is done', async (t) => {
  await using stage = await setStage('iptables-nft');
  const { lab, node } = stage;
  const here = lab.pod('n1p2');
  const rule = ['-t', 'nat', '-A', 'PREROUTING', '-p', 'tcp', '--dport', '7', '-j', 'KUBE-MARK-MASQ'];
  await run(node, ['iptables-nft', ...rule]);
  const fewer = manifest([
    ...nodeObjects(lab),
    ...serviceObjects({ name: 'dns', clusterIPs: vips.dns, ports: dnsPort }, [here]),
  ]);
  await using agent = await startAgent(lab, node, fewer, flags);
  const before = await allRules(node);
  const refused = await takeover(agent);
  t.is(refused.code, 1);
  t.regex(
    refused.stderr,
    /nothing was done: kube-proxy serves what bpfsvc does not: 10\.96\.0\.1:80\/TCP, .* and \d+ more/,
  );
  const dns = refused.document.disagreements.find(({ place }) => place === '10.96.0.10:53/UDP');
  t.like(dns, { known: 'both', facts: [{ fact: 'backends', added: [], removed: ['10.1.2.11:8080'] }] });
  t.is(await allRules(node), before);

  /* --norc: it takes a socket as its input for a login from afar, and reads ~/.bashrc */
  const proxy = lab.spawn(node, ['bash', '--norc', '-c', 'exec -a /usr/local/bin/kube-proxy sleep 600']);
  const alive = new RegExp(`kube-proxy is alive \\(process ${proxy.pid} `);
  await eventually(async () => {
    const { document } = await takeover(agent, '--accept-differences', '--dry-run');
    assert.match(document.hindrances.join(), alive);
  }, 60);
  t.regex((await takeover(agent, '--accept-differences')).stderr, alive);
  t.is(await allRules(node), before);
  await stop(proxy, 'SIGKILL');

  await agent.end('SIGKILL');
  t.regex((await takeover(agent, '--accept-differences')).stderr, /nothing was done: no agent runs/);
  await agent.start();
  t.regex((await takeover(agent, '--back')).stderr, /the agent runs/);

  const { code, document } = await takeover(agent, '--accept-differences');
  t.is(code, 0);
  t.regex(
    document.notes.join(),
    /chain KUBE-MARK-MASQ stays: a rule of somebody else leads to it: -A PREROUTING -p tcp/,
  );
  const after = await allRules(node);
  t.regex(after, /-A PREROUTING -p tcp -m tcp --dport 7 -j KUBE-MARK-MASQ/);
  t.regex(after, /-A POSTROUTING .* -j KUBE-POSTROUTING/, 'who marks still needs who acts on it');
  t.notRegex(after, /KUBE-SERVICES|KUBE-SVC-/);
});
