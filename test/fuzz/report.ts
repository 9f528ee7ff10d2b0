/** A failure for people: a world as YAML, and the command that asks about it. */
import { writeFileSync } from 'node:fs';
import { stringify } from 'yaml';
import type { Flow, Options, World } from './objects.ts';

/** The documents as `bpfsvc explain --manifests` takes them. */
export function yamlOf({ objects }: World): string {
  return objects.map((one) => stringify(one)).join('---\n');
}

/** For a shell. */
export function commandOf(file: string, options: Options, { from, to, port, protocol }: Flow): string {
  const target = to.includes(':') ? `'[${to}]:${port}'` : `${to}:${port}`;
  const words = [
    `bin/bpfsvc explain --manifests ${file} --node ${options.node}`,
    `--from ${from} --to ${target} --protocol ${protocol}`,
    `--nodeport-addresses ${options.nodePortAddresses.join(',')}`,
    ...(options.detectLocalMode === 'ClusterCIDR' ? [] : [`--detect-local-mode ${options.detectLocalMode}`]),
    ...(options.detectLocalMode === 'ClusterCIDR' && options.clusterCidr.length > 0
      ? [`--cluster-cidr ${options.clusterCidr.join(',')}`]
      : []),
    ...(options.masqueradeAll ? ['--masquerade-all'] : []),
  ];
  return words.join(' ');
}

/** Leaves the world in a file, for the command to be copied. */
export function writeFailure(file: string, world: World, flow: Flow): string {
  const yaml = yamlOf(world);
  writeFileSync(file, yaml);
  return `${yaml}\n${commandOf(file, world.options, flow)}\n`;
}
