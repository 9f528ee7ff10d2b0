import { changeClaims, emptyClaims } from './claims.ts';
import { compileService, type Frontend, type Pool } from './frontends.ts';
import type { NodeFacts } from './node.ts';
import { type Endpoint, type Endpoints, type Service, type ServicePort, serviceName } from './service.ts';

/* What the tests of frontends tell their cases with. */

export const node: NodeFacts = {
  name: 'here',
  zone: null,
  addresses: ['192.0.2.1'],
  localAddresses: new Set(['192.0.2.1']),
};
export const http: ServicePort = { name: 'http', protocol: 'TCP', number: 80, nodePort: 0 };
export const dns: ServicePort = { name: 'dns', protocol: 'UDP', number: 53, nodePort: 0 };
export const web: Service = {
  namespace: 'default',
  name: 'web',
  created: '',
  clusterIPs: ['10.96.0.1'],
  externalIPs: [],
  loadBalancerIPs: [],
  sourceRanges: [],
  ports: [http],
  affinitySeconds: 0,
  scheduler: 'random',
  internalLocal: false,
  externalLocal: false,
  healthCheckNodePort: 0,
};

export function endpoint(address: string, more: Partial<Endpoint> = {}): Endpoint {
  return {
    address,
    port: 8080,
    ready: true,
    serving: true,
    terminating: false,
    nodeName: 'there',
    zoneHints: [],
    nodeHints: [],
    ...more,
  };
}

export const behind = (...endpoints: Endpoint[]): Endpoints => new Map([['http/TCP', endpoints]]);
const poolText = (pool: Pool | null) => pool?.map(({ address, port }) => `${address} ${port}`).join(', ') ?? null;

function frontendText(frontend: Frontend): string {
  const place = frontend.place === 'cluster' ? '' : ` (${frontend.place})`;
  if (frontend.kind === 'address') return `${frontend.address} as ${frontend.port.name}${place}`;
  const { address, number, port, any, local, localFor, hasEndpoint, affinitySeconds, guarded } = frontend;
  const flags = [
    guarded && 'guarded',
    localFor === 'everybody' && 'localOnly',
    localFor === 'outside' && 'localOutside',
    hasEndpoint && 'hasEndpoint',
    affinitySeconds && `affinity ${affinitySeconds}`,
  ];
  return [
    `${address} ${number}/${port.protocol}${place}`,
    `any [${poolText(any) ?? '-'}]`,
    `local [${poolText(local) ?? '-'}]`,
    ...flags.filter(Boolean),
  ].join(' ');
}

/** What is said of one Service, default/web, among its rivals. */
export interface Outcome {
  readonly frontends: readonly string[];
  readonly sources: readonly string[];
  readonly problems: readonly string[];
}

export function compile(
  service: Service,
  endpoints: Endpoints,
  facts: NodeFacts = node,
  rivals: readonly Service[] = [],
): Outcome {
  const claims = emptyClaims();
  for (const claimant of [service, ...rivals]) changeClaims(claims, serviceName(claimant), claimant);
  const { frontends, problems, sources } = compileService(service, endpoints, facts, claims);
  for (const problem of problems) if (problem.object !== 'Service default/web') throw new Error(problem.object);
  return {
    frontends: frontends.map(frontendText),
    sources: sources.map(({ address, prefixLength }) => `${address}/${prefixLength}`),
    problems: problems.map((problem) => problem.reason),
  };
}

export interface Case {
  readonly name: string;
  readonly service: Partial<Service>;
  readonly endpoints?: Endpoints;
  readonly node?: NodeFacts;
  readonly rivals?: readonly Service[];
  readonly frontends: readonly string[];
  readonly sources?: readonly string[];
  readonly problems?: readonly string[];
}

/** What the case comes to, beside what it expects. */
export function outcomes(of: Case): [found: Outcome, expected: Outcome] {
  const { service, endpoints = new Map(), node: facts, rivals, frontends, sources = [], problems = [] } = of;
  return [compile({ ...web, ...service }, endpoints, facts, rivals), { frontends, sources, problems }];
}

export const two: Endpoints = behind(endpoint('10.0.0.1'), endpoint('10.0.0.2', { nodeName: 'here' }));
