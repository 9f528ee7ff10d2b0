/** Section 1 of the specification, for Services: which count, and who owns an address. */
import { BlockList } from 'node:net';
import type { Flow, Node, Service, ServicePort, World } from './objects.ts';
import type { SourceClass } from './reference.ts';

type Family = 4 | 6;

/** One service port at one of its addresses. */
export interface Claim {
  readonly service: Service;
  readonly port: ServicePort;
  readonly kind: 'clusterIP' | 'loadBalancer' | 'externalIP' | 'nodePort';
}

export const optOutLabels: readonly string[] = [
  'service.kubernetes.io/service-proxy-name',
  'service.kubernetes.io/headless',
];

/** Of an address or a CIDR. */
export function familyOf(text: string): Family {
  return text.includes(':') ? 6 : 4;
}

export function inAny(cidrs: readonly string[], address: string): boolean {
  const list = new BlockList();
  for (const cidr of cidrs) {
    const [network = '', bits] = cidr.split('/');
    list.addSubnet(network, Number(bits), familyOf(cidr) === 6 ? 'ipv6' : 'ipv4');
  }
  return list.check(address, familyOf(address) === 6 ? 'ipv6' : 'ipv4');
}

export function nodeNamed({ objects, options }: World): Node {
  const node = objects.find((one): one is Node => one.kind === 'Node' && one.metadata.name === options.node);
  if (node === undefined) throw new Error(`a world without its node ${options.node}`);
  return node;
}

/** The first InternalIP of a family. */
export function primaryOf(world: World, family: Family): string | null {
  const addresses = nodeNamed(world).status.addresses.filter(({ type }) => type === 'InternalIP');
  return addresses.find(({ address }) => familyOf(address) === family)?.address ?? null;
}

/** Who came first: the older, then the lesser namespace/name. */
function ours({ objects }: World): Service[] {
  const key = ({ metadata }: Service) => `${metadata.creationTimestamp} ${metadata.namespace}/${metadata.name}`;
  return objects
    .filter((one): one is Service => one.kind === 'Service' && isProgrammed(one))
    .sort((a, b) => (key(a) < key(b) ? -1 : 1));
}

function isProgrammed({ metadata, spec }: Service): boolean {
  if (spec.clusterIP === '' || spec.clusterIP === 'None' || spec.type === 'ExternalName') return false;
  return !optOutLabels.some((label) => label in (metadata.labels ?? {}));
}

/** Null: the Service is not of this family, and nothing of it is. */
function clusterIpOf({ spec }: Service, family: Family): string | null {
  const index = (spec.ipFamilies ?? []).indexOf(`IPv${family}`);
  if (spec.ipFamilies !== undefined) return spec.clusterIPs?.[index] ?? (index === 0 ? spec.clusterIP : null);
  return familyOf(spec.clusterIP) === family ? spec.clusterIP : null;
}

export function loadBalancerIpsOf({ status }: Service): string[] {
  const ingress = status?.loadBalancer.ingress ?? [];
  return ingress.flatMap(({ ip, ipMode = 'VIP' }) => (ip !== undefined && ipMode === 'VIP' ? [ip] : []));
}

/** Can endpoints answer at a frontend of this port number at all? */
export type IsServed = (claim: Claim, number: number) => boolean;

/** An address of its own goes before a nodePort at the same address. */
export function ownerOf(world: World, flow: Flow, source: SourceClass, isServed: IsServed): Claim | null {
  const family = familyOf(flow.to);
  const asked = ours(world).flatMap((service) =>
    clusterIpOf(service, family) === null
      ? []
      : service.spec.ports
          .filter(({ protocol }) => protocol.toLowerCase() === flow.protocol)
          .map((port) => ({ service, port })),
  );
  const kinds = (service: Service) => kindOf(service, flow.to);
  const exact = asked.find(({ service, port }) => port.port === flow.port && kinds(service) !== null);
  const kind = exact === undefined ? null : kinds(exact.service);
  if (exact !== undefined && kind !== null && isServed({ ...exact, kind }, flow.port)) return { ...exact, kind };
  if (!isNodePortAddress(world, flow.to, source)) return null;
  const found = asked.find(({ port }) => port.nodePort === flow.port);
  const claim = found === undefined ? null : ({ ...found, kind: 'nodePort' } as const);
  return claim !== null && isServed(claim, flow.port) ? claim : null;
}

/** What an address is to a Service: guarded by source ranges if it is a load balancer's, whatever else it is. */
function kindOf(service: Service, address: string): Claim['kind'] | null {
  if (clusterIpOf(service, familyOf(address)) === address) return 'clusterIP';
  if (loadBalancerIpsOf(service).includes(address)) return 'loadBalancer';
  return service.spec.externalIPs?.includes(address) ? 'externalIP' : null;
}

export function isClusterIp(world: World, address: string): boolean {
  return ours(world).some((service) => clusterIpOf(service, familyOf(address)) === address);
}

/** Localhost is offered to the node's own sockets; a range of everything leaves loopback out. */
function isNodePortAddress(world: World, address: string, source: SourceClass): boolean {
  const wanted = world.options.nodePortAddresses;
  if (address === '127.0.0.1' || address === '::1') return source === 'node' && wanted.includes('localhost');
  if (!nodeNamed(world).status.addresses.some((one) => one.address === address)) return false;
  if (wanted.includes('all')) return true;
  if (wanted.includes('primary') && primaryOf(world, familyOf(address)) === address) return true;
  return inAny(
    wanted.filter((one) => one.includes('/')),
    address,
  );
}
