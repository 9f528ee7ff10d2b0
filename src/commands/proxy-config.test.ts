import test from 'ava';
import fc from 'fast-check';
import { readConfiguration } from './proxy-config.ts';
import { ignored } from './proxy-ignored.ts';
import { type ProxyOptions, type Said, settle } from './proxy-options.ts';
import { fieldPaths } from './proxy-schema.ts';
import { UsageError } from './usage.ts';

const head = 'apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n';

/** What the fields come to, without flags, and the warnings. */
function settled(fields: string, flags: Said = {}): { options: ProxyOptions; warnings: readonly string[] } {
  const { said, warnings } = readConfiguration(head + fields, 'kp.yaml');
  const { options, warnings: more } = settle(flags, said);
  return { options, warnings: [...warnings, ...more] };
}

const defaults: ProxyOptions = {
  node: null,
  primaryAddress: null,
  healthzAddress: { host: '0.0.0.0', port: 10256 },
  metricsAddress: { host: '127.0.0.1', port: 10249 },
  bindHardFail: false,
  detector: { mode: 'ClusterCIDR', cidrs: [] },
  masqueradeAll: false,
  scheduler: 'random',
  masqueradeBit: 14,
  nodePorts: null,
  isVerbose: false,
  logFormat: null,
  apiServer: null,
};

/** What kubeadm writes: every field, most of them empty. */
const kubeadm = `
bindAddress: 0.0.0.0
bindAddressHardFail: false
clientConnection: {acceptContentTypes: "", burst: 0, contentType: "", kubeconfig: /var/lib/kube-proxy/kubeconfig.conf, qps: 0}
clusterCIDR: 10.244.0.0/16
configSyncPeriod: 0s
conntrack: {maxPerCore: null, min: null, tcpBeLiberal: false, tcpCloseWaitTimeout: null, tcpEstablishedTimeout: null, udpStreamTimeout: 0s, udpTimeout: 0s}
detectLocal: {bridgeInterface: "", interfaceNamePrefix: ""}
detectLocalMode: ""
enableProfiling: false
healthzBindAddress: ""
hostnameOverride: ""
iptables: {localhostNodePorts: null, masqueradeAll: false, masqueradeBit: null, minSyncPeriod: 0s, syncPeriod: 0s}
ipvs: {excludeCIDRs: null, minSyncPeriod: 0s, scheduler: "", strictARP: false, syncPeriod: 0s, tcpFinTimeout: 0s, tcpTimeout: 0s, udpTimeout: 0s}
logging: {flushFrequency: 0, options: {json: {infoBufferSize: "0"}, text: {infoBufferSize: "0"}}, verbosity: 0}
metricsBindAddress: ""
mode: ""
nftables: {masqueradeAll: false, masqueradeBit: null, minSyncPeriod: 0s, syncPeriod: 0s}
nodePortAddresses: null
oomScoreAdj: null
portRange: ""
showHiddenMetricsForVersion: ""
winkernel: {enableDSR: false, forwardHealthCheckVip: false, networkName: "", rootHnsEndpointName: "", sourceVip: ""}
`;

test('readConfiguration() says nothing of what kubeadm leaves empty', (t) => {
  const cidrs = [{ address: '10.244.0.0', prefixLength: 16 }];
  t.deepEqual(settled(kubeadm), {
    options: {
      ...defaults,
      detector: { mode: 'ClusterCIDR', cidrs },
      apiServer: {
        kubeconfig: '/var/lib/kube-proxy/kubeconfig.conf',
        master: null,
        where: 'clientConnection.kubeconfig of kp.yaml',
      },
    },
    warnings: [],
  });
  t.deepEqual(settled(''), { options: defaults, warnings: [] });
});

const v4 = { address: '10.0.0.0', prefixLength: 16 };
const v6 = { address: 'fd00::', prefixLength: 48 };

