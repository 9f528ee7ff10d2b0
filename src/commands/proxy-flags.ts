import { readFileSync } from 'node:fs';
import type { Argv } from 'yargs';
import { defaultScheduler, schedulers } from '../model/scheduler.ts';
import { type ReadConfiguration, readConfiguration } from './proxy-config.ts';
import { ignored, refused } from './proxy-ignored.ts';
import { type Said, type Settled, settle, type Value } from './proxy-options.ts';
import { UsageError } from './usage.ts';

/** kube-proxy's flags, as yargs gives them. Those that were not given are undefined. */
export interface ProxyFlags {
  readonly config?: string;
  readonly hostnameOverride?: string;
  readonly bindAddress?: string;
  readonly bindAddressHardFail?: boolean;
  readonly healthzBindAddress?: string;
  readonly healthzPort?: string;
  readonly metricsBindAddress?: string;
  readonly metricsPort?: string;
  readonly clusterCidr?: string;
  readonly detectLocalMode?: string;
  readonly podBridgeInterface?: string;
  readonly podInterfaceNamePrefix?: string;
  readonly masqueradeAll?: boolean;
  readonly iptablesMasqueradeBit?: string;
  readonly scheduler?: string;
  readonly ipvsScheduler?: string;
  readonly serviceProxyName?: string;
  readonly nodeportAddresses?: readonly string[];
  readonly v?: string;
  readonly loggingFormat?: string;
  readonly kubeconfig?: string;
  readonly master?: string;
  readonly [other: string]: unknown;
}

/** Those that decide what becomes of a packet. */
export function addRuleFlags(cli: Argv): Argv {
  const text = (describe: string) => ({ type: 'string' as const, requiresArg: true, describe });
  return cli
    .option('config', text('a KubeProxyConfiguration (v1alpha1); flags win over what it says'))
    .option('nodeport-addresses', {
      type: 'string',
      array: true, // of an empty text yargs makes no item, which says nothing
      defaultDescription: 'primary',
      describe:
        'A,B: on which addresses of the node nodePorts answer: CIDRs, primary, localhost (for its own processes), all',
    })
    .option('masquerade-all', { type: 'boolean', describe: 'pods get the node’s address as their source, too' })
    .option('scheduler', {
      ...text(`how Services without an annotation choose a backend: ${schedulers.join(', ')}`),
      defaultDescription: defaultScheduler,
    })
    .option('ipvs-scheduler', { type: 'string', hidden: true })
    .option('service-proxy-name', {
      ...text('the Services that are ours: those whose label service.kubernetes.io/service-proxy-name says so'),
      defaultDescription: 'those without the label',
    })
    .option('cluster-cidr', text('A,B: where pods are: a source in it counts as a pod, wherever it comes in'))
    .option('detect-local-mode', {
      ...text('how a local pod’s traffic is known: ClusterCIDR, NodeCIDR, BridgeInterface, InterfaceNamePrefix'),
      defaultDescription: 'ClusterCIDR if one is named, else by the device',
    })
    .option('pod-bridge-interface', text('the bridge, for BridgeInterface'))
    .option('pod-interface-name-prefix', text('how devices’ names begin, for InterfaceNamePrefix'))
    .option(
      'bind-address',
      text('the node’s primary address, where the Node object has another; nothing is bound to it'),
    );
}

/** The others that mean something, and, unlisted, those that mean nothing here. */
export function addAgentFlags(cli: Argv): Argv {
  const hidden = { type: 'string' as const, hidden: true };
  cli
    .option('kubeconfig', {
      type: 'string',
      requiresArg: true,
      describe: 'the API server to watch instead, and who we are to it',
      defaultDescription: "in a pod without --manifests, its cluster's",
    })
    .option('master', {
      type: 'string',
      requiresArg: true,
      describe: "the API server's URL, where the kubeconfig or the pod's environment has another",
    })
    .option('hostname-override', {
      type: 'string',
      requiresArg: true,
      describe: 'as --node, in lower case',
    })
    .option('healthz-bind-address', {
      type: 'string',
      requiresArg: true,
      defaultDescription: '0.0.0.0:10256',
      describe: "IP:PORT of /healthz and /livez; '' for nowhere",
    })
    .option('metrics-bind-address', {
      type: 'string',
      requiresArg: true,
      defaultDescription: '127.0.0.1:10249',
      describe: "IP:PORT of /metrics and /proxyMode; '' for nowhere",
    })
    .option('bind-address-hard-fail', {
      type: 'boolean',
      describe: 'an address of these two that cannot be had ends the agent, instead of being tried again',
    })
    .option('v', { type: 'string', describe: 'how much is logged, in kube-proxy’s numbers: from 4 on as --verbose' });
  for (const name of ['healthz-port', 'metrics-port', 'logging-format', 'iptables-masquerade-bit'])
    cli.option(name, hidden);
  for (const name of [...ignored.keys(), ...refused.keys()]) {
    if (name.startsWith('--')) cli.option(name.slice(2), { ...hidden, coerce: (value: unknown) => String(value) });
  }
  return cli;
}

