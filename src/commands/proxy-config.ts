import * as v from 'valibot';
import { parseAllDocuments } from 'yaml';
import { ignored } from './proxy-ignored.ts';
import type { Said, Value } from './proxy-options.ts';
import { type ProxyConfiguration, proxySchema } from './proxy-schema.ts';
import { UsageError } from './usage.ts';

/** What a file says that we heed, and a sentence for each field that it sets in vain. */
export interface ReadConfiguration {
  readonly said: Said;
  readonly warnings: readonly string[];
}

/**
 * Reads a KubeProxyConfiguration, in YAML or JSON; `name` is what people call the file. A field that is absent, null, or of
 * the empty value of its type says nothing, as for kube-proxy. Throws a UsageError for what is no such configuration, with
 * the path of each field that does not exist or has another type.
 */
export function readConfiguration(text: string, name: string): ReadConfiguration {
  const config = validate(documentOf(text, name), name);
  const where = (path: string) => `${path} of ${name}`;
  const warnings = leaves(config).flatMap(([path, value]) => {
    const why = isEmpty(value) ? undefined : ignored.get(path);
    return why === undefined ? [] : [`${where(path)} is not used: ${why}`];
  });
  const { said, unused } = heeded(config, where);
  return { said, warnings: [...warnings, ...unused] };
}

function documentOf(text: string, name: string): unknown {
  const documents = [...parseAllDocuments(text)].filter((document) => !isBlank(document));
  const [document, ...more] = documents;
  const error = documents.flatMap(({ errors }) => errors)[0];
  if (error !== undefined) throw new UsageError(`${name} is not YAML: ${error.message.replaceAll(/\s+/g, ' ').trim()}`);
  if (document === undefined) throw new UsageError(`${name} is empty`);
  if (more.length > 0)
    throw new UsageError(`${name} holds ${documents.length} documents, not one KubeProxyConfiguration`);
  try {
    return document.toJS();
  } catch (error) {
    throw new UsageError(`${name} is not YAML: ${(error as Error).message}`);
  }
}

function isBlank({ contents, errors }: { contents: unknown; errors: readonly unknown[] }): boolean {
  return errors.length === 0 && contents === null;
}

const SHOWN = 5;

function validate(document: unknown, name: string): ProxyConfiguration {
  if (Array.isArray(document)) throw new UsageError(`${name}: it is not a KubeProxyConfiguration`);
  const result = v.safeParse(proxySchema, document);
  if (result.success) return result.output;
  const faults = result.issues.map((issue) => {
    const path = pathOf(issue.path);
    if (path === '') return 'it is not a KubeProxyConfiguration';
    if (issue.type === 'strict_object' && issue.expected === 'never') return `there is no field ${path}`;
    if (issue.received === 'undefined') return `${path} is missing`;
    const expected = issue.message.startsWith('expected') ? issue.message : 'expected a map';
    return `${path}: ${expected}, not ${issue.received}`;
  });
  const more = faults.length > SHOWN ? `, and ${faults.length - SHOWN} more` : '';
  throw new UsageError(`${name}: ${faults.slice(0, SHOWN).join(', ')}${more}`);
}

/** 'logging.vmodule[0].verbosity' */
function pathOf(path: readonly { readonly key?: unknown }[] | undefined): string {
  const parts = (path ?? []).map(({ key }) => (typeof key === 'number' ? `[${key}]` : `.${key}`));
  return parts.join('').replace(/^\./, '');
}

/** Fields with their paths; lists and what people fill themselves are one. */
function leaves(value: unknown, path = ''): [path: string, value: unknown][] {
  const isLeaf = typeof value !== 'object' || value === null || Array.isArray(value) || path === 'featureGates';
  if (isLeaf) return [[path, value]];
  return Object.entries(value).flatMap(([name, field]) => leaves(field, path === '' ? name : `${path}.${name}`));
}

function isEmpty(value: unknown): boolean {
  if (typeof value === 'string') return value === '' || /^[-+]?(0(ns|us|µs|ms|s|m|h)?)+$/.test(value);
  if (typeof value === 'object' && value !== null) return Object.keys(value).length === 0;
  return !value;
}

function heeded(config: ProxyConfiguration, where: (path: string) => string): { said: Said; unused: string[] } {
  const text = (path: string, value: string | null | undefined): Value<string> | undefined =>
    value ? { value, where: where(path) } : undefined;
  const flag = (path: string, value: boolean | null | undefined): Value<boolean> | undefined =>
    value ? { value, where: where(path) } : undefined;
  const section = config.mode === 'nftables' ? 'nftables' : 'iptables';
  const other = section === 'nftables' ? 'iptables' : 'nftables';
  const unused = config[other]?.masqueradeAll
    ? [
        `${where(`${other}.masqueradeAll`)} is not used: with mode ${config.mode || 'iptables'} ${section}.masqueradeAll counts`,
      ]
    : [];
  const { nodePortAddresses: addresses, logging } = config;
  const bit = config[section]?.masqueradeBit;
  const verbosity = logging?.verbosity ? String(logging.verbosity) : undefined;
  const said: Said = {
    node: text('hostnameOverride', config.hostnameOverride),
    bindAddress: text('bindAddress', config.bindAddress),
    healthzAddress: text('healthzBindAddress', config.healthzBindAddress),
    metricsAddress: text('metricsBindAddress', config.metricsBindAddress),
    bindHardFail: flag('bindAddressHardFail', config.bindAddressHardFail),
    clusterCidr: text('clusterCIDR', config.clusterCIDR),
    localMode: text('detectLocalMode', config.detectLocalMode),
    bridge: text('detectLocal.bridgeInterface', config.detectLocal?.bridgeInterface),
    prefix: text('detectLocal.interfaceNamePrefix', config.detectLocal?.interfaceNamePrefix),
    masqueradeBit: bit == null ? undefined : { value: String(bit), where: where(`${section}.masqueradeBit`) },
    masqueradeAll: flag(`${section}.masqueradeAll`, config[section]?.masqueradeAll),
    nodePortAddresses: addresses?.length ? { value: addresses, where: where('nodePortAddresses') } : undefined,
    scheduler: text('ipvs.scheduler', config.ipvs?.scheduler),
    verbosity: text('logging.verbosity', verbosity),
    logFormat: text('logging.format', logging?.format),
    kubeconfig: text('clientConnection.kubeconfig', config.clientConnection?.kubeconfig),
  };
  return { said, unused };
}
