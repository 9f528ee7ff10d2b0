import type { Detector } from '../kernel/detector.ts';
import type { NodePortSelection } from '../kernel/node-ports.ts';
import { MASQUERADE_BIT } from '../kernel/objects.ts';
import type { LogFormat } from '../log.ts';
import { type Address, familyOf, parseAddress } from '../model/address.ts';
import { defaultScheduler, parseScheduler, type Scheduler, schedulers } from '../model/scheduler.ts';
import type { ServerAddress } from '../server.ts';
import { parseBindAddress, parseCidrs, parseNodePortAddresses } from './run-options.ts';
import { UsageError } from './usage.ts';

/** A value and what a person calls the place it stands in: '--cluster-cidr', 'clusterCIDR of kube-proxy.yaml'. */
export interface Value<T> {
  readonly value: T;
  readonly where: string;
}

/** What kube-proxy's flags or its configuration file say, as text; undefined: nothing. */
export interface Said {
  readonly node?: Value<string> | undefined;
  readonly bindAddress?: Value<string> | undefined;
  readonly healthzAddress?: Value<string> | undefined;
  readonly metricsAddress?: Value<string> | undefined;
  readonly bindHardFail?: Value<boolean> | undefined;
  readonly clusterCidr?: Value<string> | undefined;
  readonly localMode?: Value<string> | undefined;
  readonly bridge?: Value<string> | undefined;
  readonly prefix?: Value<string> | undefined;
  readonly masqueradeAll?: Value<boolean> | undefined;
  readonly masqueradeBit?: Value<string> | undefined;
  readonly nodePortAddresses?: Value<readonly string[]> | undefined;
  readonly scheduler?: Value<string> | undefined;
  readonly verbosity?: Value<string> | undefined;
  readonly logFormat?: Value<string> | undefined;
  readonly kubeconfig?: Value<string> | undefined;
  readonly master?: Value<string> | undefined;
}

/** What it comes to. */
export interface ProxyOptions {
  /** null: the hostname. */
  readonly node: string | null;
  /** Which address of the node is its primary one; null: what the Node says. */
  readonly primaryAddress: Address | null;
  /** null: nowhere. */
  readonly healthzAddress: ServerAddress | null;
  /** null: nowhere. */
  readonly metricsAddress: ServerAddress | null;
  /** An address that cannot be had ends the agent. */
  readonly bindHardFail: boolean;
  readonly detector: Detector;
  readonly masqueradeAll: boolean;
  /** 0 to 31: which bit of a packet's mark masqueradeAll takes. */
  readonly masqueradeBit: number;
  /** Of Services that name none. */
  readonly scheduler: Scheduler;
  /** null: nothing was said. */
  readonly nodePorts: NodePortSelection | null;
  readonly isVerbose: boolean;
  /** null: nothing was said. */
  readonly logFormat: LogFormat | null;
  /** null: nothing was said. */
  readonly apiServer: ApiServer | null;
}

/** An API server that a person named. */
export interface ApiServer {
  /** A file. */
  readonly kubeconfig: string | null;
  /** A URL. */
  readonly master: string | null;
  /** Where it was said: '--kubeconfig'. */
  readonly where: string;
}

export interface Settled {
  readonly options: ProxyOptions;
  readonly warnings: readonly string[];
}

/** From here on klog's levels are for whoever looks for a fault. */
const DEBUG_VERBOSITY = 4;

/** Flags win over the file, field by field. Throws a UsageError that names the flag or field. */
export function settle(flags: Said, file: Said): Settled {
  const said: Said = {
    ...file,
    ...Object.fromEntries(Object.entries(flags).filter(([, value]) => value !== undefined)),
  };
  const bindAddress = said.bindAddress === undefined ? null : readAddress(said.bindAddress);
  const isIPv6 = bindAddress !== null && familyOf(bindAddress) === 6;
  const { detector, warnings } = readDetector(said);
  const { scheduler, missing } = readScheduler(said);
  return {
    options: {
      node: said.node === undefined ? null : readNode(said.node),
      primaryAddress: bindAddress === '0.0.0.0' || bindAddress === '::' ? null : bindAddress,
      healthzAddress: bindAddressOf(said.healthzAddress, isIPv6 ? '::' : '0.0.0.0', 10256),
      metricsAddress: bindAddressOf(said.metricsAddress, isIPv6 ? '::1' : '127.0.0.1', 10249),
      bindHardFail: said.bindHardFail?.value ?? false,
      detector,
      masqueradeAll: said.masqueradeAll?.value ?? false,
      scheduler,
      masqueradeBit: said.masqueradeBit === undefined ? MASQUERADE_BIT : readBit(said.masqueradeBit),
      nodePorts: said.nodePortAddresses
        ? parseNodePortAddresses(said.nodePortAddresses.value, said.nodePortAddresses.where)
        : null,
      isVerbose: said.verbosity !== undefined && readVerbosity(said.verbosity) >= DEBUG_VERBOSITY,
      logFormat: said.logFormat === undefined ? null : readFormat(said.logFormat),
      apiServer: apiServerOf(said),
    },
    warnings: [...overruled(flags, file), ...warnings, ...missing],
  };
}

