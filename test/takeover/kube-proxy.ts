/** A real kube-proxy on a node of a lab. */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { stop } from '../netns/command.ts';
import type { Lab, Node } from '../netns/lab.ts';
import { podCidrs, stageText } from './stage.ts';

export type Flavour = 'nftables' | 'iptables-nft' | 'iptables-legacy';
export const flavours: readonly Flavour[] = ['nftables', 'iptables-nft', 'iptables-legacy'];

const tools = ['iptables', 'iptables-save', 'iptables-restore'].flatMap((name) => [name, name.replace('ip', 'ip6')]);
const port = 6444;

/** What kube-proxy and an administrator of such a node find on their PATH. */
export function pathOf(folder: string, flavour: Flavour): string {
  const bin = join(folder, flavour);
  const backend = flavour === 'iptables-legacy' ? 'legacy' : 'nft';
  mkdirSync(bin, { recursive: true });
  for (const name of tools) symlinkSync(`/usr/sbin/xtables-${backend}-multi`, join(bin, name));
  return `${bin}:/usr/sbin:/sbin:${process.env.PATH}`;
}

export interface KubeProxy extends AsyncDisposable {
  readonly pid: number;
}

/** Starts the kube-proxy at `binary` and waits until it has written its rules. */
export async function startKubeProxy(lab: Lab, node: Node, flavour: Flavour, binary: string): Promise<KubeProxy> {
  const folder = mkdtempSync(join(tmpdir(), 'bpfsvc-kube-proxy-'));
  const api = await startApi(lab, node, folder);
  writeFileSync(join(folder, 'config.json'), JSON.stringify(config(folder, node, flavour)));
  const child = lab.spawn(node, [binary, '--config', join(folder, 'config.json'), '-v', '2'], {
    env: { PATH: pathOf(folder, flavour) },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  await synced(child);
  return {
    pid: child.pid as number,
    async [Symbol.asyncDispose]() {
      await stop(child, 'SIGKILL');
      await stop(api, 'SIGKILL');
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function startApi(lab: Lab, node: Node, folder: string): Promise<ChildProcess> {
  writeFileSync(join(folder, 'objects.json'), stageText(lab));
  writeFileSync(join(folder, 'kubeconfig'), kubeconfig);
  const script = fileURLToPath(new URL('api-server.ts', import.meta.url));
  await lab.exec(node, ['ip', 'link', 'set', 'lo', 'up']);
  const api = lab.spawn(node, [process.execPath, script, join(folder, 'objects.json'), String(port)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(api.stdout as NonNullable<typeof api.stdout>, 'data');
  return api;
}

/** Both families have been written. */
async function synced(child: ChildProcess): Promise<void> {
  let text = '';
  await new Promise<void>((resolve, reject) => {
    child.stderr?.on('data', (chunk) => {
      text += chunk;
      if ((text.match(/SyncProxyRules complete/g) ?? []).length >= 2) resolve();
    });
    child.once('exit', () => reject(new Error(`kube-proxy ended:\n${text}`)));
  });
}

function config(folder: string, node: Node, flavour: Flavour): object {
  const none = { maxPerCore: 0, min: 0, tcpEstablishedTimeout: '0s', tcpCloseWaitTimeout: '0s' };
  return {
    apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
    kind: 'KubeProxyConfiguration',
    mode: flavour === 'nftables' ? 'nftables' : 'iptables',
    hostnameOverride: node.name,
    clusterCIDR: podCidrs,
    clientConnection: { kubeconfig: join(folder, 'kubeconfig'), contentType: 'application/json' },
    conntrack: { ...none, udpTimeout: '0s', udpStreamTimeout: '0s' },
    oomScoreAdj: null,
    iptables: { localhostNodePorts: true },
    healthzBindAddress: '127.0.0.1:10256',
    metricsBindAddress: '127.0.0.1:10249',
  };
}

const kubeconfig = JSON.stringify({
  apiVersion: 'v1',
  kind: 'Config',
  clusters: [{ name: 'c', cluster: { server: `http://127.0.0.1:${port}` } }],
  contexts: [{ name: 'c', context: { cluster: 'c', user: '' } }],
  'current-context': 'c',
});
