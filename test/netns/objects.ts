/** Kubernetes objects of a lab, as a test writes them: manifests are JSON, one List a file. */
import type { Lab, Pod } from './lab.ts';

export interface ServiceFacts {
  readonly name: string;
  readonly clusterIPs: readonly string[];
  readonly ports?: readonly {
    name?: string;
    port: number;
    targetPort: number;
    protocol?: 'TCP' | 'UDP';
    nodePort?: number;
  }[];
  /** Any other field of spec. */
  readonly spec?: Readonly<Record<string, unknown>>;
  /** What a load balancer gave. */
  readonly ingress?: readonly string[];
}

/** TCP and UDP, port 80 to 8080. */
const bothProtocols = [
  { name: 'tcp', port: 80, targetPort: 8080, protocol: 'TCP' as const },
  { name: 'udp', port: 80, targetPort: 8080, protocol: 'UDP' as const },
];

/** As much of a pod as a slice tells. */
export type Endpoint = Pick<Pod, 'ip4' | 'ip6' | 'node'>;

/** A Service and the slices that make these pods its endpoints, one of each family that the Service has. */
export function serviceObjects(facts: ServiceFacts, pods: readonly Endpoint[]): object[] {
  const { name, clusterIPs, ports = bothProtocols, spec, ingress } = facts;
  const metadata = { name, namespace: 'default' };
  const families = clusterIPs.map((address) => (address.includes(':') ? 'IPv6' : 'IPv4'));
  const service = {
    apiVersion: 'v1',
    kind: 'Service',
    metadata,
    spec: { clusterIP: clusterIPs[0], clusterIPs, ipFamilies: families, ports, ...spec },
    ...(ingress && { status: { loadBalancer: { ingress: ingress.map((ip) => ({ ip })) } } }),
  };
  return [service, ...families.map((family) => slice(name, family, ports, pods))];
}

function slice(
  name: string,
  family: string,
  ports: NonNullable<ServiceFacts['ports']>,
  pods: readonly Endpoint[],
): object {
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      name: `${name}-${family.toLowerCase()}`,
      namespace: 'default',
      labels: { 'kubernetes.io/service-name': name },
    },
    addressType: family,
    ports: ports.map(({ name: port, targetPort, protocol }) => ({ name: port ?? '', port: targetPort, protocol })),
    endpoints: pods.map((pod) => ({
      addresses: [family === 'IPv6' ? pod.ip6 : pod.ip4],
      nodeName: pod.node,
      conditions: { ready: true },
    })),
  };
}

/** The Node objects of a lab. */
export function nodeObjects(lab: Lab): object[] {
  return lab.nodes.map((node) => ({
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name: node.name },
    spec: { podCIDRs: [node.podCidr4, node.podCidr6] },
    status: { addresses: [node.ip4, node.ip6].map((address) => ({ type: 'InternalIP', address })) },
  }));
}

/** The text of a manifest file. */
export function manifest(objects: readonly object[]): string {
  return JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects });
}
