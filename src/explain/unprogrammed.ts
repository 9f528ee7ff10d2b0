import { type KubeObject, objectKey, type SliceObject } from '../kube/objects.ts';
import { frontendKey } from '../layout.gen.ts';
import { type Address, addressFromHex, addressToHex, familyOf } from '../model/address.ts';
import { anyAddress } from '../model/places.ts';
import type { Service } from '../model/service.ts';
import { protocolNumbers } from './place.ts';
import type { Question } from './question.ts';
import type { Known, Stage } from './stage.ts';

/**
 * What is known of an address and port that no row stands for: Services that are left to others or not served, endpoints that
 * are asked directly, nodePorts on other addresses. Sentences for people, the most telling first.
 */
export function whyNothing(stage: Stage, question: Question): string[] {
  const { known } = stage;
  const notes = known === null ? [] : (indexOf(known).get(question.to) ?? []);
  const told = notes.flatMap(({ port, text }) => (port === null || port === question.port ? text : []));
  return [...new Set([...told, ...otherNodePort(stage, question)])];
}

/** `port` null: whatever is asked there. */
interface Note {
  readonly port: number | null;
  readonly text: string;
}

type Index = Map<Address, Note[]>;

/** Made once for all questions of a stage. */
const indices = new WeakMap<Known, Index>();

function indexOf(known: Known): Index {
  const there = indices.get(known);
  if (there !== undefined) return there;
  const index: Index = new Map();
  const add = (address: Address, text: string, port: number | null = null) => {
    index.set(address, [...(index.get(address) ?? []), { port, text }]);
  };
  for (const object of known.parsed.memory.objects.values()) noteUnserved(known, object, add);
  for (const [name, service] of known.world.services) noteProblems(known, name, service, add);
  for (const [name, ports] of known.world.endpoints) {
    for (const { address, port } of [...ports.values()].flat()) {
      add(address, `it is an endpoint of Service ${name}, asked directly: there is nothing to translate`, port);
    }
  }
  indices.set(known, index);
  return index;
}

type Add = (address: Address, text: string, port?: number) => void;

function noteUnserved({ parsed }: Known, object: KubeObject, add: Add): void {
  if (object.kind === 'Service') {
    const { metadata, spec, status } = object;
    const name = `${metadata.namespace}/${metadata.name}`;
    const reason = parsed.unserved.get(name);
    const ingress = status.loadBalancer.ingress;
    const addresses = new Set([
      spec.clusterIP,
      ...spec.clusterIPs,
      ...spec.externalIPs,
      ...ingress.map(({ ip }) => ip),
    ]);
    for (const address of reason === undefined ? [] : addresses) {
      add(address, `${objectKey(object)} is not programmed: ${reason}`);
    }
    for (const { ip } of ingress.filter(({ ipMode }) => reason === undefined && ipMode === 'Proxy')) {
      add(ip, `it is a load balancer IP of Service ${name} in mode Proxy: the load balancer itself is to be asked`);
    }
  }
  if (object.kind === 'EndpointSlice') noteSlice(parsed.unserved, object, add);
}

function noteSlice(unserved: ReadonlyMap<string, string>, { metadata, endpoints }: SliceObject, add: Add): void {
  const name = `${metadata.namespace}/${metadata.labels['kubernetes.io/service-name'] ?? ''}`;
  const reason = unserved.get(name);
  if (reason === undefined) return;
  for (const address of endpoints.flatMap((endpoint) => endpoint.addresses.slice(0, 1))) {
    add(address, `it is an endpoint of Service ${name}, which is not programmed: ${reason}`);
  }
}

/** What of a Service is not served as it was written. */
function noteProblems({ problems }: Known, name: string, service: Service, add: Add): void {
  const own = problems.filter(({ object }) => object === `Service ${name}`);
  const addresses = [...service.clusterIPs, ...service.loadBalancerIPs, ...service.externalIPs];
  for (const { object, reason } of own) for (const address of addresses) add(address, `${object}: ${reason}`);
}

/** A nodePort that is asked for at an address of the node where none answer. */
function otherNodePort(stage: Stage, { to, port, protocol }: Question): string[] {
  const { frontends, node_addresses: addresses } = stage.tables;
  const address = addressToHex(anyAddress[familyOf(to)]);
  const isNodePort = frontends.has(frontendKey.encode({ address, port, protocol: protocolNumbers[protocol] }));
  if (!isNodePort || stage.classify(to).kind !== 'node') return [];
  const where = [...addresses.keys()].map(addressFromHex).sort();
  return [
    `${port} is a nodePort, and ${to} an address of this node, but nodePorts answer on ${where.join(', ') || 'none'} only`,
  ];
}