const taken: readonly [fields: string, expected: Partial<ProxyOptions>][] = [
  ['hostnameOverride: " Worker-1 "', { node: 'worker-1' }],
  ['bindAddress: 192.0.2.1', { primaryAddress: '192.0.2.1' }],
  ['bindAddress: "::"', { healthzAddress: { host: '::', port: 10256 }, metricsAddress: { host: '::1', port: 10249 } }],
  [
    'bindAddress: fd00::1',
    {
      primaryAddress: 'fd00::1',
      healthzAddress: { host: '::', port: 10256 },
      metricsAddress: { host: '::1', port: 10249 },
    },
  ],
  ['healthzBindAddress: 127.0.0.1', { healthzAddress: { host: '127.0.0.1', port: 10256 } }],
  ['healthzBindAddress: "[::1]:1"', { healthzAddress: { host: '::1', port: 1 } }],
  ['metricsBindAddress: 0.0.0.0:9', { metricsAddress: { host: '0.0.0.0', port: 9 } }],
  ['bindAddressHardFail: true', { bindHardFail: true }],
  ['clusterCIDR: "10.0.0.0/16, fd00::/48"', { detector: { mode: 'ClusterCIDR', cidrs: [v4, v6] } }],
  ['detectLocalMode: NodeCIDR', { detector: { mode: 'NodeCIDR' } }],
  [
    'detectLocalMode: BridgeInterface\ndetectLocal: {bridgeInterface: cni0}',
    { detector: { mode: 'BridgeInterface', bridge: 'cni0' } },
  ],
  [
    'detectLocalMode: InterfaceNamePrefix\ndetectLocal: {interfaceNamePrefix: veth}',
    { detector: { mode: 'InterfaceNamePrefix', prefix: 'veth' } },
  ],
  ['iptables: {masqueradeAll: true}', { masqueradeAll: true }],
  ['iptables: {masqueradeBit: 0}\nnftables: {masqueradeBit: 5}', { masqueradeBit: 0 }],
  ['nodePortAddresses: [10.0.0.0/16]', { nodePorts: { primary: false, localhost: false, cidrs: [v4] } }],
  ['nodePortAddresses: [primary, localhost]', { nodePorts: { primary: true, localhost: true, cidrs: [] } }],
  ['logging: {verbosity: 3}', {}],
  ['logging: {verbosity: 4, format: json}', { isVerbose: true, logFormat: 'json' }],
];

for (const [fields, expected] of taken) {
  test(`readConfiguration() takes ${fields.replace('\n', ', ')}`, (t) => {
    t.deepEqual(settled(fields), { options: { ...defaults, ...expected }, warnings: [] });
  });
}

const vain: readonly [fields: string, warning: RegExp][] = [
  ['mode: ipvs', /^mode of kp.yaml is not used: there is one mode/],
  ['featureGates: {A: true}', /^featureGates of kp.yaml is not used/],
  ['conntrack: {maxPerCore: 32768}', /^conntrack.maxPerCore of kp.yaml is not used: no setting of the kernel/],
  ['iptables: {syncPeriod: 30s}', /^iptables.syncPeriod of kp.yaml is not used: each change/],
  ['ipvs: {excludeCIDRs: [10.0.0.0/8]}', /^ipvs.excludeCIDRs of kp.yaml is not used/],
  ['logging: {options: {json: {infoBufferSize: 4Mi}}}', /^logging.options.json.infoBufferSize of kp.yaml is not used/],
  ['iptables: {localhostNodePorts: true}', /^iptables.localhostNodePorts of kp.yaml is not used: name localhost/],
  ['nftables: {masqueradeAll: true}', /^nftables.masqueradeAll of kp.yaml is not used: with mode iptables/],
  ['detectLocalMode: ClusterCIDR', /^detectLocalMode of kp.yaml ClusterCIDR is not used: no cluster CIDR/],
  ['detectLocal: {bridgeInterface: cni0}', /^detectLocal.bridgeInterface of kp.yaml is not used: .* by ClusterCIDR/],
];

