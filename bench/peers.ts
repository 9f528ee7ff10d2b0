/**
 * The rules that kube-proxy v1.36.3 writes, in iptables and in nftables mode, for the bench's Services: same chains, same
 * matches, same order, as its own tests (pkg/proxy/iptables and pkg/proxy/nftables, TestOverall…Rules) print them. Of the
 * tables only what ClusterIPs and nodePorts need is filled; the hooks, jumps and checks that all traffic passes are all there. Left
 * out: nfacct counters, which are optional.
 */
import { createHash } from 'node:crypto';
import type { BenchPort, BenchService } from './services.ts';

export const kubeProxyVersion = 'v1.36.3';

const clusterCidr = '10.1.0.0/16';
const serviceCidr = '10.96.0.0/12';

/** RFC 4648 base32 of a SHA-256, as kube-proxy shortens names. */
export function chainHash(text: string, length: number): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
  const bits = [...createHash('sha256').update(text).digest()]
    .map((byte) => byte.toString(2).padStart(8, '0'))
    .join('');
  return Array.from({ length }, (_, i) => alphabet[Number.parseInt(bits.slice(5 * i, 5 * i + 5), 2)]).join('');
}

interface ServicePort {
  /** 'bench/target:echo' */
  readonly name: string;
  readonly service: BenchService;
  readonly port: BenchPort;
}

function servicePorts(services: readonly BenchService[]): ServicePort[] {
  return services.flatMap((service) =>
    service.ports.map((port) => ({ name: `bench/${service.name}:${port.name}`, service, port })),
  );
}

/** Input for iptables-restore: the filter and the nat table, whole. */
export function iptablesRules(services: readonly BenchService[]): string {
  const all = servicePorts(services);
  const endpoints = all.reduce((sum, { port }) => sum + port.endpoints.length, 0);
  // Above 1,000 endpoints kube-proxy leaves the comments of per-service rules out.
  const comment = (text: string): string => (endpoints > 1000 ? '' : ` -m comment --comment "${text}"`);
  const chains = all.flatMap((each) => [
    ...(each.port.nodePort === undefined ? [] : [extChain(each)]),
    svcChain(each),
    ...each.port.endpoints.map((endpoint) => sepChain(each, endpoint)),
  ]);
  return [
    ...filterTable,
    '*nat',
    ...['PREROUTING', 'INPUT', 'OUTPUT', 'POSTROUTING'].map((chain) => `:${chain} ACCEPT [0:0]`),
    ...['KUBE-NODEPORTS', 'KUBE-SERVICES', 'KUBE-MARK-MASQ', 'KUBE-POSTROUTING', ...chains].map(
      (chain) => `:${chain} - [0:0]`,
    ),
    ...natJumps,
    ...all.map(
      (each) => `-A KUBE-SERVICES${comment(`${each.name} cluster IP`)} ${toClusterIP(each)} -j ${svcChain(each)}`,
    ),
    '-A KUBE-SERVICES -m comment --comment "kubernetes service nodeports; NOTE: this must be the last rule in this chain" -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS',
    ...all.flatMap((each) => nodePortRules(each, comment)),
    '-A KUBE-MARK-MASQ -j MARK --or-mark 0x4000',
    '-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN',
    '-A KUBE-POSTROUTING -j MARK --xor-mark 0x4000',
    '-A KUBE-POSTROUTING -m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE --random-fully',
    ...all.flatMap((each) => endpointRules(each, comment)),
    'COMMIT',
    '',
  ].join('\n');
}

const filterTable: readonly string[] = [
  '*filter',
  ...['INPUT', 'FORWARD', 'OUTPUT'].map((chain) => `:${chain} ACCEPT [0:0]`),
  ...['NODEPORTS', 'SERVICES', 'EXTERNAL-SERVICES', 'FIREWALL', 'FORWARD', 'PROXY-FIREWALL'].map(
    (chain) => `:KUBE-${chain} - [0:0]`,
  ),
  // kube-proxy puts each jump before those it made earlier.
  ...['INPUT', 'OUTPUT'].map((chain) => `-A ${chain} -j KUBE-FIREWALL`),
  ...['FORWARD', 'OUTPUT', 'INPUT'].map(
    (chain) =>
      `-A ${chain} -m conntrack --ctstate NEW -m comment --comment "kubernetes load balancer firewall" -j KUBE-PROXY-FIREWALL`,
  ),
  '-A FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD',
  ...['OUTPUT', 'FORWARD'].map(
    (chain) =>
      `-A ${chain} -m conntrack --ctstate NEW -m comment --comment "kubernetes service portals" -j KUBE-SERVICES`,
  ),
  '-A INPUT -m comment --comment "kubernetes health check service ports" -j KUBE-NODEPORTS',
  ...['FORWARD', 'INPUT'].map(
    (chain) =>
      `-A ${chain} -m conntrack --ctstate NEW -m comment --comment "kubernetes externally-visible service portals" -j KUBE-EXTERNAL-SERVICES`,
  ),
  '-A KUBE-FIREWALL -m comment --comment "block incoming localnet connections" -d 127.0.0.0/8 ! -s 127.0.0.0/8 -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP',
  '-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP',
  '-A KUBE-FORWARD -m comment --comment "kubernetes forwarding rules" -m mark --mark 0x4000/0x4000 -j ACCEPT',
  '-A KUBE-FORWARD -m comment --comment "kubernetes forwarding conntrack rule" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
  'COMMIT',
];

