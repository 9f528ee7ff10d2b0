/**
 * Many Services that nobody visits. From round to round they differ in all that a Service may change: some come and go,
 * their pools grow and shrink, ports get other names, affinity and the second family come and go.
 */
import { serviceObjects } from './objects.ts';

export const crowdCidrs = '10.96.0.0/16,fd00:10:96::/112';

/** The Services of one round with their slices; `count` below 10,000. */
export function crowd(round: number, count: number): object[] {
  return Array.from({ length: count }, (_, i) => ((i + round) % 17 === 0 ? [] : member(i, round))).flat();
}

function member(i: number, round: number): object[] {
  const clusterIPs = [`10.96.${100 + (i >> 8)}.${i & 255}`, `fd00:10:96::${(0x1000 + i).toString(16)}`];
  const name = (i + round) % 5 === 0 ? 'old' : 'new';
  const ports = [
    { name, port: 80, targetPort: 8080, protocol: 'TCP' as const },
    { name: 'dns', port: 53, targetPort: (i + round) % 7 === 0 ? 5353 : 53, protocol: 'UDP' as const },
  ];
  const affinity = (i + round) % 3 === 0 ? { sessionAffinity: 'ClientIP' } : {};
  const size = (i * 7 + round * 3) % 9;
  const endpoints = Array.from({ length: size }, (_, k) => {
    const host = 1 + ((i + k + round) % 250);
    return { ip4: `10.9.${i & 255}.${host}`, ip6: `fd00:9:${(i + 1).toString(16)}::${host.toString(16)}`, node: 'n2' };
  });
  return serviceObjects(
    {
      name: `crowd-${i}`,
      clusterIPs: (i + round) % 4 === 0 ? clusterIPs.slice(0, 1) : clusterIPs,
      ports: (i + round) % 6 === 0 ? ports.slice(0, 1) : ports,
      spec: affinity,
    },
    endpoints,
  );
}

/** What a person would say of one service port. */
export interface Told {
  readonly name: string;
  readonly portName: string;
  readonly port: number;
  readonly protocol: string;
  readonly clusterIPs: readonly string[];
  readonly affinitySeconds: number;
  readonly backends: readonly string[];
}

interface AnyObject {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly labels?: Readonly<Record<string, string>> };
  readonly spec?: {
    readonly clusterIPs?: readonly string[];
    readonly sessionAffinity?: string;
    readonly ports?: readonly { name: string; port: number; protocol: string }[];
  };
  readonly ports?: readonly { name: string; port: number }[];
  readonly endpoints?: readonly { addresses: readonly string[] }[];
}

/**
 * Reads objects in the simplest way that is right for those which serviceObjects() makes, and for no others: the dump
 * must say the same. Sorted by name, port and protocol.
 */
export function tell(objects: readonly object[]): Told[] {
  const all = objects as readonly AnyObject[];
  const slicesOf = (name: string): AnyObject[] =>
    all.filter(({ metadata }) => metadata.labels?.['kubernetes.io/service-name'] === name);
  return all
    .filter(({ kind }) => kind === 'Service')
    .flatMap(({ metadata: { name }, spec }) =>
      (spec?.ports ?? []).map((port) => ({
        name,
        portName: port.name,
        port: port.port,
        protocol: port.protocol,
        clusterIPs: [...(spec?.clusterIPs ?? [])].sort(),
        affinitySeconds: spec?.sessionAffinity === 'ClientIP' ? 10_800 : 0,
        backends: slicesOf(name)
          .flatMap(({ ports, endpoints }) => {
            const target = ports?.find((one) => one.name === port.name)?.port;
            return (endpoints ?? []).flatMap(({ addresses }) => addresses.map((address) => shown(address, target)));
          })
          .sort(),
      })),
    )
    .sort(byNameAndPort);
}

/** The same of what `bpfsvc dump services -o json` prints. */
export function toldByDump(json: string): Told[] {
  const { items } = JSON.parse(json) as { items: Told[] };
  return items
    .map(({ name, portName, port, protocol, clusterIPs, affinitySeconds, backends }) => ({
      name,
      portName,
      port,
      protocol,
      clusterIPs: [...clusterIPs].sort(),
      affinitySeconds,
      backends: [...backends].sort(),
    }))
    .sort(byNameAndPort);
}

function shown(address: string, port: number | undefined): string {
  return `${address.includes(':') ? `[${address}]` : address}:${port}`;
}

function byNameAndPort(a: Told, b: Told): number {
  const [left, right] = [a, b].map(({ name, port, protocol }) => `${name} ${port} ${protocol}`) as [string, string];
  return left < right ? -1 : left > right ? 1 : 0;
}