for (const [fields, warning] of vain) {
  test(`readConfiguration() warns of ${fields}, and goes on`, (t) => {
    const { options, warnings } = settled(fields);
    t.deepEqual(options, defaults);
    t.is(warnings.length, 1, warnings.join('\n'));
    t.regex(warnings[0] ?? '', warning);
  });
}

test('readConfiguration() takes masqueradeAll of the section that the mode has', (t) => {
  const { options, warnings } = settled(
    'mode: nftables\nnftables: {masqueradeAll: true}\niptables: {masqueradeAll: true}',
  );
  t.true(options.masqueradeAll);
  t.deepEqual(
    warnings.map((warning) => warning.split(' ')[0]),
    ['mode', 'iptables.masqueradeAll'],
  );
});

const wrong: readonly [text: string, message: RegExp][] = [
  ['', /^kp.yaml is empty$/],
  ['# nothing\n', /^kp.yaml is empty$/],
  ['a: [', /^kp.yaml is not YAML: /],
  ['a: 1\na: 2', /^kp.yaml is not YAML: /],
  ['[]', /^kp.yaml: it is not a KubeProxyConfiguration$/],
  ['text', /^kp.yaml: it is not a KubeProxyConfiguration$/],
  [`${head}---\n${head}`, /^kp.yaml holds 2 documents/],
  ['kind: KubeProxyConfiguration', /^kp.yaml: apiVersion is missing$/],
  [head.replace('v1alpha1', 'v1alpha2'), /^kp.yaml: apiVersion: expected kubeproxy.config.k8s.io\/v1alpha1, not /],
  [
    head.replace('KubeProxy', 'Kubelet'),
    /^kp.yaml: kind: expected KubeProxyConfiguration, not "KubeletConfiguration"$/,
  ],
  [`${head}clusterCidr: 10.0.0.0/8`, /^kp.yaml: there is no field clusterCidr$/],
  [
    `${head}conntrack: {max: 1, min: x}`,
    /^kp.yaml: conntrack.min: expected a whole number, not "x", there is no field conntrack.max$/,
  ],
  [`${head}conntrack: 5`, /^kp.yaml: conntrack: expected a map, not 5$/],
  [`${head}conntrack: {min: 1.5}`, /^kp.yaml: conntrack.min: expected a whole number, not 1.5$/],
  [`${head}nodePortAddresses: 10.0.0.0/8`, /^kp.yaml: nodePortAddresses: expected a list, not "10.0.0.0\/8"$/],
  [`${head}nodePortAddresses: [1]`, /^kp.yaml: nodePortAddresses\[0\]: expected text, not 1$/],
  [`${head}nodePortAddresses: [x]`, /^nodePortAddresses of kp.yaml x is not a CIDR/],
  [`${head}featureGates: {A: "true"}`, /^kp.yaml: featureGates.A: expected true or false, not "true"$/],
  [`${head}bindAddressHardFail: "yes"`, /^kp.yaml: bindAddressHardFail: expected true or false, not "yes"$/],
  [`${head}iptables: {syncPeriod: 30}`, /^kp.yaml: iptables.syncPeriod: expected a time such as 30s, not 30$/],
  [`${head}iptables: {syncPeriod: soon}`, /^kp.yaml: iptables.syncPeriod: expected a time such as 30s, not "soon"$/],
  [`${head}logging: {verbosity: -1}`, /^kp.yaml: logging.verbosity: expected 0 or more, not -1$/],
  [`${head}iptables: {masqueradeBit: 32}`, /^iptables.masqueradeBit of kp.yaml 32 is not a bit, 0 to 31$/],
  [`${head}mode: ebpf`, /^kp.yaml: mode: expected one of iptables, ipvs, nftables, kernelspace, not "ebpf"$/],
  [`${head}detectLocalMode: nodecidr`, /^kp.yaml: detectLocalMode: expected one of ClusterCIDR, /],
  [`${head}detectLocalMode: BridgeInterface`, /^local traffic is detected by BridgeInterface, but no bridge is named/],
  [`${head}bindAddress: localhost`, /^bindAddress of kp.yaml localhost is not an IP address$/],
  [`${head}healthzBindAddress: 0.0.0.0:99999`, /^healthzBindAddress of kp.yaml 0.0.0.0:99999 is not IP:PORT/],
  [`${head}clusterCIDR: 10.0.0.0/8,11.0.0.0/8`, /^clusterCIDR of kp.yaml .* names two ranges of one family$/],
  [`${head}hostnameOverride: "  "`, /^hostnameOverride of kp.yaml is empty$/],
];

