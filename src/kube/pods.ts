import { type Address, familyOf } from '../model/address.ts';
import { parsePort, parseProtocol, type Report, readAddress } from './fields.ts';
import type {
  Labels,
  PodObject,
  PortSpec,
  ServiceObject,
  ServicePortSpec,
  SliceEndpoint,
  SliceObject,
} from './objects.ts';
import { byName } from './objects.ts';
import { isSelected, labelKey } from './selectors.ts';

/** A pod that can be an endpoint: it has an address and has not finished. */
export interface PodCandidate {
  readonly pod: PodObject;
  readonly addresses: readonly Address[];
}

/** Null: finished, or without an address yet. */
export function podCandidate(pod: PodObject, report: Report): PodCandidate | null {
  const { phase, podIP, podIPs } = pod.status;
  if (phase === 'Succeeded' || phase === 'Failed') return null;
  const texts = podIPs.length > 0 ? podIPs.map(({ ip }) => ip) : [podIP];
  const addresses = texts.flatMap((text) => {
    if (text === '') return [];
    const read = readAddress(text, null);
    if ('address' in read) return read.address;
    report(`status: ${read.fault}: left out`);
    return [];
  });
  return addresses.length === 0 ? null : { pod, addresses };
}

/** Finds the pods of a namespace that a selector matches, in name order, without looking at all of them. */
export interface PodIndex {
  /** The pod with this `objectKey` comes or goes. */
  change(key: string, candidate: PodCandidate, comes: boolean): void;
  find(namespace: string, selector: Labels): readonly PodCandidate[];
}

export function emptyPods(): PodIndex {
  const byLabel = new Map<string, Map<string, PodCandidate>>();
  const none = new Map<string, PodCandidate>();
  return {
    change(key, candidate, comes) {
      const { namespace, labels } = candidate.pod.metadata;
      for (const [name, value] of Object.entries(labels)) {
        const label = labelKey(namespace, name, value);
        const same = byLabel.get(label) ?? new Map<string, PodCandidate>();
        if (comes) same.set(key, candidate);
        else same.delete(key);
        if (same.size > 0) byLabel.set(label, same);
        else byLabel.delete(label);
      }
    },
    find(namespace, selector) {
      let fewest: ReadonlyMap<string, PodCandidate> | null = null;
      for (const [name, value] of Object.entries(selector)) {
        const some: ReadonlyMap<string, PodCandidate> = byLabel.get(labelKey(namespace, name, value)) ?? none;
        if (fewest === null || some.size < fewest.size) fewest = some;
      }
      const found = [...(fewest ?? none).values()].filter(({ pod }) => isSelected(pod.metadata.labels, selector));
      return found.sort((a, b) => byName(a.pod, b.pod));
    },
  };
}

/**
 * The slices that a cluster's EndpointSlice controller makes of the pods that a Service selects. A named targetPort is
 * whatever number each pod gives that name, so pods that give other numbers are in other slices. `zoneOf` tells the zone
 * of a node by its name, '' if it has none.
 */
export function slicesOfPods(
  service: ServiceObject,
  pods: readonly PodCandidate[],
  zoneOf: (nodeName: string) => string,
  report: Report,
): readonly SliceObject[] {
  const ports = service.spec.ports.map((port, i) => readTarget(port, i, pods, report));
  const slices = new Map<string, MutableSlice>();
  for (const candidate of pods) {
    const resolved = ports.flatMap((resolve) => resolve(candidate.pod) ?? []);
    const numbers = resolved.map(({ name, protocol, port }) => `${name}/${protocol}/${port}`).join(' ');
    for (const addressType of ['IPv4', 'IPv6'] as const) {
      const address = candidate.addresses.find((ip) => familyOf(ip) === (addressType === 'IPv6' ? 6 : 4));
      if (address === undefined) continue;
      const key = `${addressType} ${numbers}`;
      const { metadata } = service;
      const empty = { kind: 'EndpointSlice' as const, metadata, addressType, ports: resolved, endpoints: [] };
      const slice: MutableSlice = slices.get(key) ?? empty;
      slice.endpoints.push(podEndpoint(service, candidate.pod, address, zoneOf));
      slices.set(key, slice);
    }
  }
  return [...slices.values()];
}

type MutableSlice = SliceObject & { endpoints: SliceEndpoint[] };

function podEndpoint(
  { spec }: ServiceObject,
  pod: PodObject,
  address: Address,
  zoneOf: (nodeName: string) => string,
): SliceEndpoint {
  const serving = isReady(pod);
  const terminating = pod.metadata.deletionTimestamp !== '';
  const ready = spec.publishNotReadyAddresses === true || (serving && !terminating);
  const { nodeName } = pod.spec;
  const hints = ready ? hintsOf(spec.trafficDistribution, nodeName, zoneOf(nodeName)) : noHints;
  return { addresses: [address], conditions: { ready, serving, terminating }, nodeName, hints };
}

const noHints: SliceEndpoint['hints'] = { forZones: [], forNodes: [] };

/** The controller puts the Service's wish into hints; the data path looks at nothing else. */
function hintsOf(wish: string, nodeName: string, zone: string): SliceEndpoint['hints'] {
  if (!/^(PreferClose|PreferSameZone|PreferSameNode)$/.test(wish)) return noHints;
  return {
    forZones: zone === '' ? [] : [{ name: zone }],
    forNodes: wish === 'PreferSameNode' && nodeName !== '' ? [{ name: nodeName }] : [],
  };
}

/** Pods written by hand seldom have conditions: they are ready. */
function isReady({ status: { conditions } }: PodObject): boolean {
  return conditions.length === 0 || conditions.some(({ type, status }) => type === 'Ready' && status === 'True');
}

/** How the target of a Service port is found in a pod; null: that pod does not have it. */
function readTarget(
  port: ServicePortSpec,
  i: number,
  pods: readonly PodCandidate[],
  report: Report,
): (pod: PodObject) => PortSpec | null {
  const { name, protocol, targetPort } = port;
  const text = targetPort === '' || targetPort === '0' ? port.port : targetPort;
  if (!/^-?\d+$/.test(text)) {
    if (pods.length > 0 && pods.every(({ pod }) => namedPort(pod, port, text) === null)) {
      report(
        `ports[${i}].targetPort: no pod that it selects has a ${protocol || 'TCP'} port named ${JSON.stringify(text)}`,
      );
    }
    return (pod) => namedPort(pod, port, text);
  }
  if (parsePort(text) !== null) return () => ({ name, protocol, port: text });
  if (text !== port.port) report(`ports[${i}].targetPort: ${text} is not a port number (1 to 65535): no pod has it`);
  return () => null;
}

function namedPort(pod: PodObject, { name, protocol }: ServicePortSpec, wanted: string): PortSpec | null {
  const sidecars = pod.spec.initContainers.filter(({ restartPolicy }) => restartPolicy === 'Always');
  for (const container of [...pod.spec.containers, ...sidecars]) {
    for (const port of container.ports) {
      if (
        port.name === wanted &&
        parseProtocol(port.protocol) === parseProtocol(protocol) &&
        parsePort(port.containerPort)
      ) {
        return { name, protocol, port: port.containerPort };
      }
    }
  }
  return null;
}