function apiServerOf({ kubeconfig, master }: Said): ApiServer | null {
  const where = kubeconfig?.value ? kubeconfig.where : master?.value ? master.where : null;
  return where === null ? null : { kubeconfig: kubeconfig?.value || null, master: master?.value || null, where };
}

/** kube-proxy looks at hardly any flag beside a file: who relied on that has to know. */
function overruled(flags: Said, file: Said): string[] {
  return Object.entries(flags).flatMap(([name, flag]: [string, Value<unknown> | undefined]) => {
    const field = file[name as keyof Said];
    if (flag === undefined || field === undefined || String(flag.value) === String(field.value)) return [];
    return [`${field.where} is not used: ${flag.where} says otherwise, and a flag wins`];
  });
}

function readDetector(said: Said): { detector: Detector; warnings: string[] } {
  const { localMode, clusterCidr, bridge, prefix } = said;
  const mode = localMode?.value || 'ClusterCIDR';
  const parts = { ClusterCIDR: clusterCidr, BridgeInterface: bridge, InterfaceNamePrefix: prefix };
  const warnings = Object.entries(parts).flatMap(([of, part]) =>
    part?.value && of !== mode ? [`${part.where} is not used: local traffic is detected by ${mode}`] : [],
  );
  if (mode === 'ClusterCIDR') {
    const cidrs = clusterCidr?.value ? parseCidrs(clusterCidr.value, clusterCidr.where) : [];
    if (localMode?.value && cidrs.length === 0) {
      warnings.push(`${localMode.where} ClusterCIDR is not used: no cluster CIDR is named`);
    }
    return { detector: { mode, cidrs }, warnings };
  }
  if (mode === 'NodeCIDR') return { detector: { mode }, warnings };
  if (mode === 'BridgeInterface') return { detector: { mode, bridge: named(mode, bridge, 'bridge') }, warnings };
  if (mode === 'InterfaceNamePrefix') return { detector: { mode, prefix: named(mode, prefix, 'prefix') }, warnings };
  const modes = 'ClusterCIDR, NodeCIDR, BridgeInterface, InterfaceNamePrefix';
  throw new UsageError(`${localMode?.where} ${mode} is not one of ${modes}`);
}

/** Of IPVS, and not of ours: they need weights or a cache of their own. kube-proxy would run with them. */
const onlyOfIpvs: readonly string[] = ['lblc', 'lblcr', 'fo', 'ovf', 'twos'];

function readScheduler({ scheduler: said }: Said): { scheduler: Scheduler; missing: string[] } {
  const scheduler = said?.value ? parseScheduler(said.value) : defaultScheduler;
  if (scheduler !== null) return { scheduler, missing: [] };
  if (said && onlyOfIpvs.includes(said.value))
    return {
      scheduler: defaultScheduler,
      missing: [`${said.where} ${said.value} is not used: that one is of IPVS alone, here it is ${defaultScheduler}`],
    };
  throw new UsageError(`${said?.where} ${said?.value} is not one of ${schedulers.join(', ')}`);
}

function named(mode: string, part: Value<string> | undefined, what: 'bridge' | 'prefix'): string {
  if (part?.value) return part.value;
  const flag = what === 'bridge' ? '--pod-bridge-interface' : '--pod-interface-name-prefix';
  throw new UsageError(`local traffic is detected by ${mode}, but no ${what} is named: give ${flag}`);
}

function readAddress({ value, where }: Value<string>): Address {
  const address = parseAddress(value);
  if (address === null) throw new UsageError(`${where} ${value} is not an IP address`);
  return address;
}

function readBit({ value, where }: Value<string>): number {
  if (!/^\d{1,2}$/.test(value) || Number(value) > 31) throw new UsageError(`${where} ${value} is not a bit, 0 to 31`);
  return Number(value);
}

/** As kube-proxy makes it of what it is told. */
function readNode({ value, where }: Value<string>): string {
  const name = value.trim().toLowerCase();
  if (name === '') throw new UsageError(`${where} is empty`);
  return name;
}

function bindAddressOf(said: Value<string> | undefined, host: string, port: number): ServerAddress | null {
  return said === undefined ? { host, port } : parseBindAddress(said.value, said.where, port);
}

/** A bare -v is for whoever looks for a fault. */
function readVerbosity({ value, where }: Value<string>): number {
  if (value === '') return DEBUG_VERBOSITY;
  if (!/^\d{1,9}$/.test(value)) throw new UsageError(`${where} ${value} is not a number such as 2`);
  return Number(value);
}

function readFormat({ value, where }: Value<string>): LogFormat {
  if (value !== 'text' && value !== 'json') throw new UsageError(`${where} ${value} is not one of text, json`);
  return value;
}