for (const [text, message] of wrong) {
  test(`readConfiguration() refuses ${JSON.stringify(text.replace(head, '… '))}`, (t) => {
    t.throws(() => settle({}, readConfiguration(text, 'kp.yaml').said), { instanceOf: UsageError, message });
  });
}

test('readConfiguration() takes JSON', (t) => {
  const json =
    '{"apiVersion":"kubeproxy.config.k8s.io/v1alpha1","kind":"KubeProxyConfiguration","hostnameOverride":"a"}';
  t.is(readConfiguration(json, 'kp.json').said.node?.value, 'a');
});

test('settle() lets a flag win, and says which field it overrules', (t) => {
  const flags = { node: { value: 'b', where: '--hostname-override' }, verbosity: { value: '5', where: '-v' } };
  const { options, warnings } = settled('hostnameOverride: a\nlogging: {verbosity: 5}', flags);
  t.like(options, { node: 'b', isVerbose: true });
  t.deepEqual(warnings, [
    'hostnameOverride of kp.yaml is not used: --hostname-override says otherwise, and a flag wins',
  ]);
});

test('every field is taken or explained', (t) => {
  const takenFields = [
    'apiVersion',
    'kind',
    'clientConnection.kubeconfig',
    'logging.format',
    'logging.verbosity',
    'hostnameOverride',
    'bindAddress',
    'healthzBindAddress',
    'metricsBindAddress',
    'bindAddressHardFail',
    'iptables.masqueradeAll',
    'nftables.masqueradeAll',
    'iptables.masqueradeBit',
    'nftables.masqueradeBit',
    'detectLocalMode',
    'detectLocal.bridgeInterface',
    'detectLocal.interfaceNamePrefix',
    'clusterCIDR',
    'nodePortAddresses',
    'ipvs.scheduler',
  ];
  const explained = [...ignored.keys()].filter((name) => !name.startsWith('--'));
  t.deepEqual(fieldPaths().sort(), [...takenFields, ...explained].sort());
});

test('readConfiguration() of anything is an answer or a UsageError', (t) => {
  const path = fc.constantFrom(...fieldPaths().map((field) => field.split('.')));
  const value = fc.oneof(fc.jsonValue({ maxDepth: 2 }), fc.constantFrom('0s', '30s', '::1', '10.0.0.0/8', '0.0.0.0:1'));
  fc.assert(
    fc.property(fc.array(fc.tuple(path, value), { maxLength: 8 }), (fields) => {
      const document: Record<string, unknown> = {
        apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
        kind: 'KubeProxyConfiguration',
      };
      for (const [[first = '', ...rest], given] of fields) {
        document[first] = rest.reduceRight<unknown>((inner, name) => ({ [name]: inner }), given);
      }
      try {
        const { options, warnings } = settle({}, readConfiguration(JSON.stringify(document), 'kp.json').said);
        return warnings.every((warning) => warning.includes('kp.json')) && options.metricsAddress !== null;
      } catch (error) {
        return error instanceof UsageError && !error.message.includes('undefined');
      }
    }),
  );
  t.throws(() => readConfiguration('&a [*a]', 'kp.yaml'), { instanceOf: UsageError });
  t.throws(() => readConfiguration('%x', 'kp.yaml'), { instanceOf: UsageError });
});
