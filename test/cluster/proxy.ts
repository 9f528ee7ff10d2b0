/** Who serves the Services of a node: bpfsvc, or upstream's kube-proxy to compare with. */
import { openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Agent, startAgent } from '../netns/agent.ts';
import { eventually } from '../netns/eventually.ts';
import type { Node } from '../netns/lab.ts';
import type { NodeParts } from './node.ts';

/** `none`: nobody, for somebody who brings their own. */
export type ProxyName = 'bpfsvc' | 'nftables' | 'iptables' | 'none';

export function parseProxy(text: string): ProxyName {
  if (text === 'bpfsvc' || text === 'nftables' || text === 'iptables' || text === 'none') return text;
  throw new RangeError(`PROXY=${text} is not one of bpfsvc, nftables, iptables, none`);
}

/** Who must have a certificate for it. */
export function proxyUsers(proxy: ProxyName): string[] {
  return proxy === 'none' ? [] : [proxy === 'bpfsvc' ? 'bpfsvc' : kubeProxyUser];
}

const kubeProxyUser = 'system:kube-proxy';

/** bpfsvc on a node, with the addresses that kube-proxy has by default. */
export async function startBpfsvc({ lab, control }: NodeParts, node: Node): Promise<Agent> {
  return await startAgent(lab, node, { kubeconfig: control.kubeconfig('bpfsvc') });
}

/** kube-proxy on a node, in this mode. It writes no sysctl of conntrack: those are the whole machine's. */
export async function startKubeProxy(parts: NodeParts, node: Node, mode: ProxyName): Promise<void> {
  const { lab, control, programs } = parts;
  const folder = join(parts.folder, node.name);
  const config = {
    apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
    kind: 'KubeProxyConfiguration',
    mode,
    clusterCIDR: '10.1.0.0/16,fd00:1::/32',
    clientConnection: { kubeconfig: control.kubeconfig(kubeProxyUser) },
    conntrack: { maxPerCore: 0, min: 0, tcpEstablishedTimeout: '0s', tcpCloseWaitTimeout: '0s' },
    healthzBindAddress: '0.0.0.0:10256',
    metricsBindAddress: '127.0.0.1:10249',
  };
  writeFileSync(join(folder, 'kube-proxy.yaml'), JSON.stringify(config));
  const log = openSync(join(folder, 'kube-proxy.log'), 'a');
  const command = ['kube-proxy', '--config', join(folder, 'kube-proxy.yaml'), '--hostname-override', node.name];
  lab.spawn(node, command, { env: { PATH: programs.path }, stdio: ['ignore', log, log] });
  await eventually(() => lab.exec(node, ['curl', '-sf', 'http://127.0.0.1:10249/proxyMode']), 60);
}
