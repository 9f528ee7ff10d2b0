import { writeFileSync } from 'node:fs';
import { checkSysctls, type Finding, type ReadSysctl } from '../kernel/sysctls.ts';

/** A sysctl that kube-proxy set, or had a use for, and what becomes of it. */
export interface Setting {
  readonly name: string;
  readonly value: string;
  /** 'needed': keep it, and over a restart; 'harmful': nobody needs it now; 'idle': it does nothing any more. */
  readonly now: 'needed' | 'harmful' | 'idle';
  /** What --set-sysctls writes; null: nothing. */
  readonly wanted: string | null;
  readonly reason: string;
}

const conntrack = 'the CNI and the firewall still track connections; nobody sets it after a restart of the machine';

/** Those that differ from what a kernel starts with, of iptables and IPVS mode. */
const legacies: Readonly<Record<string, Pick<Setting, 'now' | 'wanted' | 'reason'> & { readonly isSet: string }>> = {
  'net.ipv4.conf.all.route_localnet': {
    isSet: '1',
    now: 'harmful',
    wanted: '0',
    reason:
      'opens 127.0.0.0/8 to neighbours, which KUBE-FIREWALL alone keeps out; NodePorts at 127.0.0.1 need it no more',
  },
  'net.ipv4.vs.conntrack': { isSet: '1', now: 'idle', wanted: null, reason: 'of IPVS' },
  'net.ipv4.conf.all.arp_ignore': {
    isSet: '1',
    now: 'harmful',
    wanted: '0',
    reason: 'of strict ARP, for addresses on kube-ipvs0; keep it if MetalLB or the like wants it',
  },
  'net.ipv4.conf.all.arp_announce': {
    isSet: '2',
    now: 'harmful',
    wanted: '0',
    reason: 'of strict ARP, for addresses on kube-ipvs0; keep it if MetalLB or the like wants it',
  },
};

/** What kube-proxy's settings are to bpfsvc. */
export function settings(read: ReadSysctl): Setting[] {
  const found = checkSysctls(read, { first: 1, last: 0 });
  const tracked = found.filter(({ what }) => what.startsWith('net.netfilter.nf_conntrack'));
  const left = Object.entries(legacies).flatMap(([name, { isSet, ...rest }]): Setting[] => {
    const value = read(name);
    return value === isSet ? [{ name, value, ...rest }] : [];
  });
  return [...tracked.map((one) => conntrackSetting(one, read)), ...left];
}

/** A table that is smaller than kube-proxy would have it is a warning of `check`. */
function conntrackSetting({ what: name, state }: Finding, read: ReadSysctl): Setting {
  const value = read(name) ?? '';
  const isSmall = state === 'warning';
  return {
    name,
    value,
    now: 'needed',
    wanted: null,
    reason: isSmall ? `less than kube-proxy would set; ${conntrack}` : conntrack,
  };
}

/** Writes what is wanted. Returns the names of those that could be. */
export function applySettings(all: readonly Setting[]): string[] {
  return all.flatMap(({ name, wanted }) => {
    if (wanted === null) return [];
    writeFileSync(`/proc/sys/${name.replaceAll('.', '/')}`, wanted);
    return [name];
  });
}
