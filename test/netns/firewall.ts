/**
 * A host firewall that drops what conntrack calls INVALID on its way through the node, and the masquerading of pods that
 * leave the cluster, as CNIs do it. Written with nft where the machine has it, else with iptables.
 */
import { accessSync, constants } from 'node:fs';
import { run } from './command.ts';
import type { Node } from './topology.ts';

/** Is there a program of that name on the PATH, or where root's programs are? */
export function hasProgram(name: string): boolean {
  const path = `/usr/sbin:/sbin:${process.env.PATH}`;
  return path.split(':').some((directory) => {
    try {
      accessSync(`${directory}/${name}`, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

function tool(): 'nft' | 'iptables' {
  if (hasProgram('nft')) return 'nft';
  if (hasProgram('iptables')) return 'iptables';
  throw new Error('a lab with a firewall needs nft or iptables (Debian: nftables, iptables)');
}

export async function dropInvalid(node: Node): Promise<void> {
  if (tool() === 'nft') {
    const table = `table inet lab_filter {
      counter invalid { }
      chain forward {
        type filter hook forward priority filter
        ct state invalid counter name invalid drop
      }
    }`;
    await run(node, ['nft', '-f', '-'], { input: table });
    return;
  }
  for (const program of ['iptables', 'ip6tables']) {
    await run(node, [program, '-w', '-A', 'FORWARD', '-m', 'conntrack', '--ctstate', 'INVALID', '-j', 'DROP']);
  }
}

/** How many packets dropInvalid() has dropped, both families. */
export async function droppedInvalid(node: Node): Promise<number> {
  if (tool() === 'nft') {
    const listing = await run(node, ['nft', 'list', 'counter', 'inet', 'lab_filter', 'invalid']);
    return Number(/packets (\d+)/.exec(listing)?.[1]);
  }
  let packets = 0;
  for (const program of ['iptables', 'ip6tables']) {
    const listing = await run(node, [program, '-w', '-nvxL', 'FORWARD']);
    packets += Number(/^\s*(\d+).*INVALID/m.exec(listing)?.[1]);
  }
  return packets;
}

/** Pods that talk to the world get the node's address; pod to pod is left alone. */
export async function masqueradePods(node: Node): Promise<void> {
  const families = [
    { nft: 'ip', iptables: 'iptables', cidr: '10.1.0.0/16', own: node.podCidr4 },
    { nft: 'ip6', iptables: 'ip6tables', cidr: 'fd00:1::/32', own: node.podCidr6 },
  ];
  if (tool() === 'nft') {
    const rules = families
      .map(({ nft, cidr, own }) => `${nft} saddr ${own} ${nft} daddr != ${cidr} masquerade`)
      .join('\n');
    const table = `table inet lab_nat {
      chain postrouting {
        type nat hook postrouting priority srcnat
        ${rules}
      }
    }`;
    await run(node, ['nft', '-f', '-'], { input: table });
    return;
  }
  for (const { iptables, cidr, own } of families) {
    await run(node, [iptables, '-w', '-t', 'nat', '-A', 'POSTROUTING', '-s', own, '!', '-d', cidr, '-j', 'MASQUERADE']);
  }
}
