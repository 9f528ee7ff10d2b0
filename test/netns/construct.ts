import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import * as beyond from './abroad.ts';
import { cgroup2Mount } from './cgroup.ts';
import { run } from './command.ts';
import { dropInvalid, masqueradePods } from './firewall.ts';
import { mountRoot } from './reaper.ts';
import type { Node, Place, Pod, Shape, Sysctls, Underlay } from './topology.ts';
import * as topology from './topology.ts';

export interface LabOptions {
  readonly shape: Shape;
  /** How many nodes (n1, n2, …), or their names with those of their pods. Default 1. */
  readonly nodes?: number | readonly { readonly name: string; readonly pods: readonly string[] }[];
  /** Default 2; they are called n1p1, n1p2, n2p1, … */
  readonly podsPerNode?: number;
  /** Default 1, the strictest: what distributions set. */
  readonly rpFilter?: 0 | 1 | 2;
  /** Does bridged traffic pass iptables? Default: as the kernel has it. true needs the br_netfilter module. */
  readonly bridgeNetfilter?: boolean;
  /** Drop conntrack INVALID in each node's forward path. Default false. */
  readonly firewall?: boolean;
  /** Masquerade pods that leave the cluster. Default false. */
  readonly masquerade?: boolean;
  /** false: no checksum or segmentation offload on any veth, so that captures show what a wire would. Default true. */
  readonly offloads?: boolean;
  /** Senders leave it to routers to cut what they send by IPv4: no Don't Fragment. Default false. */
  readonly mayBeCut?: boolean;
  /** A client behind two routers, the first of which is `outside`; they know the Services' addresses by way of all nodes. Default false. */
  readonly abroad?: boolean;
  /** How pods reach those of other nodes. Default 'routes'. */
  readonly underlay?: Underlay;
  /** In the names of what is made, for people: small letters and digits. Default 'lab'. */
  readonly tag?: string;
}

export interface Layout {
  readonly nodes: readonly Node[];
  readonly outside: Place;
  /** Present if asked for. */
  readonly abroad?: Place;
}

export async function buildLab(prefix: string, options: LabOptions): Promise<Layout> {
  const nodes = nodesOf(prefix, options);
  const outside: Place = { name: 'outside', netns: `${prefix}-outside`, ...topology.outsideAddress };
  const hub: Place = { name: 'switch', netns: `${prefix}-switch`, ip4: '', ip6: '' };
  const members = [...nodes, outside];

  makeDirectories(prefix, nodes);
  addNamespaces([hub, ...members]);
  await Promise.all([hub, ...members].map((place) => inside(place, { before: sysctlsOf(place, nodes, options) })));
  await inside(hub, {
    links: topology.switchLinks(members),
    quiet: quietPorts(
      options,
      members.map((_, i) => `port${i}`),
    ),
  });
  await Promise.all(
    members.map((place) => inside(place, { links: topology.uplink(place), quiet: quietPorts(options, ['eth0']) })),
  );
  await Promise.all([
    inside(outside, { links: nodes.flatMap(topology.podRoutes) }),
    ...nodes.map((node) => connectNode(node, nodes, options)),
  ]);
  return {
    nodes,
    outside,
    ...(options.abroad === true && { abroad: await goAbroad(prefix, outside, nodes, options) }),
  };
}

async function goAbroad(prefix: string, outside: Place, nodes: readonly Node[], options: LabOptions): Promise<Place> {
  const router: Place = { name: 'router', netns: `${prefix}-router`, ip4: '10.99.0.2', ip6: 'fd00:99::2' };
  const abroad: Place = { name: 'abroad', netns: `${prefix}-abroad`, ...beyond.abroadAddress };
  const sysctls = { ...topology.commonSysctls(options.mayBeCut), ...beyond.routerSysctls() };
  addNamespaces([router, abroad]);
  await Promise.all([
    inside(router, { before: sysctls }),
    inside(abroad, { before: topology.commonSysctls(options.mayBeCut) }),
    inside(outside, { before: beyond.routerSysctls() }),
  ]);
  await inside(outside, { links: beyond.outsideLinks(router, nodes), quiet: quietPorts(options, ['inner']) });
  await inside(router, { links: beyond.routerLinks(abroad), quiet: quietPorts(options, ['inner', 'outer']) });
  await inside(abroad, { links: beyond.abroadLinks(abroad), quiet: quietPorts(options, ['eth0']) });
  return abroad;
}

async function connectNode(node: Node, nodes: readonly Node[], options: LabOptions): Promise<void> {
  const underlay = options.underlay ?? 'routes';
  await inside(node, {
    links: [...topology.nodeLinks(node, options.shape), ...topology.nodeRoutes(node, nodes, underlay)],
    tunnels: underlay === 'vxlan' ? topology.tunnelPeers(node, nodes) : [],
  });
  await Promise.all([
    addPods(node, node.pods, options),
    options.firewall === true ? dropInvalid(node) : undefined,
    options.masquerade === true ? masqueradePods(node) : undefined,
  ]);
}

