/** What every variant is loaded with, so that all of them face the same work. */

export interface BenchService {
  readonly name: string;
  readonly clusterIP: string;
  readonly ports: readonly BenchPort[];
}

export interface BenchPort {
  readonly name: string;
  readonly number: number;
  readonly nodePort?: number;
  /** Where it leads: addresses and ports of pods. */
  readonly endpoints: readonly { readonly address: string; readonly port: number }[];
}

/** Server ports of the measured Service. Three endpoints in one pod: choice among backends without three processes, for
 * how the scheduler batches those makes a twofold difference of its own. */
export const serverPorts: readonly number[] = [8080, 8081, 8082];

export const targetIP: string = '10.96.0.10';

/** Of the Service that is asked for from outside; its clusterIP comes with it. */
export const targetNodePort = 30_080;

/**
 * `count` Services of three endpoints each. The measured one, whose endpoints are in `pod`, comes last: where
 * rules are a list, that is where the average newcomer would be worst off, and where kube-proxy's figures are quoted.
 * Beside it there is one more with a nodePort, whose endpoints are in `remote`.
 */
export function benchServices(count: number, pod: string, remote: string): BenchService[] {
  const fillers = Array.from({ length: count - 1 }, (_, i) => ({
    name: `filler-${i}`,
    clusterIP: `10.97.${i >> 8}.${i & 255}`,
    ports: [{ name: 'http', number: 80, endpoints: fillerEndpoints(i) }],
  }));
  const echo = (address: string) => ({
    name: 'echo',
    number: 80,
    endpoints: serverPorts.map((port) => ({ address, port })),
  });
  const outer = { name: 'outer', clusterIP: '10.96.0.11', ports: [{ ...echo(remote), nodePort: targetNodePort }] };
  return [...fillers, outer, { name: 'target', clusterIP: targetIP, ports: [echo(pod)] }];
}

function fillerEndpoints(i: number): BenchPort['endpoints'] {
  return [1, 2, 3].map((k) => ({ address: `10.2${k}.${i >> 8}.${i & 255}`, port: 8080 }));
}

/** The same Services as Kubernetes objects, for bpfsvc: one JSON `List`. */
export function manifest(services: readonly BenchService[]): string {
  const items = services.flatMap((service) => [
    serviceObject(service),
    ...service.ports.flatMap((port) => slices(service, port)),
  ]);
  return JSON.stringify({ apiVersion: 'v1', kind: 'List', items });
}

function serviceObject({ name, clusterIP, ports }: BenchService): object {
  const specPorts = ports.map(({ name, number, nodePort, endpoints }) => ({
    name,
    port: number,
    targetPort: endpoints[0]?.port,
    ...(nodePort === undefined ? {} : { nodePort }),
  }));
  const type = ports.some(({ nodePort }) => nodePort !== undefined) ? 'NodePort' : 'ClusterIP';
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace: 'bench' },
    spec: { type, clusterIP, clusterIPs: [clusterIP], ports: specPorts },
  };
}

/** Endpoints with the same port number share a slice. */
function slices(service: BenchService, port: BenchPort): object[] {
  const numbers = [...new Set(port.endpoints.map((endpoint) => endpoint.port))];
  return numbers.map((number) => ({
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      name: `${service.name}-${port.name}-${number}`,
      namespace: 'bench',
      labels: { 'kubernetes.io/service-name': service.name },
    },
    addressType: 'IPv4',
    ports: [{ name: port.name, port: number, protocol: 'TCP' }],
    endpoints: port.endpoints
      .filter((endpoint) => endpoint.port === number)
      .map(({ address }) => ({ addresses: [address], conditions: { ready: true } })),
  }));
}
