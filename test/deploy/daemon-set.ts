/** deploy/base as a kubelet and an API server read it. */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseAllDocuments } from 'yaml';

export interface Container {
  readonly name: string;
  readonly image: string;
  readonly args: readonly string[];
  readonly env: readonly { readonly name: string; readonly valueFrom: Readonly<Record<string, { key?: string }>> }[];
  readonly securityContext: {
    readonly runAsUser: number;
    readonly allowPrivilegeEscalation: boolean;
    readonly readOnlyRootFilesystem: boolean;
    readonly seccompProfile: { readonly type: string };
    readonly capabilities: { readonly add: readonly string[]; readonly drop: readonly string[] };
  };
  readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string; readonly readOnly?: boolean }[];
  readonly [probe: `${string}Probe`]: { readonly httpGet: { readonly path: string; readonly port: number } };
}

export interface PodSpec {
  readonly hostNetwork: boolean;
  readonly containers: readonly [Container];
  readonly volumes: readonly { readonly name: string; readonly hostPath?: { readonly path: string } }[];
  readonly [field: string]: unknown;
}

export interface KubeObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly [field: string]: unknown;
}

export const base: string = fileURLToPath(new URL('../../deploy/base/', import.meta.url));

export function objectsOf(text: string): KubeObject[] {
  return parseAllDocuments(text).flatMap((document) => (document.contents === null ? [] : [document.toJS()]));
}

/** Every object of the base, but for kustomize's own file. */
export function baseObjects(): KubeObject[] {
  const files = readdirSync(base).filter((name) => name.endsWith('.yaml') && name !== 'kustomization.yaml');
  return files.sort().flatMap((name) => objectsOf(readFileSync(`${base}${name}`, 'utf8')));
}

/** What each of the DaemonSet's pods is. */
export function podSpec(objects: readonly KubeObject[] = baseObjects()): PodSpec {
  const found = objects.find(({ kind }) => kind === 'DaemonSet');
  if (found === undefined) throw new Error('there is no DaemonSet');
  return (found.spec as { template: { spec: PodSpec } }).template.spec;
}
