import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Lab, Node } from '../../test/netns/lab.ts';

/** What the API server is told to write down: who asked for what. */
export interface Audit {
  readonly flags: readonly string[];
  /** How many requests a user has made so far. */
  requests(user: string): number;
}

/** `users` are those whose requests count. */
export function auditOf(folder: string, users: readonly string[]): Audit {
  const [policy, log] = [join(folder, 'policy.yaml'), join(folder, 'audit.log')];
  const rules = [{ level: 'Metadata', users, omitStages: ['RequestReceived'] }, { level: 'None' }];
  writeFileSync(policy, JSON.stringify({ apiVersion: 'audit.k8s.io/v1', kind: 'Policy', rules }));
  writeFileSync(log, '');
  return {
    flags: [`--audit-policy-file=${policy}`, `--audit-log-path=${log}`],
    requests(user) {
      const lines = readFileSync(log, 'utf8').split('\n').filter(Boolean);
      // a watch is told of twice, at its beginning and at its end
      const ids = lines.flatMap((line) => {
        const { auditID, user: who } = JSON.parse(line) as { auditID: string; user: { username: string } };
        return who.username === user ? auditID : [];
      });
      return new Set(ids).size;
    },
  };
}

/** Bytes that came to the node by its wire so far; nobody but the API server sends it any. */
export async function bytesReceived(lab: Lab, node: Node): Promise<number> {
  const [link] = JSON.parse(await lab.exec(node, ['ip', '-j', '-s', 'link', 'show', 'dev', 'eth0'])) as [
    { stats64: { rx: { bytes: number } } },
  ];
  return link.stats64.rx.bytes;
}
