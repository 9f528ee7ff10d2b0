/**
 * Worlds in few words: a node, Services and endpoints, and what becomes of a packet there. Made into the objects that people
 * would write, and read the way everything is.
 */

/** 'ADDRESS[:PORT] NODE [STATE] [zones=a,b] [nodes=a,b]'; STATE: unready, leaving (serves while it terminates), gone; else ready. */
export type EndpointText = string;

/** 'NAME PORT[/PROTOCOL] [> TARGET] [node PORT]'; the name '-' is none. */
export type PortText = string;

export interface ServiceText {
  readonly ports: readonly PortText[];
  /** Of one slice each. */
  readonly slices?: readonly (readonly EndpointText[])[];
  readonly labels?: Record<string, string>;
  readonly annotations?: Record<string, string>;
  readonly sliceLabels?: Record<string, string>;
  readonly created?: string;
  readonly lb?: readonly (string | { ip?: string; ipMode?: string; hostname?: string })[];
  readonly spec?: Record<string, unknown>;
}

export interface WorldText {
  readonly name: string;
  /** By namespace/name. */
  readonly services: Record<string, ServiceText>;
  /** Other objects. */
  readonly objects?: readonly object[];
  readonly zone?: string;
  /** 'FROM > TO:PORT[/PROTOCOL]' → 'dnat BACKEND[*] …', where * has its source replaced; 'reject', 'drop', 'pass'. */
  readonly flows: Record<string, string>;
  readonly options?: {
    readonly clusterCidr?: string | null;
    readonly nodePortAddresses?: readonly string[];
    readonly proxyName?: string;
    readonly masqueradeAll?: boolean;
  };
}

export const node = 'alder';
const addresses = ['192.0.2.21', '192.0.2.22', '2001:db8::21', '2001:db8::22'];
export const clusterCidr = '10.60.0.0/16,fd60::/48';

export function objectsOf({ services, objects = [], zone }: WorldText): object[] {
  const labels = zone === undefined ? {} : { 'topology.kubernetes.io/zone': zone };
  return [
    {
      apiVersion: 'v1',
      kind: 'Node',
      metadata: { name: node, labels },
      status: { addresses: addresses.map((address) => ({ type: 'InternalIP', address })) },
    },
    {
      apiVersion: 'networking.k8s.io/v1',
      kind: 'ServiceCIDR',
      metadata: { name: 'kubernetes' },
      spec: { cidrs: ['10.97.0.0/16', 'fd97::/112'] },
    },
    ...Object.entries(services).flatMap(([name, service]) => objectsOfService(name, service)),
    ...objects,
  ];
}

interface Port {
  readonly name: string;
  readonly protocol: string;
  readonly port: number;
  readonly target: number;
  readonly nodePort: number | undefined;
}

function portOf(text: PortText): Port {
  const [, name = '', port, protocol = 'TCP', target, nodePort] =
    /^(\S+) (\d+)(?:\/(\w+))?(?: > (\d+))?(?: node (\d+))?$/.exec(text) ?? [];
  if (port === undefined) throw new Error(`not a port: ${text}`);
  return {
    name: name === '-' ? '' : name,
    protocol,
    port: Number(port),
    target: Number(target ?? port),
    nodePort: nodePort === undefined ? undefined : Number(nodePort),
  };
}

function objectsOfService(fullName: string, text: ServiceText): object[] {
  const [namespace = '', name = ''] = fullName.split('/');
  const ports = text.ports.map(portOf);
  const ingress = (text.lb ?? []).map((one) => (typeof one === 'string' ? { ip: one } : one));
  const service = {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: {
      ...{ namespace, name, labels: text.labels ?? {}, annotations: text.annotations ?? {} },
      creationTimestamp: text.created,
    },
    spec: {
      ...text.spec,
      ports: ports.map(({ name: portName, protocol, port, nodePort }) => ({
        name: portName,
        protocol,
        port,
        ...(nodePort !== undefined && { nodePort }),
      })),
    },
    ...(ingress.length > 0 && { status: { loadBalancer: { ingress } } }),
  };
  const slices = (text.slices ?? []).map((endpoints, i) => ({
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      namespace,
      name: `${name}-${i + 1}`,
      labels: { 'kubernetes.io/service-name': name, ...text.sliceLabels },
    },
    addressType: endpoints[0]?.includes('::') ? 'IPv6' : 'IPv4',
    ports: ports.map(({ name: portName, protocol, target }) => ({ name: portName, protocol, port: target })),
    endpoints: endpoints.map(endpointOf),
  }));
  return [service, ...slices];
}

const states: Readonly<Record<string, object>> = {
  ready: { ready: true },
  unready: { ready: false },
  leaving: { ready: false, serving: true, terminating: true },
  gone: { ready: false, serving: false, terminating: true },
  unsaid: {},
};

function endpointOf(text: EndpointText): object {
  const [address, nodeName, ...words] = text.split(' ');
  const state = words.find((word) => word in states) ?? 'ready';
  const hints = (kind: string) =>
    words.flatMap((word) => (word.startsWith(`${kind}=`) ? word.slice(kind.length + 1).split(',') : []));
  const zones = hints('zones').map((name) => ({ name }));
  const nodes = hints('nodes').map((name) => ({ name }));
  return {
    addresses: [address],
    conditions: states[state],
    ...(nodeName !== '-' && { nodeName }),
    ...(zones.length + nodes.length > 0 && { hints: { forZones: zones, forNodes: nodes } }),
  };
}
