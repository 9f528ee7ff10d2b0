import { faults, type Mutant } from './mutant.ts';

const pure = 'src/takeover/*.test.ts';
const blot = 'src/support/blot.test.ts';

/** Faults of taking over from kube-proxy, and of what a support bundle must not hold. */
export const takeover: readonly Mutant[] = [
  ...faults('src/takeover/leftovers.ts', pure, [
    ['the kubelet’s firewall goes', "  'KUBE-FORWARD',\n", "  'KUBE-FORWARD',\n  'KUBE-FIREWALL',\n"],
    ['who marks loses who acts on it', "if (mark !== undefined && chains.includes('KUBE-POSTROUTING'))", 'if (false)'],
    ['a chain that others use loses what it leads to', 'if (rule.chain === chain) keep(rule.target, because);', ''],
    ['jumps stay', 'isKubeProxyChain(rule.target) && isOwnJump(rule)', 'false'],
    ['whatever begins alike is kube-proxy’s', '[A-Z2-7]{16}$/', '/'],
  ]),
  ...faults('src/takeover/iptables-rules.ts', pure, [
    ['a Local policy is read as one for all', 'const inside = pools.find(isConditional);', 'const inside = undefined;'],
    ['a refusal is a drop', "rule.target === 'DROP' ? 'dropped' : 'rejected'", "'dropped'"],
    ['127.0.0.1 is where NodePorts answer', "if (argumentOf(rule.words, '-d') !== undefined) continue;", ''],
  ]),
  ...faults('src/takeover/nft-rules.ts', pure, [
    ['affinity has no time', 'affinitySeconds: Math.max(0, ...affinity)', 'affinitySeconds: 0'],
    ['endpoints of affinity are not followed', "target.startsWith('endpoint-')", 'false'],
    ['a range is another address', "range.includes('/') ? range : ", "range.includes('/') ? '' : "],
  ]),
  ...faults('src/takeover/peer.ts', pure, [
    [
      'IPv6 is held against IPv4',
      "place.startsWith('address ') || familyOfPlace(place) !== family",
      "place.startsWith('address ')",
    ],
  ]),
  ...faults('src/takeover/connections.ts', pure, [
    ['what closes keeps the rules', '/ (?:TIME_WAIT|CLOSE|SYN_SENT) /.test(line)', 'false'],
    ['direct connections count', 'asked === answers || ', ''],
  ]),
  ...faults('src/takeover/running-proxy.ts', pure, [
    ['who talks of kube-proxy is one', "name === 'kube-proxy' ||", "[program, ...words].includes('kube-proxy') ||"],
  ]),
  ...faults('src/support/blot.ts', blot, [
    ['tokens without a name leave', '/\\beyJ[', '/\\beyJJ['],
    ['URLs tell passwords', '[^\\s/@"\']+@/gi', '[^\\s/@"\']+@@/gi'],
    ['a key that is cut off leaves', '(?:-----END [A-Z0-9 ]+-----|$)', '-----END [A-Z0-9 ]+-----'],
  ]),
];
