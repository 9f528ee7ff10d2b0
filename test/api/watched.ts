/** A source that watches a scripted server, of which one kind is told by the test and the others have nothing to say. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { type ApiOptions, type Pace, watchApi } from '../../src/kube/api/api-source.ts';
import type { Snapshot } from '../../src/kube/source.ts';
import { type ScriptedServer, startScriptedServer } from './scripted-server.ts';

export const paths = {
  services: '/api/v1/services',
  slices: '/apis/discovery.k8s.io/v1/endpointslices',
  nodes: '/api/v1/nodes',
  cidrs: '/apis/networking.k8s.io/v1/servicecidrs',
} as const;

export interface Watched {
  readonly server: ScriptedServer;
  /** All so far. */
  readonly snapshots: readonly Snapshot[];
  last(): Snapshot;
  /** The first snapshot from now on, the last one included, that is as wanted. */
  until(isWanted: (snapshot: Snapshot) => boolean): Promise<Snapshot>;
}

/** Nobody waits in a test, and what waits for a silent peer has time even on a busy machine. */
const quick: Partial<Pace> = { first: 1, longest: 4, healthy: 60_000, absent: 1 };

export async function watching(
  t: ExecutionContext,
  { told = ['services'], pace = {}, ...more }: WatchSettings = {},
): Promise<Watched> {
  const server = more.server ?? (await startScriptedServer());
  if (more.server === undefined) t.teardown(() => server.close());
  for (const [name, path] of Object.entries(paths)) if (!told.includes(name as keyof typeof paths)) server.idle(path);
  const snapshots: Snapshot[] = [];
  const waiting = new Set<() => void>();
  const options: ApiOptions = {
    place: { kubeconfig: null, master: server.url },
    node: 'n1',
    serviceProxyName: null,
    userAgent: 'bpfsvc/test',
    ...more.options,
    pace: { ...quick, ...pace },
  };
  const source = await watchApi(options, (snapshot) => {
    snapshots.push(snapshot);
    for (const look of waiting) look();
  });
  t.teardown(() => source.close());
  return {
    server,
    snapshots,
    last: () => snapshots.at(-1) ?? { objects: null, problems: [], synced: false },
    until(isWanted) {
      return new Promise((resolve) => {
        const look = () => {
          const last = snapshots.at(-1);
          if (last === undefined || !isWanted(last)) return;
          waiting.delete(look);
          resolve(last);
        };
        waiting.add(look);
        look();
      });
    },
  };
}

export interface WatchSettings {
  readonly told?: readonly (keyof typeof paths)[];
  readonly pace?: Partial<Pace>;
  readonly server?: ScriptedServer;
  readonly options?: Partial<ApiOptions>;
}

/** Names of the Services, sorted; null: nothing is known. */
export function names({ objects }: Snapshot): string[] | null {
  return objects && [...objects.values()].flatMap((o) => (o.kind === 'Service' ? o.metadata.name : [])).sort();
}

export function reasons({ problems }: Snapshot): string {
  return problems.map(({ object, reason }) => `${object}: ${reason}`).join('\n');
}

export function has(...wanted: string[]): (snapshot: Snapshot) => boolean {
  return (snapshot) => names(snapshot)?.join() === wanted.join();
}

/** A folder that goes with the test. */
export function folder(t: ExecutionContext, files: Readonly<Record<string, string>> = {}): string {
  const path = mkdtempSync(join(tmpdir(), 'bpfsvc-api-'));
  t.teardown(() => rmSync(path, { recursive: true }));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(path, name), text);
  return path;
}
