/** A node with real routes for programs of the wire to run on, and who takes part there, in both families. */
import { inside } from '../test/netns/inside.ts';
import { createLab, type Lab, type Node } from '../test/netns/lab.ts';
import { type BackendText, TCP, UDP } from './fixture.ts';

export const protocols: readonly (readonly [name: 'TCP' | 'UDP', number: number])[] = [
  ['TCP', TCP],
  ['UDP', UDP],
];

export interface NodeCast {
  readonly family: 'IPv4' | 'IPv6';
  /** Outside. */
  readonly client: string;
  readonly client2: string;
  readonly router: string;
  readonly pod: string;
  readonly vip: string;
  readonly vip2: string;
  readonly external: string;
  readonly node: string;
  /** In a pod of this node, of the other one, and in a network that nobody may go to. */
  readonly here: BackendText;
  readonly there: BackendText;
  readonly nowhere: BackendText;
}

export const nodeCasts: readonly [NodeCast, NodeCast] = [
  {
    family: 'IPv4',
    client: '192.0.2.10',
    client2: '192.0.2.11',
    router: '192.168.50.77',
    pod: '10.1.1.12',
    vip: '10.96.0.1',
    vip2: '10.96.0.2',
    external: '198.51.100.1',
    node: '192.168.50.1',
    here: ['10.1.1.11', 8080],
    there: ['10.1.2.11', 8081],
    nowhere: ['10.9.9.9', 8080],
  },
  {
    family: 'IPv6',
    client: '2001:db8::10',
    client2: '2001:db8::11',
    router: 'fd00:50::77',
    pod: 'fd00:1:1::12',
    vip: 'fd00:10:96::1',
    vip2: 'fd00:10:96::2',
    external: '2001:db8:ffff::1',
    node: 'fd00:50::1',
    here: ['fd00:1:1::11', 8080],
    there: ['fd00:1:2::11', 8081],
    nowhere: ['fd00:9:9::9', 8080],
  },
];

export interface NodeStage {
  readonly lab: Lab;
  readonly node: Node;
  readonly uplink: { readonly ifindex: number; readonly address: string };
  /** Runs it with this thread in the node's network namespace. */
  inside<T>(work: () => T): T;
}

/** The first of two nodes; `tag`: of the test file's own. The lab is the caller's to close. */
export async function openNode(tag: string): Promise<NodeStage> {
  const lab = await createLab({ shape: 'ptp', nodes: 2, podsPerNode: 1, tag });
  const node = lab.node('n1');
  for (const target of ['10.9.9.0/24', 'fd00:9:9::/64'])
    await lab.exec(node, ['ip', 'route', 'add', 'prohibit', target]);
  const [uplink] = JSON.parse(await lab.exec(node, ['ip', '-j', 'link', 'show', 'eth0'])) as [NodeStage['uplink']];
  return {
    lab,
    node,
    uplink,
    inside: (work) => inside(node.netns, work),
  };
}
