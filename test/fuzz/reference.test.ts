import test from 'ava';
import { clusterCidr, node, objectsOf, type WorldText } from '../explain/world.ts';
import { worlds } from '../explain/worlds.ts';
import type { Flow, KubernetesObject, World } from './objects.ts';
import { expected } from './reference.ts';

function worldOf(text: WorldText): World {
  const { clusterCidr: given, nodePortAddresses = ['primary'], masqueradeAll = false } = text.options ?? {};
  const cidrs = given === undefined ? clusterCidr : given;
  const clusterCidrs = cidrs?.split(',') ?? [];
  return {
    objects: objectsOf(text) as KubernetesObject[],
    options: { node, detectLocalMode: 'ClusterCIDR', clusterCidr: clusterCidrs, nodePortAddresses, masqueradeAll },
  };
}

function flowOf(text: string): Flow {
  const [, from = '', v6, v4, port, protocol = 'tcp'] =
    /^(\S+) > (?:\[(\S+)\]|(\S+)):(\d+)(?:\/(\w+))?$/.exec(text) ?? [];
  return { from, to: v6 ?? v4 ?? '', port: Number(port), protocol: protocol as Flow['protocol'] };
}

for (const text of worlds.filter(({ options }) => options?.proxyName === undefined)) {
  test(`the reference: ${text.name}`, (t) => {
    const world = worldOf(text);
    for (const [flow, wanted] of Object.entries(text.flows)) {
      const { verdict, backends, masqueraded, rules } = expected(world, flowOf(flow));
      const got = [verdict, ...backends.map((one) => (masqueraded.includes(one) ? `${one}*` : one))].join(' ');
      t.is(got, wanted, `${flow} (${rules.join(', ')})`);
    }
  });
}
