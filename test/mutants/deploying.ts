import { faults, type Mutant } from './mutant.ts';

/** Faults of how it is shipped, and of how it finds its way in a container. */
export const deploying: readonly Mutant[] = [
  ...faults('src/kernel/mounts.ts', 'src/kernel/mounts.test.ts', [
    ["a container's own cgroup is the root", "(part === '..' ? -1 :", "(part === '..' ? 1 :"],
    ['where in the hierarchy a mount is does not count', 'depth(a) - depth(b)', '0'],
  ]),
  ...faults('src/kernel/capabilities.ts', 'src/kernel/capabilities.test.ts', [
    ['CAP_SYS_ADMIN stands for all', "(name !== 'CAP_NET_ADMIN' && isAdmin)", 'isAdmin'],
    ['CAP_SYS_ADMIN stands for nothing', "(name !== 'CAP_NET_ADMIN' && isAdmin)", 'false'],
    ['the bounding set counts', '/^CapEff:', '/^CapBnd:'],
  ]),
  ...faults('src/kube/api/cluster-place.ts', 'test/api/credentials.test.ts', [
    ["a person's own host is a ClusterIP", '=== environment.KUBERNETES_SERVICE_HOST;', '!== undefined;'],
    ['a ClusterIP of IPv6 is none', ".replace(/^\\[|\\]$/g, '')", ''],
  ]),
  ...faults('deploy/image/tar.ts', 'deploy/image/tar.test.ts', [
    ['what is in a folder comes in any order', 'all.sort((a, b) => (a.path < b.path ? -1 : 1));', ''],
    ['a block of padding is missing', '(BLOCK - (length % BLOCK)) % BLOCK', '0'],
    ['everything may be run', 'entry.isExecutable ? 0o755 : 0o644', '0o755'],
  ]),
  ...faults('deploy/image/oci.ts', 'deploy/image/oci.test.ts', [
    [
      'a layer is called by the sum of what it unpacks to',
      'configOf(settings, sha256(tar))',
      'configOf(settings, layer.digest)',
    ],
  ]),
];