/** Makes the namespaces of pods and connects them to their node, which stands already. */
export async function addPods(node: Node, pods: readonly Pod[], options: LabOptions): Promise<void> {
  addNamespaces(pods);
  await Promise.all(pods.map((pod) => inside(pod, { before: topology.commonSysctls(options.mayBeCut) })));
  const mtu = options.underlay === 'vxlan' ? 1450 : 1500;
  await inside(node, {
    links: pods.flatMap((pod) => topology.podLink(pod, options.shape, mtu)),
    after: Object.assign({}, ...pods.map((pod) => topology.podLinkSysctls(pod, options.shape))),
    quiet: quietPorts(
      options,
      pods.map((pod) => pod.veth),
    ),
  });
  await Promise.all(
    pods.map((pod) =>
      inside(pod, { links: topology.podInside(pod, node, options.shape, mtu), quiet: quietPorts(options, ['eth0']) }),
    ),
  );
}

const podsEver = new WeakMap<Node, number>();

/** The next pod of a node, entered in its list but not built yet. */
export function newPod(prefix: string, node: Node, name?: string): Pod {
  // One more than ever before: an address that is used anew would meet flows and neighbours of the pod that had it.
  const k = (podsEver.get(node) ?? 0) + 1;
  podsEver.set(node, k);
  const podName = name ?? `${node.name}p${k}`;
  const pod: Pod = {
    name: podName,
    node: node.name,
    netns: `${prefix}-${podName}`,
    veth: topology.vethName(podName),
    ...topology.podAddress(node.index, k),
  };
  node.pods.push(pod);
  return pod;
}

function nodesOf(prefix: string, options: LabOptions): Node[] {
  const count = typeof options.nodes === 'number' ? options.nodes : 1;
  const named = typeof options.nodes === 'object' ? options.nodes : undefined;
  const specs = named ?? Array.from({ length: count }, (_, i) => ({ name: `n${i + 1}`, pods: undefined }));
  return specs.map(({ name, pods }, i) => {
    const node: Node = {
      name,
      index: i + 1,
      netns: `${prefix}-${name}`,
      ...topology.nodeAddress(i + 1),
      ...topology.podCidrs(i + 1),
      cgroup: `${cgroup2Mount()}/${prefix}/${name}`,
      pinDir: `${mountRoot}/${prefix}/${name}`,
      pods: [],
    };
    const names = pods ?? Array.from({ length: options.podsPerNode ?? 2 }, () => undefined);
    for (const pod of names) newPod(prefix, node, pod);
    return node;
  });
}

function makeDirectories(prefix: string, nodes: readonly Node[]): void {
  const mount = `${mountRoot}/${prefix}`;
  mkdirSync(mount, { recursive: true });
  execFileSync('mount', ['-t', 'bpf', 'bpffs', mount]);
  for (const node of nodes) {
    mkdirSync(node.cgroup, { recursive: true });
    mkdirSync(node.pinDir);
  }
}

function addNamespaces(places: readonly Place[]): void {
  execFileSync('ip', ['-batch', '-'], { input: places.map((place) => `netns add ${place.netns}\n`).join('') });
}

function sysctlsOf(place: Place, nodes: readonly Node[], options: LabOptions): Sysctls {
  const common = topology.commonSysctls(options.mayBeCut);
  return nodes.some((node) => node === place)
    ? { ...common, ...topology.nodeSysctls(options.rpFilter ?? 1, options.bridgeNetfilter) }
    : common;
}

/** The devices to rid of their offloads; none where these are wanted. */
function quietPorts(options: LabOptions, devices: readonly string[]): readonly string[] {
  return options.offloads === false ? devices : [];
}

/** Steps of one namespace, done in this order by one shell. */
interface Steps {
  readonly before?: Sysctls;
  /** Lines for `ip -batch`. */
  readonly links?: readonly string[];
  /** Lines for `bridge -batch`. */
  readonly tunnels?: readonly string[];
  readonly after?: Sysctls;
  readonly quiet?: readonly string[];
}

async function inside(
  place: Place,
  { before = {}, links = [], tunnels = [], after = {}, quiet = [] }: Steps,
): Promise<void> {
  const script = [
    ...Object.entries(before).map(([key, value]) => `echo ${value} >/proc/sys/${key}`),
    ...heredoc('ip -batch -', ['link set lo up', ...links]),
    ...heredoc('bridge -batch -', tunnels),
    ...Object.entries(after).map(([key, value]) => `echo ${value} >/proc/sys/${key}`),
    ...quiet.map((device) => `ethtool -K ${device} tx off tso off gso off gro off >/dev/null`),
  ];
  await run(place, ['sh', '-e'], { input: script.join('\n') });
}

function heredoc(command: string, lines: readonly string[]): string[] {
  return lines.length === 0 ? [] : [`${command} <<'END'`, ...lines, 'END'];
}
