import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { type ControlPlane, startControlPlane } from '../../test/kubernetes/control-plane.ts';
import { agentRbac, registerNodes } from '../../test/kubernetes/registration.ts';
import { stop } from '../../test/netns/command.ts';
import { createLab, type Lab } from '../../test/netns/lab.ts';
import { type Audit, auditOf } from './api-load.ts';
import { type Contender, kubeProxyUser } from './proxies.ts';
import type { Done, Task } from './writer.ts';

/** A real control plane, and a node for each of the proxies. */
export interface Stage extends AsyncDisposable {
  readonly lab: Lab;
  readonly cluster: ControlPlane;
  readonly audit: Audit;
  /** Has the writer do something; throws if it cannot. */
  write(task: Task): Promise<Done>;
}

export async function setStage(proxies: readonly Contender[]): Promise<Stage> {
  const nodes = proxies.map(({ name }) => ({ name: `node-${name}`, pods: [] }));
  const lab = await createLab({ shape: 'ptp', nodes, tag: 'scale' });
  try {
    const users = ['bpfsvc', kubeProxyUser];
    const audit = auditOf(mkdtempSync(join(tmpdir(), 'bpfsvc-bench-')), users);
    const cluster = await startControlPlane(lab, lab.outside, { users, flags: audit.flags });
    await cluster.apply(...agentRbac('bpfsvc'));
    await registerNodes(cluster, lab);
    const [write, endWriter] = startWriter(lab, cluster);
    const close = async (): Promise<void> => {
      await endWriter();
      await cluster[Symbol.asyncDispose]();
      await lab.close();
    };
    return { lab, cluster, audit, write, [Symbol.asyncDispose]: close };
  } catch (error) {
    await lab.close();
    throw error;
  }
}

function startWriter(lab: Lab, cluster: ControlPlane): [write: Stage['write'], end: () => Promise<void>] {
  const program = fileURLToPath(new URL('writer.ts', import.meta.url));
  const child = lab.spawn(lab.outside, [process.execPath, program, cluster.kubeconfig('admin')], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const lines = createInterface({ input: child.stdout as NonNullable<typeof child.stdout> })[Symbol.asyncIterator]();
  const write: Stage['write'] = async (task) => {
    child.stdin?.write(`${JSON.stringify(task)}\n`);
    const { value, done } = await lines.next();
    if (done === true) throw new Error('the writer ended');
    const answer = JSON.parse(value) as Done;
    if (answer.failure !== undefined) throw new Error(answer.failure);
    return answer;
  };
  return [write, () => stop(child, 'SIGKILL')];
}
