/** What a cluster has to know of the nodes of a lab, and of who runs there. */
import { readFileSync } from 'node:fs';
import { parseAllDocuments } from 'yaml';
import type { Lab } from '../netns/lab.ts';
import { nodeObjects } from '../netns/objects.ts';
import type { ControlPlane } from './control-plane.ts';

/** What the agent is given, for a user with a certificate. */
export function agentRbac(user: string): object[] {
  const text = readFileSync(new URL('../../deploy/base/rbac.yaml', import.meta.url), 'utf8');
  const objects = parseAllDocuments(text).map((document) => document.toJS() as { kind: string });
  return objects.map((object) =>
    object.kind === 'ClusterRoleBinding'
      ? { ...object, subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: user }] }
      : object,
  );
}

/** Makes the Node objects. Their status is for kubelets, of which there are none. */
export async function registerNodes(cluster: ControlPlane, lab: Lab): Promise<void> {
  await cluster.apply(...nodeObjects(lab).map((object) => ({ ...object, status: undefined })));
  for (const node of lab.nodes) {
    const addresses = [node.ip4, node.ip6].map((address) => ({ type: 'InternalIP', address }));
    const patch = JSON.stringify({ status: { addresses } });
    await cluster.kubectl(['patch', 'node', node.name, '--subresource=status', '--type=merge', '-p', patch]);
  }
}
