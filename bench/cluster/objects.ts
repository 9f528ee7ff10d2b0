/** What the cluster is filled with: Services and their slices as a controller writes them, of pods that are nowhere. */

export interface Filling {
  readonly services: number;
  readonly endpoints: number;
}

export const namespace = 'default';

/** How many nodes the endpoints are on. */
const NODES = 100;

const servicePort = 80;
const podPort = 8080;

/** Names sort as they are numbered. */
export function fillerName(i: number): string {
  return `filler-${String(i).padStart(5, '0')}`;
}

export function fillerService(i: number): object {
  return serviceObject(fillerName(i), `10.96.${128 + (i >> 8)}.${i & 255}`);
}

/** `version` is what `changedSlice` changes. */
export function fillerSlice(i: number, { endpoints }: Filling, version = 0): object {
  const pods = Array.from({ length: endpoints }, (_, k) => {
    const number = i * endpoints + k;
    // one endpoint moves to another address and back
    const address = k === 0 && version % 2 === 1 ? `10.255.${i >> 8}.${i & 255}` : podAddress(number);
    return { address, node: `worker-${String(number % NODES).padStart(3, '0')}`, pod: `pod-${number}` };
  });
  return sliceObject(fillerName(i), pods, podPort);
}

/** 10.128.0.0/9, but for 10.255.0.0/16. */
function podAddress(number: number): string {
  return `10.${128 + (number >> 16)}.${(number >> 8) & 255}.${number & 255}`;
}

export interface Probe {
  readonly name: string;
  readonly address: string;
  readonly port: number;
}

/** Three Services with an endpoint on the node that is measured: of a plan in the order of names, or of addresses, first, middle and last. */
export function probes(node: number): readonly Probe[] {
  return ['a', 'filler-05000', 'z'].map((name, i) => ({
    name: `${name}-probe-${node}`,
    address: `10.96.${[64, 147, 250][i]}.${250 + node - 2}`,
    port: servicePort,
  }));
}

export function probeObjects(node: { name: string; ip4: string }, probe: Probe, port: number): object[] {
  return [serviceObject(probe.name, probe.address), probeSlice(node, probe, port, true)];
}

/** With the endpoint, or without any. */
export function probeSlice(node: { name: string; ip4: string }, probe: Probe, port: number, there: boolean): object {
  return sliceObject(probe.name, there ? [{ address: node.ip4, node: node.name, pod: `server-${node.name}` }] : [], port);
}

function serviceObject(name: string, clusterIP: string): object {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace, labels: { app: name, 'app.kubernetes.io/part-of': 'bench' } },
    spec: {
      clusterIP,
      clusterIPs: [clusterIP],
      ipFamilies: ['IPv4'],
      ipFamilyPolicy: 'SingleStack',
      ports: [{ name: 'http', port: servicePort, targetPort: podPort, protocol: 'TCP' }],
    },
  };
}

function sliceObject(service: string, pods: readonly { address: string; node: string; pod: string }[], port: number): object {
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      name: `${service}-x7k2p`,
      namespace,
      labels: {
        app: service,
        'app.kubernetes.io/part-of': 'bench',
        'kubernetes.io/service-name': service,
        'endpointslice.kubernetes.io/managed-by': 'bench',
      },
    },
    addressType: 'IPv4',
    ports: [{ name: 'http', port, protocol: 'TCP' }],
    endpoints: pods.map(({ address, node, pod }) => ({
      addresses: [address],
      conditions: { ready: true, serving: true, terminating: false },
      nodeName: node,
      zone: 'zone-a',
      targetRef: { kind: 'Pod', namespace, name: pod, uid: uid(pod) },
    })),
  };
}

/** Of the right length: what counts is how much there is to read. */
function uid(pod: string): string {
  return `00000000-0000-4000-8000-${Buffer.from(pod).toString('hex').slice(-12).padStart(12, '0')}`;
}
