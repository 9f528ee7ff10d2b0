import type { Family } from './peer.ts';
import { findTool, type Iptables, runTool } from './tools.ts';

/**
 * The kernel translates packets of established connections only while some rule of the network namespace asks for
 * address translation and for connection tracking: with the last such rule it forgets to look, and kube-proxy's connections
 * would end. So rules that do nothing stand in their place until those connections are over.
 */
export const keptTable = 'bpfsvc-takeover';
const CHAIN = 'BPFSVC-TAKEOVER';

/** Both rules match what is established and have no verdict; only the first packet of a connection passes a nat chain. */
function keepText(family: 'ip' | 'ip6'): string {
  return `
add table ${family} ${keptTable} { comment "keeps connections that kube-proxy translated; bpfsvc takeover removes it" ; }
add chain ${family} ${keptTable} keep-nat { type nat hook postrouting priority 150 ; }
flush chain ${family} ${keptTable} keep-nat
add rule ${family} ${keptTable} keep-nat ct state established
`;
}

/** Before anything of kube-proxy's goes. Where it stands already, nothing happens. */
export async function keepNat(families: readonly Family[], iptables: readonly Iptables[]): Promise<void> {
  const nft = findTool('nft');
  if (nft !== undefined) {
    await runTool(nft, [families.map((family) => keepText(nftName(family))).join('')]);
    return;
  }
  for (const one of iptables.filter(({ family }) => families.includes(family))) {
    const rule = `-A ${CHAIN} -m conntrack --ctstate ESTABLISHED -j RETURN`;
    await runTool(one.restore, ['--noflush', '-w', '10'], `*nat\n:${CHAIN} - [0:0]\n${rule}\nCOMMIT\n`);
  }
}

/** Removes what keepNat() made. Returns whether there was anything. */
export async function letNatGo(iptables: readonly Iptables[]): Promise<boolean> {
  let isGone = false;
  for (const family of await keptFamilies()) {
    await runTool(findTool('nft') as string, ['delete', 'table', family, keptTable]);
    isGone = true;
  }
  for (const one of iptables) {
    if (!(await hasChain(one))) continue;
    await runTool(one.restore, ['--noflush', '-w', '10'], `*nat\n:${CHAIN} - [0:0]\n-X ${CHAIN}\nCOMMIT\n`);
    isGone = true;
  }
  return isGone;
}

export async function isNatKept(iptables: readonly Iptables[]): Promise<boolean> {
  if ((await keptFamilies()).length > 0) return true;
  return (await Promise.all(iptables.map(hasChain))).some(Boolean);
}

async function keptFamilies(): Promise<string[]> {
  const nft = findTool('nft');
  if (nft === undefined) return [];
  const tables = await runTool(nft, ['list', 'tables']);
  return ['ip', 'ip6'].filter((family) => tables.split('\n').includes(`table ${family} ${keptTable}`));
}

async function hasChain({ flavour, save }: Iptables): Promise<boolean> {
  /* where nft is there, the table is nft's */
  if (findTool('nft') !== undefined || flavour !== 'iptables-legacy') return false;
  return (await runTool(save, ['-t', 'nat'])).includes(`\n:${CHAIN} `);
}

function nftName(family: Family): 'ip' | 'ip6' {
  return family === 4 ? 'ip' : 'ip6';
}