/**
 * What flags and `--config` come to, with a sentence for everything that is said in vain. Throws a UsageError that names what
 * makes no sense.
 */
export function settleProxy(flags: ProxyFlags): Settled {
  for (const [name, why] of refused) if (isGiven(flags, name)) throw new UsageError(`${name} is not possible: ${why}`);
  const file = flags.config === undefined ? nothing : readFile(flags.config);
  const settled = settle(saidBy(flags), file.said);
  const vain = [...ignored].filter(([name]) => name.startsWith('--') && isGiven(flags, name));
  const warnings = vain.map(([name, why]) => `${name} is not used: ${why}`);
  return { ...settled, warnings: [...warnings, ...file.warnings, ...settled.warnings] };
}

const nothing: ReadConfiguration = { said: {}, warnings: [] };

function readFile(path: string): ReadConfiguration {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new UsageError(`--config ${path} cannot be read: ${(error as Error).message}`);
  }
  return readConfiguration(text, path);
}

function isGiven(flags: ProxyFlags, name: string): boolean {
  return flags[name.slice(2)] !== undefined;
}

function saidBy(flags: ProxyFlags): Said {
  const of = <T>(where: string, value: T | undefined): Value<T> | undefined =>
    value === undefined ? undefined : { value, where };
  return {
    node: of('--hostname-override', flags.hostnameOverride || undefined),
    bindAddress: of('--bind-address', flags.bindAddress || undefined),
    healthzAddress: withPort('--healthz', flags.healthzBindAddress, flags.healthzPort, '0.0.0.0'),
    metricsAddress: withPort('--metrics', flags.metricsBindAddress, flags.metricsPort, '127.0.0.1'),
    bindHardFail: of('--bind-address-hard-fail', flags.bindAddressHardFail),
    clusterCidr: of('--cluster-cidr', flags.clusterCidr),
    localMode: of('--detect-local-mode', flags.detectLocalMode),
    bridge: of('--pod-bridge-interface', flags.podBridgeInterface),
    prefix: of('--pod-interface-name-prefix', flags.podInterfaceNamePrefix),
    masqueradeAll: of('--masquerade-all', flags.masqueradeAll),
    masqueradeBit: of('--iptables-masquerade-bit', flags.iptablesMasqueradeBit),
    nodePortAddresses: of(
      '--nodeport-addresses',
      flags.nodeportAddresses?.length ? flags.nodeportAddresses : undefined,
    ),
    scheduler: of('--scheduler', flags.scheduler) ?? of('--ipvs-scheduler', flags.ipvsScheduler || undefined),
    verbosity: of('-v', flags.v),
    logFormat: of('--logging-format', flags.loggingFormat),
    kubeconfig: of('--kubeconfig', flags.kubeconfig || undefined),
    master: of('--master', flags.master || undefined),
  };
}

/** The older flag for a port counts where the address has none, and 0 means nowhere. */
function withPort(
  flag: string,
  address: string | undefined,
  port: string | undefined,
  host: string,
): Value<string> | undefined {
  const where = `${flag}-bind-address`;
  if (port === undefined) return address === undefined ? undefined : { value: address, where };
  if (!/^\d{1,5}$/.test(port)) throw new UsageError(`${flag}-port ${port} is not a port`);
  if (Number(port) === 0) return { value: '', where: `${flag}-port` };
  const hasPort = address !== undefined && /^(\[.*\]|[^:]*):\d+$/.test(address);
  if (hasPort) return { value: address, where };
  const bare = address ?? host;
  return {
    value: bare.includes(':') && !bare.startsWith('[') ? `[${bare}]:${port}` : `${bare}:${port}`,
    where: `${flag}-port`,
  };
}
