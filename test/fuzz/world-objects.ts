import type { KubernetesObject, Node, Pod, Service, ServicePort, Slice } from './objects.ts';
import {
  balancer,
  CLASHING,
  clusterIp,
  external,
  nodePortOf,
  own,
  PODS,
  type PortKind,
  pod,
  portKinds,
  SHARED,
  type Text,
} from './places.ts';
import type { EndpointSpec, NodeSpec, SliceSpec, ServiceSpec as Unnumbered } from './specs.ts';

/** With the number that its addresses follow from. */
export type ServiceSpec = Unnumbered & { readonly id: number };

const addressOf = (n: number, home: string): Text => {
  if (n === PODS - 1) return home === 'alder' ? (own[0] as Text) : { 4: '192.0.2.31', 6: '2001:db8::31' };
  return pod(n + 1);
};

export function nodeObjects({ addresses, zone, cidrs, podObject }: NodeSpec): KubernetesObject[] {
  const all = ([4, 6] as const).flatMap((family) => own.slice(0, addresses[family]).map((one) => one[family]));
  const node: Node = {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name: 'alder', labels: zone === '' ? {} : { 'topology.kubernetes.io/zone': zone } },
    spec: { podCIDRs: ['10.60.1.0/24', 'fd60::1:0/112'] },
    status: { addresses: all.map((address) => ({ type: 'InternalIP', address })) },
  };
  const pods: Pod[] = ([4, 6] as const).map((family) => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { namespace: 'town', name: `client-${family}` },
    spec: { nodeName: 'alder' },
    status: { podIP: pod(9)[family] },
  }));
  const serviceCidr = {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'ServiceCIDR',
    metadata: { name: 'kubernetes' },
    spec: { cidrs: ['10.97.0.0/16', 'fd97::/112'] },
  } as const;
  return [node, ...(podObject ? pods : []), ...(cidrs ? [serviceCidr] : [])];
}

function portsOf({ id, type, ports, unnamed, withoutNodePorts, clashes }: ServiceSpec): ServicePort[] {
  const hasNodePorts = type === 'NodePort' || (type === 'LoadBalancer' && !withoutNodePorts);
  return ports.map((index) => {
    const { name, ...rest } = portKinds[index] as PortKind;
    const nodePort = clashes && index === 0 ? CLASHING : nodePortOf(id, index);
    return { ...rest, name: unnamed && ports.length === 1 ? '' : name, ...(hasNodePorts && { nodePort }) };
  });
}

const rangeTexts: Record<string, readonly string[]> = {
  client: ['203.0.113.0/25', '2600:5200::/113'],
  node: ['192.0.2.21/32', '2001:db8::21/128'],
  pods: ['10.60.1.0/24'],
  blank: [' 203.0.113.0/26 '],
  other: ['2600:5200::/32'],
};

const texts = (names: readonly string[], made: Record<string, Text>): string[] =>
  names.flatMap((name) => (made[name] === undefined ? [] : [made[name][4], made[name][6]]));

const schedulers = ['', 'random', 'rr', 'lc', 'sed', 'nq', 'sh', 'dh', 'maglev', 'mh', 'wrr', 'wlc', 'lblc'];

/** It follows from what is there already, so that a seed goes on meaning its world. '' is none. */
function schedulerOf({ id, slices, balancers, externals, ports }: ServiceSpec): string {
  const sum = id + 3 * slices.length + 5 * balancers.length + 7 * externals.length + ports.length;
  return schedulers[sum % schedulers.length] ?? '';
}

export function serviceObject(spec: ServiceSpec): Service {
  const { id, type, families: wanted, created, label, headless, internal, external: policy, affinity, ranges } = spec;
  const ips = wanted.map((family) => clusterIp(id)[family]);
  const shared = { shared: external(SHARED), node: own[0] as Text };
  const externals = texts(spec.externals, { ...shared, own: external(id), balancer: balancer(id) });
  const ingress = [
    ...texts(spec.balancers, { own: balancer(id), shared: balancer(SHARED), node: own[0] as Text }).map((ip) => ({
      ip,
    })),
    ...(spec.balancers.includes('Proxy') ? [{ ip: external(id)[4], ipMode: 'Proxy' }] : []),
    ...(spec.balancers.includes('hostname') ? [{ hostname: 'lb.example.com' }] : []),
  ];
  const scheduler = schedulerOf(spec);
  const isBalanced = type === 'LoadBalancer';
  const first = headless ? 'None' : (ips[0] ?? '');
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: {
      namespace: 'town',
      name: `service-${id}`,
      creationTimestamp: created,
      ...(label !== '' && { labels: { [label]: '' } }),
      ...(scheduler !== '' && { annotations: { 'bpfsvc.dev/scheduler': scheduler } }),
    },
    spec: {
      type,
      clusterIP: first,
      clusterIPs: headless ? ['None'] : ips,
      ...(spec.tellsFamilies && { ipFamilies: wanted.map((family) => `IPv${family}` as const) }),
      ...(type === 'ExternalName' && { externalName: 'example.com' }),
      ...(externals.length > 0 && { externalIPs: externals }),
      ...(internal !== undefined && { internalTrafficPolicy: internal }),
      ...(policy !== undefined && { externalTrafficPolicy: policy }),
      ...(affinity && { sessionAffinity: 'ClientIP' as const }),
      ...(isBalanced &&
        ranges !== undefined && { loadBalancerSourceRanges: ranges.flatMap((one) => rangeTexts[one] ?? []) }),
      ...(isBalanced && spec.withoutNodePorts && { allocateLoadBalancerNodePorts: false }),
      ports: portsOf(spec),
    },
    ...(isBalanced && ingress.length > 0 && { status: { loadBalancer: { ingress } } }),
  };
}

