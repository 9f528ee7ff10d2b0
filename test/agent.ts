/** A whole agent in this process, in a sandbox: what tests of it share. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { netnsCookie } from 'libbpf-ts';
import pino from 'pino';
import { runAgent } from '../src/agent.ts';
import type { AgentOptions } from '../src/agent-options.ts';
import { Datapath } from '../src/kernel/datapath.ts';
import { noDetector } from '../src/kernel/detector.ts';
import { type Generation, openGeneration } from '../src/kernel/generation.ts';
import { defaultNodePorts } from '../src/kernel/node-ports.ts';
import { encodeConfig, readObjects } from '../src/kernel/objects.ts';
import { currentGeneration, pinDir } from '../src/kernel/pins.ts';
import type { Sizes } from '../src/kernel/sizes.ts';
import { readSettledTables } from '../src/kernel/tables.ts';
import { defaultRanges } from '../src/kube/allocate.ts';
import { watchManifests } from '../src/kube/manifests.ts';
import type { Tables } from '../src/plan/tables.ts';
import type { Sandbox } from './sandbox.ts';

export interface RunningAgent {
  /** Messages of the log so far. */
  readonly messages: string[];
  /** Stops it as SIGTERM does and waits for its end. */
  stop(): Promise<void>;
}

/** Small state maps: tests need no room for a quarter of a million flows. */
export const smallState: Partial<Sizes> = { flows: 1024, half_open: 1024, socket_reverse: 1024, counters: 4096 };

export interface AgentSettings extends Partial<Omit<AgentOptions, 'datapath' | 'log'>> {
  /** A file in the sandbox, where `source` is nothing else. */
  readonly manifests?: string;
  /** Which of several agents in one sandbox. */
  readonly name?: string;
  readonly mechanism?: 'tcx' | 'clsact';
  readonly masqueradeAll?: boolean;
}

export function pinPath(box: Sandbox, name = 'agent'): string {
  return join(box.bpfFs, name);
}

export function runAgentIn(box: Sandbox, settings: AgentSettings): RunningAgent {
  const { name = 'agent', mechanism = 'tcx', masqueradeAll = false, sizes, manifests = '', ...rest } = settings;
  const messages: string[] = [];
  const log = pino({ level: 'debug' }, { write: (line: string) => void messages.push(textOf(line)) });
  const datapath = Datapath.open({
    pinDir: pinPath(box, name),
    cgroup: box.cgroup,
    objects: readObjects(),
    config: encodeConfig(netnsCookie(), { masqueradeAll }),
    mechanism,
  });
  const stop = new AbortController();
  const options: AgentOptions = {
    datapath,
    log,
    source: (onChange) => watchManifests(manifests, onChange),
    node: 'n1',
    parse: { serviceProxyName: null, ranges: defaultRanges },
    serviceCidrs: [],
    devices: new Map(),
    nodePorts: defaultNodePorts,
    detector: noDetector,
    socketUdp: 'auto',
    auditSeconds: 3600,
    sizes: { ...smallState, ...sizes },
    ...rest,
  };
  const ended = runAgent(options, stop.signal).finally(() => datapath.close());
  return {
    messages,
    async stop() {
      stop.abort();
      await ended;
    },
  };
}

function textOf(line: string): string {
  const { msg, err } = JSON.parse(line) as { msg: string; err?: { message: string } };
  return err === undefined ? msg : `${msg}: ${err.message}`;
}

/** What is pinned and current; the caller closes it. */
export function openPinned(box: Sandbox, name?: string): Generation {
  const dir = pinDir(pinPath(box, name));
  const generation = openGeneration(dir, currentGeneration(dir) ?? '');
  if (generation === undefined) throw new Error('nothing is loaded');
  return generation;
}

/** What the kernel holds now, by anybody's eyes. */
export async function readPinned(box: Sandbox, name?: string): Promise<Tables> {
  using generation = openPinned(box, name);
  return await readSettledTables(generation.tables);
}

export function writeManifest(box: Sandbox, name: string, documents: readonly unknown[]): string {
  const path = join(box.directory, name);
  writeFileSync(path, documents.map((document) => JSON.stringify(document)).join('\n---\n'));
  return path;
}

/** A Service with one TCP port and the slice of who is behind it. */
export function service(name: string, clusterIP: string, backends: readonly string[]): unknown[] {
  return [
    { apiVersion: 'v1', kind: 'Service', metadata: { name }, spec: { clusterIP, ports: [{ name: 'http', port: 80 }] } },
    {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { name: `${name}-1`, labels: { 'kubernetes.io/service-name': name } },
      addressType: 'IPv4',
      ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
      endpoints: backends.map((address) => ({ addresses: [address] })),
    },
  ];
}
