import { hostname } from 'node:os';
import type { Argv, CommandModule } from 'yargs';
import type { Answer } from '../explain/answer.ts';
import type { Question } from '../explain/question.ts';
import { addRuleFlags, type ProxyFlags, settleProxy } from './proxy-flags.ts';
import { UsageError } from './usage.ts';

interface ExplainFlags extends ProxyFlags {
  manifests?: string;
  node?: string;
  from?: string;
  to?: string;
  protocol: string;
  flows?: string;
  output: 'text' | 'json';
  serviceCidr?: string;
  nodePortRange: string;
}

export const command: CommandModule = {
  command: 'explain',
  describe: 'where a packet would go, and why: asked of the real programs',
  builder,
  handler: (args) => handle(args as unknown as ExplainFlags),
} as CommandModule;

function builder(cli: Argv): Argv {
  const own = cli
    .usage(
      '$0 explain --manifests FILE|DIR --node NAME --from ADDRESS --to ADDRESS:PORT\n\nRuns the real programs on the first packet of a connection that nobody has sent, and says step by step what becomes of it.',
    )
    .option('manifests', {
      type: 'string',
      requiresArg: true,
      describe: 'YAML or JSON with Node, Services and what is behind them',
    })
    .option('node', {
      type: 'string',
      requiresArg: true,
      defaultDescription: 'the hostname',
      describe: 'the Node that the packet meets',
    })
    .option('from', { type: 'string', requiresArg: true, describe: "the client's address" })
    .option('to', { type: 'string', requiresArg: true, describe: 'ADDRESS:PORT that it asks for' })
    .option('protocol', { type: 'string', requiresArg: true, default: 'tcp', describe: 'tcp, udp or sctp' })
    .option('flows', {
      type: 'string',
      requiresArg: true,
      describe: 'a JSON file with many questions: [{"from", "to", "port", "protocol"}, …]',
    })
    .option('output', {
      alias: 'o',
      requiresArg: true,
      choices: ['text', 'json'] as const,
      default: 'text' as const,
      describe: 'json has one object, or with --flows a list',
    })
    .option('service-cidr', { type: 'string', requiresArg: true, describe: 'A,B: as for run' })
    .option('node-port-range', { type: 'string', requiresArg: true, default: '30000-32767', describe: 'as for run' });
  return addRuleFlags(own)
    .example(
      '$0 explain --manifests shop.yaml --node worker-1 --from 10.244.1.9 --to 10.96.7.7:80',
      'a pod asks a Service',
    )
    .example('$0 explain --manifests . --node worker-1 --flows flows.json -o json', 'many questions at once');
}

async function handle(flags: ExplainFlags): Promise<void> {
  try {
    await explainAll(flags);
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    const isInput = error.name === 'QuestionError' || error.name === 'ManifestError';
    throw isInput ? new UsageError(error.message) : error;
  }
}

async function explainAll(flags: ExplainFlags): Promise<void> {
  const { readQuestions } = await import('../explain/question.ts');
  const questions = readQuestions(flags);
  if (flags.manifests === undefined) throw new UsageError('--manifests FILE|DIR is missing');
  const { options, warnings } = settleProxy(flags);
  for (const warning of warnings) process.stderr.write(`${warning}\n`);
  const { parseCidrs, parseNodePorts } = await import('./run-options.ts');
  const { defaultNodePorts } = await import('../kernel/node-ports.ts');
  const { readManifests } = await import('../kube/manifests.ts');
  const { parse } = await import('../kube/parse.ts');
  const { defaultRanges } = await import('../kube/allocate.ts');
  const { openOffline } = await import('../explain/offline.ts');
  const { explain } = await import('../explain/explain.ts');
  const { answerText } = await import('../explain/text.ts');
  const given = flags.serviceCidr === undefined ? undefined : parseCidrs(flags.serviceCidr, '--service-cidr');
  const ranges = { serviceCidrs: given ?? defaultRanges.serviceCidrs, nodePorts: parseNodePorts(flags.nodePortRange) };
  const snapshot = await readManifests(flags.manifests);
  const parsed = parse(snapshot.objects, { serviceProxyName: null, ranges }, null);
  const node = {
    parsed,
    node: flags.node ?? options.node ?? hostname().toLowerCase(),
    primaryAddress: options.primaryAddress,
    serviceCidrs: given ?? [],
    clusterCidrs: options.detector.mode === 'ClusterCIDR' ? options.detector.cidrs : [],
    nodePorts: options.nodePorts ?? defaultNodePorts,
  };
  await using offline = await openOffline(node, questions);
  const { stage, problems } = offline;
  for (const { object, reason } of [...snapshot.problems, ...parsed.problems, ...problems]) {
    process.stderr.write(`${object}: ${reason}\n`);
  }
  const answers: Answer[] = [];
  for (const question of questions) answers.push(await explain(stage, question));
  const text = () => answers.map((answer, i) => answerText(questions[i] as Question, answer)).join('\n');
  const json = () => `${JSON.stringify(flags.flows === undefined ? answers[0] : answers, null, 2)}\n`;
  process.stdout.write(flags.output === 'json' ? json() : text());
}
