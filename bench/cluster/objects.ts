/** What the cluster is filled with: Services and their slices as a controller writes them, of pods that are nowhere. */

export interface Filling {
  readonly services: number;
  readonly endpoints: number;
}

export interface WrittenObject {
  readonly kind: string;
  readonly metadata: { readonly name: string } & Readonly<Record<string, unknown>>;
  readonly [field: string]: unknown;
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

export function fillerSliceName(i: number): string {
  return sliceName(fillerName(i));
}

export function fillerService(i: number): WrittenObject {
  return serviceObject(fillerName(i), `10.96.${128 + (i >> 8)}.${i & 255}`);
}

/** Each version says something else than the one before. */
export function fillerSlice(i: number, { endpoints }: Filling, version = 0): WrittenObject {
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

/** A Service whose only endpoint is on the node that is measured. */
export interface Probe {
  readonly name: string;
  readonly address: string;
  readonly port: number;
}

/** Of who goes through the Services in the order of names or of addresses, what comes first, in the middle and last. */
export function probesOf(nodeIndex: number): readonly Probe[] {
  return ['a', 'filler-05000', 'z'].map((name, i) => ({
    name: `${name}-probe-${nodeIndex}`,
    address: `10.96.${[64, 148, 250][i]}.${250 + nodeIndex}`,
    port: servicePort,
  }));
}

export function probeService({ name, address }: Probe): WrittenObject {
  return serviceObject(name, address);
}

/** `at`: who answers; null: nobody. */
export function probeSlice(
  { name }: Probe,
  at: { readonly node: string; readonly address: string; readonly port: number } | null,
): WrittenObject {
  return sliceObject(name, at === null ? [] : [{ ...at, pod: `server-${at.node}` }], at?.port ?? podPort);
}

function serviceObject(name: string, clusterIP: string): WrittenObject {
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

function sliceObject(
  service: string,
  pods: readonly { address: string; node: string; pod: string }[],
  port: number,
): WrittenObject {
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      name: sliceName(service),
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

function sliceName(service: string): string {
  return `${service}-x7k2p`;
}

/** Of the right length: what counts is how much there is to read. */
function uid(pod: string): string {
  return `00000000-0000-4000-8000-${Buffer.from(pod).toString('hex').slice(-12).padStart(12, '0')}`;
}
