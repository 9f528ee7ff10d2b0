/**
 * usage: demo/run.ts
 *
 * The main job, shown: Services out of plain YAML, served in the kernel, on two nodes made of network namespaces. Each
 * thing that it says has happened has been checked; exits with 1 at the first that has not. Leaves nothing behind, also
 * after Ctrl-C.
 */
import { readdirSync } from 'node:fs';
import process from 'node:process';
import { cgroup2Mount } from '../test/netns/cgroup.ts';
import { mountRoot } from '../test/netns/reaper.ts';
import * as acts from './acts.ts';
import { BrokenPromise, lament, print, promise } from './narrator.ts';
import { type Stage, setStage } from './stage.ts';

let stage: Stage | undefined;
let interrupted = false;

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, async () => {
    interrupted = true;
    print('\n   cleaning up');
    await stage?.close();
    process.exit(130);
  });
}

/* A reader that has seen enough, such as `head`: nothing more is told, and all is taken away. */
process.stdout.on('error', async () => {
  interrupted = true;
  await stage?.close();
  process.exit(0);
});

async function play(): Promise<void> {
  if (process.getuid?.() !== 0) throw new BrokenPromise('namespaces and BPF programs are made by root: sudo make demo');
  const began = performance.now();
  print('bpfsvc demo: Kubernetes Services from plain YAML, in the kernel');
  stage = await setStage();
  acts.showNodes(stage, performance.now() - began);
  acts.showYaml(stage);
  let agents = await acts.startAgents(stage);
  await acts.visitWeb(stage);
  await acts.resolveNames(stage);
  await acts.scaleUp(stage, agents);
  await acts.scaleDown(stage, agents);
  agents = await acts.killAgents(stage, agents);
  await acts.unload(stage, agents);
  const { prefix } = stage.lab;
  await stage.close();
  const places = ['/run/netns', mountRoot, cgroup2Mount()];
  const left = places.flatMap((place) => readdirSync(place).filter((name) => name.startsWith(prefix)));
  promise('namespaces, cgroups and pins are gone', left.length === 0, left);
  print(
    `\n${((performance.now() - began) / 1000).toFixed(0)} s. The YAML is in demo/, the commands are those of bin/bpfsvc --help.`,
  );
}

try {
  await play();
} catch (error) {
  // Ctrl-C reaches the servers and agents too: that they end is no news then.
  if (!interrupted) lament(error);
  process.exitCode = interrupted ? 130 : 1;
} finally {
  await stage?.close();
}
process.exit();
