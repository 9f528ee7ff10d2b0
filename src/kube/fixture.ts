import { parseAllDocuments } from 'yaml';
import { defaultRanges } from './allocate.ts';
import { type KubeObject, objectKey } from './objects.ts';
import { type Parsed, type ParseSettings, parse } from './parse.ts';
import { readObjects } from './reader.ts';

/* For tests: objects written as YAML, and what becomes of them. */

export const settings: ParseSettings = { serviceProxyName: null, ranges: defaultRanges };

export function objectsOf(yaml: string): KubeObject[] {
  return parseAllDocuments(yaml).flatMap((document) => readObjects(document.toJS()).objects);
}

export function storeOf(yaml: string): Map<string, KubeObject> {
  return new Map(objectsOf(yaml).map((object) => [objectKey(object), object]));
}

export function parseYaml(yaml: string, changed: Partial<ParseSettings> = {}): Parsed {
  return parse(storeOf(yaml), { ...settings, ...changed }, null);
}

/** 'object: reason' */
export function problemsOf({ problems }: Pick<Parsed, 'problems'>): string[] {
  return problems.map(({ object, reason }) => `${object}: ${reason}`);
}

/** A Service with one port 80 and what `spec` adds or replaces, in flow style: 'type: NodePort, clusterIP: 10.0.0.1'. */
export function serviceYaml(spec: string, metadata = 'name: web'): string {
  const ports = /\bports:/.test(spec) ? '' : ', ports: [{port: 80}]';
  return `{apiVersion: v1, kind: Service, metadata: {${metadata}}, spec: {${spec === '' ? 'type: ClusterIP' : spec}${ports}}}\n---\n`;
}