export function sliceObjects(service: ServiceSpec, node: NodeSpec): Slice[] {
  return service.slices.flatMap((spec, index) => {
    const slice = sliceObject(service, spec, node, index);
    const again = spec.endpoints.filter(({ twice }) => twice);
    if (again.length === 0) return [slice];
    const gone = (serving: boolean) => ({ ready: false, serving, terminating: true });
    const endpoints = again.map((one) =>
      endpointObject(service, { ...one, conditions: gone(one.pod % 2 === 0) }, spec, node),
    );
    const isTerminating = new Set(endpoints.map(({ addresses }) => addresses[0]));
    /* of two that both terminate nobody says which one counts */
    const first = slice.endpoints.filter(
      ({ addresses, conditions }) => !isTerminating.has(addresses[0]) || conditions?.terminating !== true,
    );
    const second = { ...slice, metadata: { ...slice.metadata, name: `${slice.metadata.name}-again` }, endpoints };
    return service.id % 2 === 0 ? [{ ...slice, endpoints: first }, second] : [second, { ...slice, endpoints: first }];
  });
}

function sliceObject(service: ServiceSpec, spec: SliceSpec, node: NodeSpec, index: number): Slice {
  const { family, shift, labels, naming } = spec;
  const name = `service-${service.id}`;
  /* with one number for all, a second slice would repeat what the first says */
  const isFirst = service.slices.findIndex((one) => one.family === family) === index;
  const label = labels === 'mesh' ? { 'service.kubernetes.io/service-proxy-name': 'mesh' } : {};
  const headless = labels === 'headless' ? { 'service.kubernetes.io/headless': '' } : {};
  const other = { TCP: 'UDP', UDP: 'TCP', SCTP: 'TCP' } as const;
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      namespace: 'town',
      name: `${name}-${index}`,
      labels: {
        'kubernetes.io/service-name': labels === 'another Service' ? 'nobody' : name,
        ...label,
        ...headless,
      },
    },
    addressType: `IPv${family}`,
    ports: portsOf(service)
      .filter(({ protocol }) => protocol !== 'SCTP' || isFirst)
      .map((port) => ({
        name: naming === 'wrong name' ? `${port.name}x` : port.name,
        protocol: naming === 'wrong protocol' ? other[port.protocol] : port.protocol,
        /* no slice repeats the ip:port of another */
        port: naming === 'no port' ? null : targetPort(service, port, shift + 100 * index),
      })),
    endpoints: spec.endpoints.map((one) => endpointObject(service, one, spec, node)),
  };
}

/** SCTP keeps its number on the way, or is not served: then all endpoints have the same. */
function targetPort({ shiftsSctp }: ServiceSpec, { protocol, port }: ServicePort, shift: number): number {
  if (protocol === 'SCTP') return shiftsSctp ? port + 1 : port;
  return port + shift;
}

function endpointObject(
  service: ServiceSpec,
  spec: EndpointSpec,
  { family }: SliceSpec,
  node: NodeSpec,
): Slice['endpoints'][number] {
  const home = node.homes[spec.pod] ?? '';
  const isHinted = service.hinting === 'all' || (service.hinting === 'some' && spec.pod % 2 === 0);
  const zones = isHinted && service.hinting === 'all' && spec.zones.length === 0 ? ['a'] : spec.zones;
  const named = (names: readonly string[]) => names.map((name) => ({ name }));
  return {
    addresses: [addressOf(spec.pod, home)[family]],
    ...(home !== '' && { nodeName: home }),
    ...(spec.conditions !== undefined && { conditions: spec.conditions }),
    ...(isHinted && {
      hints: { forZones: named(zones), ...(spec.nodes.length > 0 && { forNodes: named(spec.nodes) }) },
    }),
  };
}
