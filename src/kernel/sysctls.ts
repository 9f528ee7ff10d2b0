import { readFileSync } from 'node:fs';
import { cpus } from 'node:os';

/** What is known of one thing of this machine. `missing`: bpfsvc cannot run; `warning`: something will not work. */
export interface Finding {
  readonly what: string;
  readonly state: 'ok' | 'info' | 'warning' | 'missing';
  readonly detail: string;
}

/** Reads a sysctl by its name with dots; undefined: this kernel, or this namespace, does not have it. */
export type ReadSysctl = (name: string) => string | undefined;

export function readSysctl(name: string): string | undefined {
  try {
    return readFileSync(`/proc/sys/${name.replaceAll('.', '/')}`, 'utf8').trim();
  } catch {
    return undefined;
  }
}

/** The settings that decide whether translated packets arrive, and those that kube-proxy used to make. */
export function checkSysctls(read: ReadSysctl, nodePorts: { first: number; last: number }): Finding[] {
  return [
    forwarding(read, 'net.ipv4.ip_forward'),
    forwarding(read, 'net.ipv6.conf.all.forwarding'),
    ...conntrack(read),
    portRange(read, nodePorts),
    reversePath(read),
    bridgeNetfilter(read),
  ].filter((finding) => finding !== undefined);
}

function forwarding(read: ReadSysctl, what: string): Finding | undefined {
  const value = read(what);
  if (value === undefined) return undefined;
  if (value === '1') return { what, state: 'ok', detail: '1' };
  return { what, state: 'warning', detail: `${value}: pods reach nothing outside the node; the CNI sets it to 1` };
}

/** kube-proxy: --conntrack-max-per-core 32768 and --conntrack-min 131072, and two timeouts. */
function conntrack(read: ReadSysctl): Finding[] {
  const wanted: Record<string, number> = {
    nf_conntrack_max: Math.max(131_072, 32_768 * cpus().length),
    nf_conntrack_tcp_timeout_established: 86_400,
    nf_conntrack_tcp_timeout_close_wait: 3600,
  };
  return Object.entries(wanted).flatMap(([name, number]): Finding[] => {
    const what = `net.netfilter.${name}`;
    const value = read(what);
    if (value === undefined) return [];
    const isLess = name === 'nf_conntrack_max' && Number(value) < number;
    const detail =
      Number(value) === number ? value : `${value}; kube-proxy would set ${number}, bpfsvc leaves it alone`;
    return [{ what, state: isLess ? 'warning' : 'info', detail }];
  });
}

function portRange(read: ReadSysctl, { first, last }: { first: number; last: number }): Finding | undefined {
  const what = 'net.ipv4.ip_local_port_range';
  const value = read(what);
  const [from = Number.NaN, to = Number.NaN] = value?.split(/\s+/).map(Number) ?? [];
  if (value === undefined) return undefined;
  const range = `${from}-${to}`;
  if (from > last || to < first)
    return { what, state: 'ok', detail: `${range}, apart from the NodePorts ${first}-${last}` };
  return {
    what,
    state: 'warning',
    detail: `${range} overlaps the NodePorts ${first}-${last}: a connection of the node may take the number of a NodePort`,
  };
}

function reversePath(read: ReadSysctl): Finding | undefined {
  const what = 'net.ipv4.conf.all.rp_filter';
  const value = read(what);
  if (value === undefined) return undefined;
  const words: Record<string, string> = { '0': 'off', '1': 'strict', '2': 'loose' };
  return {
    what,
    state: 'info',
    detail: `${value} (${words[value] ?? 'unknown'}): translated packets pass in every mode`,
  };
}

function bridgeNetfilter(read: ReadSysctl): Finding {
  const value = read('net.bridge.bridge-nf-call-iptables');
  const detail = value === undefined ? 'not loaded' : value === '1' ? 'on' : 'off';
  return { what: 'br_netfilter', state: 'info', detail: `${detail}: pods on a bridge reach Services either way` };
}
