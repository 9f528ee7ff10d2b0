import fc from 'fast-check';
import type { Flow } from './objects.ts';
import {
  balancer,
  CLASHING,
  clusterIp,
  external,
  type Family,
  localhost,
  nodePortOf,
  outside,
  own,
  PODS,
  type PortKind,
  pod,
  portKinds,
  remotePod,
  SERVICES,
  SHARED,
  type Text,
} from './places.ts';
import { mostly, some, type ValueOf } from './weights.ts';

const target = fc.oneof(
  { weight: 5, arbitrary: fc.constant('cluster' as const) },
  { weight: 4, arbitrary: fc.constant('node' as const) },
  { weight: 8, arbitrary: fc.constant('balancer' as const) },
  { weight: 3, arbitrary: fc.constant('external' as const) },
  { weight: 2, arbitrary: fc.constantFrom('localhost' as const, 'second address' as const, 'shared' as const) },
  { weight: 1, arbitrary: fc.constantFrom('unallocated' as const, 'elsewhere' as const, 'endpoint' as const) },
);

const source = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom('pod' as const, 'endpoint' as const) },
  { weight: 3, arbitrary: fc.constant('node' as const) },
  { weight: 4, arbitrary: fc.constantFrom('outside' as const, 'blocked' as const) },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      'second address' as const,
      'localhost' as const,
      'balancer' as const,
      'remote pod' as const,
    ),
  },
);

export const flowArbitrary: fc.Arbitrary<Flow> = fc
  .record({
    from: source,
    to: target,
    id: fc.nat(SERVICES - 1),
    pod: fc.nat(PODS - 2),
    index: some(0, 1, 2, 3),
    family: fc.constantFrom<Family>(4, 6),
    odd: mostly('', 'port', 'protocol', 'nodePort', 'clash'),
  })
  .map(({ from, to, id, pod: n, index, family, odd }) => {
    const kind = portKinds[index] as PortKind;
    const flip = { tcp: 'udp', udp: 'tcp', sctp: 'tcp' } as const;
    const protocol = kind.protocol.toLowerCase() as Flow['protocol'];
    const byNodePort = (to === 'node' || to === 'localhost' || to === 'second address') !== (odd === 'nodePort');
    const port = byNodePort ? (odd === 'clash' ? CLASHING : nodePortOf(id, index)) : kind.port;
    return {
      from: sourceAddress(from, id, n)[family],
      to: targetAddress(to, id, n)[family],
      port: odd === 'port' ? port + 1 : port,
      protocol: odd === 'protocol' ? flip[protocol] : protocol,
    };
  });

function sourceAddress(from: ValueOf<typeof source>, id: number, n: number): Text {
  const made = {
    pod: pod(9),
    endpoint: pod(n + 1),
    node: own[0] as Text,
    outside: outside[0] as Text,
    blocked: outside[1] as Text,
    'second address': own[1] as Text,
    localhost,
    balancer: balancer(id),
    'remote pod': remotePod,
  };
  return made[from];
}

function targetAddress(to: ValueOf<typeof target>, id: number, n: number): Text {
  const made = {
    cluster: clusterIp(id),
    node: own[0] as Text,
    balancer: balancer(id),
    external: external(id),
    localhost,
    'second address': own[1] as Text,
    shared: id % 2 === 0 ? balancer(SHARED) : external(SHARED),
    unallocated: { 4: '10.97.0.77', 6: 'fd97::77' },
    elsewhere: { 4: '8.8.8.8', 6: '2600::8' },
    endpoint: pod(n + 1),
  };
  return made[to];
}
