import * as v from 'valibot';

/*
 * KubeProxyConfiguration, kubeproxy.config.k8s.io/v1alpha1, as Kubernetes 1.36 has it. Every field may be absent or null.
 */

const text = v.nullish(v.string('expected text'));
const flag = v.nullish(v.boolean('expected true or false'));
const whole = v.nullish(v.pipe(v.number('expected a whole number'), v.integer('expected a whole number')));
const texts = v.nullish(v.array(v.string('expected text'), 'expected a list'));
const duration = v.nullish(
  v.pipe(
    v.string('expected a time such as 30s'),
    v.regex(/^[-+]?(0|((\d+\.?\d*|\.\d+)(ns|us|µs|ms|s|m|h))+)$/, 'expected a time such as 30s'),
  ),
);
const quantity = v.nullish(v.union([v.number(), v.string()], 'expected a quantity such as 4Mi'));

function map<const T extends v.ObjectEntries>(entries: T) {
  return v.nullish(v.strictObject(entries));
}

function words<const T extends readonly string[]>(...choices: T) {
  return v.nullish(v.picklist(['', ...choices], `expected one of ${choices.join(', ')}`));
}

const routing = map({ splitStream: flag, infoBufferSize: quantity });

const schema = v.strictObject({
  apiVersion: v.literal('kubeproxy.config.k8s.io/v1alpha1', 'expected kubeproxy.config.k8s.io/v1alpha1'),
  kind: v.literal('KubeProxyConfiguration', 'expected KubeProxyConfiguration'),
  featureGates: v.nullish(v.record(v.string(), v.boolean('expected true or false'))),
  clientConnection: map({
    kubeconfig: text,
    acceptContentTypes: text,
    contentType: text,
    qps: v.nullish(v.number('expected a number')),
    burst: whole,
  }),
  logging: map({
    format: words('text', 'json'),
    flushFrequency: v.nullish(v.union([v.number(), v.string()], 'expected a time such as 30s')),
    verbosity: v.nullish(
      v.pipe(
        v.number('expected a whole number'),
        v.integer('expected a whole number'),
        v.minValue(0, 'expected 0 or more'),
      ),
    ),
    vmodule: v.nullish(v.array(v.strictObject({ filePattern: text, verbosity: whole }), 'expected a list')),
    options: map({ text: routing, json: routing }),
  }),
  hostnameOverride: text,
  bindAddress: text,
  healthzBindAddress: text,
  metricsBindAddress: text,
  bindAddressHardFail: flag,
  enableProfiling: flag,
  showHiddenMetricsForVersion: text,
  mode: words('iptables', 'ipvs', 'nftables', 'kernelspace'),
  iptables: map({
    masqueradeBit: whole,
    masqueradeAll: flag,
    localhostNodePorts: flag,
    snatNodeInternalIP: flag,
    syncPeriod: duration,
    minSyncPeriod: duration,
  }),
  ipvs: map({
    syncPeriod: duration,
    minSyncPeriod: duration,
    scheduler: text,
    excludeCIDRs: texts,
    strictARP: flag,
    tcpTimeout: duration,
    tcpFinTimeout: duration,
    udpTimeout: duration,
  }),
  nftables: map({ masqueradeBit: whole, masqueradeAll: flag, syncPeriod: duration, minSyncPeriod: duration }),
  winkernel: map({
    networkName: text,
    sourceVip: text,
    enableDSR: flag,
    rootHnsEndpointName: text,
    forwardHealthCheckVip: flag,
  }),
  detectLocalMode: words('ClusterCIDR', 'NodeCIDR', 'BridgeInterface', 'InterfaceNamePrefix'),
  detectLocal: map({ bridgeInterface: text, interfaceNamePrefix: text }),
  clusterCIDR: text,
  nodePortAddresses: texts,
  oomScoreAdj: whole,
  conntrack: map({
    maxPerCore: whole,
    min: whole,
    tcpEstablishedTimeout: duration,
    tcpCloseWaitTimeout: duration,
    tcpBeLiberal: flag,
    udpTimeout: duration,
    udpStreamTimeout: duration,
  }),
  configSyncPeriod: duration,
  portRange: text,
  windowsRunAsService: flag,
});

/** The fields that are heeded; the others are known to be of their types. */
export interface ProxyConfiguration {
  readonly clientConnection?: { readonly kubeconfig?: Text } | null | undefined;
  readonly logging?: { readonly format?: Text; readonly verbosity?: number | null | undefined } | null | undefined;
  readonly hostnameOverride?: Text;
  readonly bindAddress?: Text;
  readonly healthzBindAddress?: Text;
  readonly metricsBindAddress?: Text;
  readonly bindAddressHardFail?: Flag;
  readonly mode?: Text;
  readonly iptables?: Masquerade | null | undefined;
  readonly ipvs?: { readonly scheduler?: Text } | null | undefined;
  readonly nftables?: Masquerade | null | undefined;
  readonly detectLocalMode?: Text;
  readonly detectLocal?: { readonly bridgeInterface?: Text; readonly interfaceNamePrefix?: Text } | null | undefined;
  readonly clusterCIDR?: Text;
  readonly nodePortAddresses?: readonly string[] | null | undefined;
}

type Text = string | null | undefined;
type Flag = boolean | null | undefined;
type Masquerade = { readonly masqueradeAll?: Flag; readonly masqueradeBit?: number | null | undefined };

export const proxySchema: v.GenericSchema<unknown, ProxyConfiguration> = schema;

/** Every field that there is, 'conntrack.min', in the order of the schema. Maps that people fill are one field. */
export function fieldPaths(of: v.GenericSchema = schema, path = ''): string[] {
  const inner = unwrapped(of);
  if (!('entries' in inner)) return [path];
  const entries = Object.entries(inner.entries as Record<string, v.GenericSchema>);
  return entries.flatMap(([name, field]) => fieldPaths(field, path === '' ? name : `${path}.${name}`));
}

function unwrapped(schema: v.GenericSchema): v.GenericSchema {
  return 'wrapped' in schema ? unwrapped(schema.wrapped as v.GenericSchema) : schema;
}