const natJumps: readonly string[] = [
  '-A POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING',
  '-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES',
  '-A OUTPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES',
];

function svcChain({ name }: ServicePort): string {
  return `KUBE-SVC-${chainHash(`${name}tcp`, 16)}`;
}

function extChain({ name }: ServicePort): string {
  return `KUBE-EXT-${chainHash(`${name}tcp`, 16)}`;
}

function nodePortRules(each: ServicePort, comment: (text: string) => string): string[] {
  const { name, port } = each;
  if (port.nodePort === undefined) return [];
  return [
    `-A KUBE-NODEPORTS${comment(name)} -m tcp -p tcp --dport ${port.nodePort} -j ${extChain(each)}`,
    `-A ${extChain(each)}${comment(`masquerade traffic for ${name} external destinations`)} -j KUBE-MARK-MASQ`,
    `-A ${extChain(each)} -j ${svcChain(each)}`,
  ];
}

function sepChain({ name }: ServicePort, endpoint: BenchPort['endpoints'][number]): string {
  return `KUBE-SEP-${chainHash(`${name}tcp${endpoint.address}:${endpoint.port}`, 16)}`;
}

function toClusterIP({ service, port }: ServicePort): string {
  return `-m tcp -p tcp -d ${service.clusterIP} --dport ${port.number}`;
}

function endpointRules(each: ServicePort, comment: (text: string) => string): string[] {
  const { name, port } = each;
  const total = port.endpoints.length;
  return [
    `-A ${svcChain(each)}${comment(`${name} cluster IP`)} ${toClusterIP(each)} ! -s ${clusterCidr} -j KUBE-MARK-MASQ`,
    ...port.endpoints.map((endpoint, i) => {
      const chance =
        i === total - 1 ? '' : ` -m statistic --mode random --probability ${(1 / (total - i)).toFixed(10)}`;
      return `-A ${svcChain(each)}${comment(`${name} -> ${endpoint.address}:${endpoint.port}`)}${chance} -j ${sepChain(each, endpoint)}`;
    }),
    ...port.endpoints.flatMap((endpoint) => [
      `-A ${sepChain(each, endpoint)}${comment(name)} -s ${endpoint.address} -j KUBE-MARK-MASQ`,
      `-A ${sepChain(each, endpoint)}${comment(name)} -m tcp -p tcp -j DNAT --to-destination ${endpoint.address}:${endpoint.port}`,
    ]),
  ];
}

/** Input for `nft -f`: one transaction, with the elements of each set and map in one go, as kube-proxy sends it. */
export function nftablesRules(services: readonly BenchService[], nodeIP: string): string {
  const all = servicePorts(services);
  const base = baseRules(nodeIP).map((line) => `add ${line}`);
  const elements = (name: string, lines: readonly string[]): string =>
    `add element ip kube-proxy ${name} { ${lines.join(', ')} }`;
  const nodePorts = all.filter(({ port }) => port.nodePort !== undefined);
  const local = all.flatMap(({ port }) => port.endpoints).filter(({ address }) => address.startsWith('10.1.'));
  return [
    ...base,
    ...all.map((each) => `add chain ip kube-proxy ${nftChain(each)}`),
    ...all.map(({ port, ...rest }) => {
      const choices = port.endpoints.map((endpoint, i) => `${i} : ${endpoint.address} . ${endpoint.port}`).join(' , ');
      const choose = `numgen random mod ${port.endpoints.length} map { ${choices} }`;
      return `add rule ip kube-proxy ${nftChain({ port, ...rest })} meta l4proto tcp dnat ip addr . port to ${choose}`;
    }),
    elements(
      'cluster-ips',
      services.map(({ clusterIP }) => clusterIP),
    ),
    elements(
      'service-ips',
      all.map((each) => `${each.service.clusterIP} . tcp . ${each.port.number} : goto ${nftChain(each)}`),
    ),
    ...nodePorts.flatMap((each) => [
      `add chain ip kube-proxy ${nftExternal(each)}`,
      `add rule ip kube-proxy ${nftExternal(each)} mark set mark or 0x4000`,
      `add rule ip kube-proxy ${nftExternal(each)} goto ${nftChain(each)}`,
    ]),
    elements(
      'service-nodeports',
      nodePorts.map((each) => `tcp . ${each.port.nodePort} : goto ${nftExternal(each)}`),
    ),
    elements(
      'hairpin-connections',
      local.map(({ address, port }) => `${address} . ${address} . tcp . ${port}`),
    ),
    '',
  ].join('\n');
}

