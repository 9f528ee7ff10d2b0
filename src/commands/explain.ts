import type { Argv, CommandModule } from 'yargs';
import type { Answer } from '../explain/answer.ts';
import type { Question } from '../explain/question.ts';
import type { Stage } from '../explain/stage.ts';
import { addDescriptionFlags, type DescriptionFlags } from './description-flags.ts';
import { UsageError } from './usage.ts';

interface ExplainFlags extends DescriptionFlags {
  manifests?: string;
  cgroup?: string;
  pinDir?: string;
  from?: string;
  to?: string;
  protocol: string;
  flows?: string;
  output: 'text' | 'json';
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
      '$0 explain [--manifests FILE|DIR --node NAME] --from ADDRESS --to ADDRESS:PORT\n\nRuns the real programs on the first packet of a connection that nobody has sent, and says step by step what becomes of it: on copies of what is loaded here, or of what it would be by manifests, on any node. Nothing that is at work is touched.',
    )
    .option('manifests', {
      type: 'string',
      requiresArg: true,
      describe: 'YAML or JSON with Node, Services and what is behind them; without, what is loaded is asked',
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
    .option('pin-dir', {
      type: 'string',
      requiresArg: true,
      describe: 'where things are pinned',
      defaultDescription: 'bpfsvc in the BPF filesystem',
    })
    .option('cgroup', {
      type: 'string',
      requiresArg: true,
      describe: 'cgroup2 directory below which sockets are asked, in one of their own',
      defaultDescription: 'the root of the hierarchy',
    });
  return addDescriptionFlags(own)
    .example('$0 explain --from 10.244.1.9 --to 10.96.7.7:80', 'what is loaded here does with a pod of this node')
    .example(
      '$0 explain --manifests shop.yaml --node worker-1 --from 10.244.1.9 --to 10.96.7.7:80',
      'what a node would do',
    )
    .example('$0 explain --manifests . --node worker-1 --flows flows.json -o json', 'many questions at once');
}

async function handle(flags: ExplainFlags): Promise<void> {
  try {
    await explainAll(flags);
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    const isInput = ['QuestionError', 'ManifestError', 'UnknownNodeError', 'ClusterError'].includes(error.name);
    throw isInput ? new UsageError(error.message) : error;
  }
}

async function explainAll(flags: ExplainFlags): Promise<void> {
  const { readQuestions } = await import('../explain/question.ts');
  const questions = readQuestions(flags);
  await using opened = await (isLive(flags) ? openLoaded(flags, questions) : openDescribed(flags, questions));
  const { explain } = await import('../explain/explain.ts');
  const { answerText } = await import('../explain/text.ts');
  const answers: Answer[] = [];
  for (const question of questions) answers.push(await explain(opened.stage, question));
  const text = () => answers.map((answer, i) => answerText(questions[i] as Question, answer)).join('\n');
  const json = () => `${JSON.stringify(flags.flows === undefined ? answers[0] : answers, null, 2)}\n`;
  process.stdout.write(flags.output === 'json' ? json() : text());
}

/** Without objects it is what is loaded here. */
function isLive({ manifests, kubeconfig, master }: ExplainFlags): boolean {
  return manifests === undefined && !kubeconfig && !master;
}

type Opened = { readonly stage: Stage } & AsyncDisposable;

/** What is pinned and at work. */
async function openLoaded(flags: ExplainFlags, questions: readonly Question[]): Promise<Opened> {
  const { requirePermission } = await import('../kernel/machine.ts');
  const { defaultPinDir } = await import('../kernel/place.ts');
  const { openCurrent } = await import('./current-generation.ts');
  const { openLive } = await import('../explain/live.ts');
  requirePermission();
  return await openLive(openCurrent(flags.pinDir ?? defaultPinDir()), questions, flags.cgroup);
}

/** What manifests say, on a node that may be anywhere. */
async function openDescribed(flags: ExplainFlags, questions: readonly Question[]): Promise<Opened> {
  const { requirePermission } = await import('../kernel/machine.ts');
  const { readDescribed } = await import('./described.ts');
  const { openOffline } = await import('../explain/offline.ts');
  requirePermission();
  const { described, problems } = await readDescribed(flags.manifests, flags);
  const offline = await openOffline(described, questions, { cgroup: flags.cgroup });
  for (const { object, reason } of [...problems, ...offline.problems]) process.stderr.write(`${object}: ${reason}\n`);
  return offline;
}
