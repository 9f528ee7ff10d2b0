/** A ServiceAccount of a real cluster, as the agent uses it, and what the API server's audit log says of it. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ControlPlane } from '../kubernetes/control-plane.ts';

/** Of the agent in deploy/base. */
export const user = 'system:serviceaccount:kube-system:bpfsvc';

export interface Request {
  readonly verb: string;
  readonly resource: string;
  readonly code: number;
}

interface AuditEvent {
  readonly verb: string;
  readonly objectRef?: { readonly resource: string };
  readonly responseStatus?: { readonly code: number };
}

/** Flags of an API server that writes down each request of the agent, into `folder`. */
export function auditFlags(folder: string): string[] {
  const policy = join(folder, 'policy.json');
  const rules = [{ level: 'Metadata', users: [user] }, { level: 'None' }];
  writeFileSync(policy, JSON.stringify({ apiVersion: 'audit.k8s.io/v1', kind: 'Policy', rules }));
  return [`--audit-policy-file=${policy}`, `--audit-log-path=${join(folder, 'audit.log')}`];
}

/** All requests of the agent that were answered so far. */
export function requestsIn(folder: string): Request[] {
  const lines = readFileSync(join(folder, 'audit.log'), 'utf8').split('\n').filter(Boolean);
  return lines.flatMap((line) => {
    const { verb, objectRef, responseStatus } = JSON.parse(line) as AuditEvent;
    if (objectRef === undefined || responseStatus === undefined) return [];
    return [{ verb, resource: objectRef.resource, code: responseStatus.code }];
  });
}

/** Writes a kubeconfig for the ServiceAccount with a token of an hour; returns its path. */
export async function accountKubeconfig(cluster: ControlPlane, folder: string): Promise<string> {
  const token = (await cluster.kubectl(['create', 'token', 'bpfsvc', '-n', 'kube-system', '--duration=1h'])).trim();
  const admin = JSON.parse(readFileSync(cluster.kubeconfig('admin'), 'utf8')) as Record<string, unknown>;
  const path = join(folder, 'account.kubeconfig');
  const contexts = [{ name: 'test', context: { cluster: 'test', user: 'agent' } }];
  writeFileSync(path, JSON.stringify({ ...admin, contexts, users: [{ name: 'agent', user: { token } }] }));
  return path;
}