function nftChain({ service, port }: ServicePort): string {
  const name = `bench/${service.name}/tcp/${port.name}`;
  return `service-${chainHash(name, 8)}-${name}`;
}

function nftExternal(each: ServicePort): string {
  return nftChain(each).replace('service-', 'external-');
}

function baseRules(nodeIP: string): string[] {
  const verdicts = 'type ipv4_addr . inet_proto . inet_service : verdict ;';
  const chains: Readonly<Record<string, string>> = {
    'cluster-ips-check': '',
    'filter-prerouting-pre-dnat': '{ type filter hook prerouting priority -110 ; }',
    'filter-output-pre-dnat': '{ type filter hook output priority -110 ; }',
    'filter-forward': '{ type filter hook forward priority 0 ; }',
    'filter-input': '{ type filter hook input priority 0 ; }',
    'filter-output': '{ type filter hook output priority 0 ; }',
    'firewall-check': '',
    masquerading: '',
    'nat-output': '{ type nat hook output priority -100 ; }',
    'nat-postrouting': '{ type nat hook postrouting priority 100 ; }',
    'nat-prerouting': '{ type nat hook prerouting priority -100 ; }',
    'nodeport-endpoints-check': '',
    'reject-chain': '',
    services: '',
    'service-endpoints-check': '',
  };
  const rules: readonly (readonly [string, string])[] = [
    ['cluster-ips-check', 'ip daddr @cluster-ips reject'],
    ['cluster-ips-check', `ip daddr { ${serviceCidr} } drop`],
    ['filter-prerouting-pre-dnat', 'ct state new jump firewall-check'],
    ['filter-forward', 'ct state new jump service-endpoints-check'],
    ['filter-forward', 'ct state new jump cluster-ips-check'],
    ['filter-input', 'ct state new jump nodeport-endpoints-check'],
    ['filter-input', 'ct state new jump service-endpoints-check'],
    ['filter-output', 'ct state new jump service-endpoints-check'],
    ['filter-output-pre-dnat', 'ct state new jump firewall-check'],
    ['filter-output', 'ct state new jump cluster-ips-check'],
    ['firewall-check', 'ip daddr . meta l4proto . th dport vmap @firewall-ips'],
    ['masquerading', 'mark and 0x4000 != 0 mark set mark xor 0x4000 masquerade fully-random'],
    [
      'masquerading',
      'ct status dnat ip saddr . ip daddr . meta l4proto . th dport @hairpin-connections masquerade fully-random',
    ],
    ['nat-output', 'jump services'],
    ['nat-postrouting', 'jump masquerading'],
    ['nat-prerouting', 'jump services'],
    ['nodeport-endpoints-check', 'ip daddr @nodeport-ips meta l4proto . th dport vmap @no-endpoint-nodeports'],
    ['reject-chain', 'reject'],
    ['services', `ip daddr @cluster-ips ip saddr != ${clusterCidr} mark set mark or 0x4000`],
    ['services', 'ip daddr . meta l4proto . th dport vmap @service-ips'],
    ['services', 'ip daddr @nodeport-ips meta l4proto . th dport vmap @service-nodeports'],
    ['service-endpoints-check', 'ip daddr . meta l4proto . th dport vmap @no-endpoint-services'],
  ];
  return [
    'table ip kube-proxy',
    'set ip kube-proxy cluster-ips { type ipv4_addr ; }',
    'set ip kube-proxy nodeport-ips { type ipv4_addr ; }',
    'set ip kube-proxy hairpin-connections { type ipv4_addr . ipv4_addr . inet_proto . inet_service ; }',
    ...['firewall-ips', 'no-endpoint-services', 'service-ips'].map(
      (name) => `map ip kube-proxy ${name} { ${verdicts} }`,
    ),
    ...['no-endpoint-nodeports', 'service-nodeports'].map(
      (name) => `map ip kube-proxy ${name} { type inet_proto . inet_service : verdict ; }`,
    ),
    ...Object.entries(chains).map(([name, hook]) => `chain ip kube-proxy ${name} ${hook}`.trim()),
    `element ip kube-proxy nodeport-ips { ${nodeIP} }`,
    ...rules.map(([chain, rule]) => `rule ip kube-proxy ${chain} ${rule}`),
  ];
}
