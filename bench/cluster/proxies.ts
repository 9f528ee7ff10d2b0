import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stop } from '../../test/netns/command.ts';
import type { Lab, Node } from '../../test/netns/lab.ts';
import { podCidrs } from '../../test/netns/topology.ts';

/** What makes Services work on a node; each has one to itself. */
export interface Contender {
  readonly name: string;
  readonly about: string;
  /** Who it is to the API server. */
  readonly user: string;
  /** As people start it; `folder` is for its files. */
  readonly command: (node: Node, kubeconfig: string, folder: string) => readonly string[];
}

const cli: string = fileURLToPath(new URL('../../bin/bpfsvc', import.meta.url));

/** The user that every cluster has bound to kube-proxy's rights. */
export const kubeProxyUser = 'system:kube-proxy';

export const proxies: readonly Contender[] = [
  {
    name: 'bpfsvc',
    about: 'this tree',
    user: 'bpfsvc',
    command: (node, kubeconfig) => [
      ...[cli, 'run', '--kubeconfig', kubeconfig, '--node', node.name, '--cgroup', node.cgroup],
      ...['--pin-dir', node.pinDir],
    ],
  },
  kubeProxy('nftables'),
  kubeProxy('iptables'),
];

function kubeProxy(mode: 'nftables' | 'iptables'): Contender {
  return {
    name: mode,
    about: `kube-proxy, mode ${mode}, as it comes: it waits a second between two changes of the rules`,
    user: kubeProxyUser,
    command(node, kubeconfig, folder) {
      const configuration = {
        apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
        kind: 'KubeProxyConfiguration',
        mode,
        hostnameOverride: node.name,
        clusterCIDR: podCidrs(node.index).podCidr4,
        clientConnection: { kubeconfig },
        // what these would set is the machine's
        conntrack: { maxPerCore: 0, min: 0, tcpEstablishedTimeout: '0s', tcpCloseWaitTimeout: '0s' },
      };
      const path = join(folder, 'config.yaml');
      writeFileSync(path, JSON.stringify(configuration));
      return [join(process.env.KUBERNETES_BIN ?? '', 'kube-proxy'), '--config', path];
    },
  };
}

export interface Running {
  readonly pid: number;
  /** Throws if it ended. */
  check(): void;
  end(): Promise<void>;
}

export function startProxy(lab: Lab, node: Node, { name, command }: Contender, kubeconfig: string): Running {
  const folder = mkdtempSync(join(tmpdir(), 'bpfsvc-bench-'));
  const path = join(folder, `${name}.log`);
  const log = openSync(path, 'a');
  const child: ChildProcess = lab.spawn(node, command(node, kubeconfig, folder), { stdio: ['ignore', log, log] });
  return {
    pid: child.pid ?? 0,
    check() {
      if (child.exitCode === null && child.signalCode === null) return;
      throw new Error(`${name} ended:\n${readFileSync(path, 'utf8').slice(-2000)}`);
    },
    end: () => stop(child),
  };
}
