/** An agent on real maps that tells when it is done with what it was given. */
import { join } from 'node:path';
import type { AgentOptions } from '../../src/agent-options.ts';
import type { Generation } from '../../src/kernel/generation.ts';
import { readRows } from '../../src/kernel/tables.ts';
import type { Problem } from '../../src/model/service.ts';
import type { Progress } from '../../src/progress.ts';
import { openPinned, type RunningAgent, runAgentIn, writeManifest } from '../agent.ts';
import { eventually } from '../netns/eventually.ts';
import type { Sandbox } from '../sandbox.ts';
import type { Fields } from './story.ts';

/** Where the mark of a step is, beside the story's objects. */
export const ownNamespace = 'the-scenario';

/** However busy this machine is. */
const PATIENCE_SECONDS = 90;

export interface Lane {
  /** Runs until it is stopped; on objects that were given before, if any. */
  start(writer?: AgentOptions['writer']): void;
  stop(): Promise<void>;
  /** Gives these objects to the agent, running or about to start. */
  give(objects: readonly Fields[]): void;
  /** Resolves when all that was given last is in the kernel, to what is wrong with it: 'OBJECT: REASON', sorted. */
  settled(): Promise<string[]>;
  /** What is loaded; the caller closes it. */
  open(): Generation;
  /** Whom clients got before is forgotten. */
  forget(): Promise<void>;
}

export function makeLane(box: Sandbox, name: string): Lane {
  const file = `${name}.json`;
  let marks = 0;
  let agent: RunningAgent | undefined;
  let observer = makeObserver();
  return {
    start(writer) {
      observer = makeObserver();
      const settings = { manifests: join(box.directory, file), metrics: observer.metrics, ...(writer && { writer }) };
      agent = runAgentIn(box, { name, ...settings });
    },
    async stop() {
      await agent?.stop();
      agent = undefined;
    },
    give(objects) {
      marks += 1;
      writeManifest(box, file, [...objects, markOf(marks)]);
    },
    async settled() {
      await eventually(() => {
        const missing = observer.missing(marks);
        if (missing !== null) throw new Error(`${missing}:\n${agent?.messages.slice(-5).join('\n')}`);
      }, PATIENCE_SECONDS);
      return observer.problems();
    },
    open: () => openPinned(box, name),
    async forget() {
      using generation = openPinned(box, name);
      const { affinity } = generation.state;
      for (const key of (await readRows(affinity)).keys()) affinity.delete(Buffer.from(key, 'hex'));
    },
  };
}

/** A Service of another port at each step: the agent is done with a step when it is done with this. */
function markOf(mark: number): Fields {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'step', namespace: ownNamespace },
    spec: { clusterIP: '10.111.255.254', ports: [{ port: 1 + (mark % 60_000) }] },
  };
}

interface Observer {
  readonly metrics: NonNullable<AgentOptions['metrics']>;
  /** What is not done of the step with this mark; null: it is done. */
  missing(mark: number): string | null;
  problems(): string[];
}

/** Stands where the agent is counted, and looks on. */
function makeObserver(): Observer {
  let progress: Progress | undefined;
  let seen = '';
  let isTold = false;
  let planned = new Map<string, readonly Problem[]>();
  let problems: readonly Problem[] = [];
  const isPending = () =>
    progress === undefined || ([4, 6] as const).some((family) => progress?.of(family).oldestPending !== null);
  return {
    metrics: {
      watch: (report) => ({
        ...report,
        pass(pass, scope) {
          isTold = false;
          planned = scope.isAll ? new Map(pass.problems) : new Map([...planned, ...pass.problems]);
          report.pass(pass, scope);
        },
        problems(snapshot, parsed, more) {
          isTold = true;
          const mark = snapshot.objects?.get(`Service ${ownNamespace}/step`);
          seen = mark?.kind === 'Service' ? (mark.spec.ports[0]?.port ?? '') : '';
          problems = [...snapshot.problems, ...(parsed?.problems ?? []), ...[...planned.values()].flat(), ...more];
          return report.problems(snapshot, parsed, more);
        },
      }),
      tables: () => {},
      world: () => {},
      follow: (followed) => {
        progress = followed;
      },
      answered: () => {},
      text: async () => '',
    },
    missing(mark) {
      if (seen !== String(1 + (mark % 60_000))) return 'the agent has not seen the step';
      if (isPending()) return 'something is not in the kernel';
      return isTold ? null : 'the pass is not over';
    },
    problems: () => [...new Set(problems.map(({ object, reason }) => `${object}: ${reason}`))].sort(),
  };
}
