import type { Logger } from 'pino';
import type { AgentOptions } from './agent-options.ts';
import { Alarm } from './alarm.ts';
import { changesOf } from './changes.ts';
import { counted } from './count.ts';
import { type Health, makeHealth } from './health.ts';
import { type Keeper, makeKeeper } from './keeper.ts';
import type { Attached } from './kernel/attached.ts';
import { bypassDevices } from './kernel/bypass.ts';
import { classifyDevices, type Device, type Network } from './kernel/devices.ts';
import { isXdpPlace } from './kernel/hooks.ts';
import { BpfError, dropCode, NetWatch } from './kernel/kernel.ts';
import { readNetwork } from './kernel/network.ts';
import { RefusedError } from './kernel/refused.ts';
import { changedServices } from './kube/changes.ts';
import { type Parsed, parse } from './kube/parse.ts';
import type { ObjectSource, Snapshot } from './kube/source.ts';
import { changeTriggers } from './kube/triggers.ts';
import { hasOtherRows, healthCheckAddresses, isOtherNode, makeWorld, ownNode } from './own-node.ts';
import type { PlanOptions, World } from './plan/plan.ts';
import { makeReport, type Report } from './report.ts';
import type { ServiceHealth } from './service-health.ts';
import { type XdpLook, xdpLook } from './xdp-look.ts';

/** How often removed UDP backends are looked after, while there are any. */
const REVIEW_SECONDS = 60;

/** How soon a person reads that a NodePort was refused to a process. */
const BIND_SECONDS = 5;

/** After a pass over everything nothing much happens for this long, and what it ran can leave the memory. */
const CALM_MS = 5000;

/**
 * Keeps this node's kernel what the objects say until `signal` is aborted; then finishes the step it is at and leaves
 * everything pinned and at work. Trouble with the kernel is logged and tried again, never the end; it throws only for
 * a source that cannot be used at the start, and for faults of our own.
 */
export async function runAgent(options: AgentOptions, signal: AbortSignal): Promise<void> {
  const agent = new Agent(options, signal);
  try {
    await agent.run();
  } finally {
    agent.close();
  }
}

class Agent {
  readonly #options: AgentOptions;
  readonly #signal: AbortSignal;
  readonly #log: Logger;
  readonly #keeper: Keeper;
  readonly #report: Report;
  readonly #alarm = new Alarm();
  readonly #xdp: XdpLook;
  #bypass: readonly number[] = [];
  readonly #health: Health;
  #serviceHealth: ServiceHealth | undefined;
  #source: ObjectSource | undefined;
  #watch: NetWatch | undefined;
  #bindTimer: NodeJS.Timeout | undefined;

  #snapshot: Snapshot = { objects: null, problems: [], synced: false };
  #parsed: Parsed | undefined;
  #network: Network = { links: [], addresses: [], routes: [] };
  #devices: readonly Device[] = [];
  #world: World | undefined;

  /** Services to look at in the next pass. */
  #dirty: 'all' | Set<string> = 'all';
  #networkChanged = true;
  #auditDue = false;
  /** What is known of the kernel can no longer be trusted. */
  #doubtful = false;
  #troubled = false;
  /** Rows that the last pass could not write. */
  #refused = 0;
  /** A pass that failed as a whole is not begun again by the next best event, but by its timer. */
  #isPaused = false;

  constructor(options: AgentOptions, signal: AbortSignal) {
    const { datapath, log, sizes, writer, metrics } = options;
    this.#options = options;
    this.#xdp = xdpLook(options.xdp ?? 'off');
    this.#signal = signal;
    this.#log = log;
    this.#keeper = makeKeeper({
      datapath,
      log,
      sizes,
      signal,
      onAttached: (attached) => this.#takeAttached(attached, 'info'),
      ...(writer && { writer }),
    });
    const report = makeReport(log, (problems) => {
      options.board?.problems(problems);
      options.onProblems?.(problems);
    });
    const seen = options.board?.watch(report) ?? report;
    this.#report = metrics?.watch(seen) ?? seen;
    this.#health = options.health ?? makeHealth();
    metrics?.tables(() => this.#keeper.rowCounts);
    metrics?.world(() => this.#world);
    metrics?.follow(this.#health.progress);
  }

  async run(): Promise<void> {
    this.#source = await this.#options.source((snapshot) => this.#takeObjects(snapshot));
    this.#options.onStart?.();
    this.#watch = new NetWatch(() => {
      this.#networkChanged = true;
      this.#alarm.ring();
    });
    this.#signal.addEventListener('abort', () => this.#alarm.ring(), { once: true });
    this.#alarm.every(this.#options.auditSeconds * 1000, () => {
      this.#auditDue = true;
    });
    this.#alarm.every(REVIEW_SECONDS * 1000, () => this.#keeper.review());
    this.#bindTimer = setInterval(() => this.#report.refusedBinds(this.#keeper.refusedBinds()), BIND_SECONDS * 1000);
    while (!this.#signal.aborted) {
      await this.#turn();
      await this.#alarm.wait();
    }
    this.#log.info('stopped: everything stays pinned and at work');
  }

  close(): void {
    this.#source?.close();
    this.#watch?.close();
    this.#serviceHealth?.close();
    this.#alarm.close();
    clearInterval(this.#bindTimer);
  }

  #takeObjects(snapshot: Snapshot): void {
    const { objects } = snapshot;
    const known = this.#snapshot.objects;
    this.#snapshot = snapshot;
    if (objects === null || objects === known) {
      this.#alarm.ring();
      return;
    }
    const before = this.#parsed;
    const after = parse(objects, this.#options.parse, before ?? null);
    const changed = changedServices(before ?? null, after);
    const triggers = changeTriggers(after, known ?? new Map(), changed);
    this.#parsed = after;
    this.#health.node = ownNode(after, this.#options.node);
    this.#health.progress.queued(changesOf(changed, before, after), triggers);
    this.#mark(changed);
    if (after.nodes !== before?.nodes) this.#networkChanged = true;
    this.#alarm.ring();
  }

  async #turn(): Promise<void> {
    // who this node is decides what its devices are: until a source has told, all stays as it is
    if (this.#parsed === undefined) {
      this.#report.problems(this.#snapshot, undefined, []);
      return;
    }
    this.#troubled = false;
    const isAudit = this.#auditDue;
    this.#auditDue = false;
    if (this.#networkChanged || isAudit) {
      await this.#attempt('looking at the devices failed', async () => await this.#lookAround(isAudit));
    }
    if (this.#isPaused) return;
    const done = await this.#attempt('the pass failed', async () => {
      if (this.#doubtful) await this.#keeper.reread();
      this.#doubtful = false;
      if (isAudit) await this.#audit();
      await this.#pass();
    });
    this.#isPaused = !done;
    this.#report.problems(this.#snapshot, this.#parsed, this.#serviceHealth?.problems ?? []);
    if (!this.#troubled) this.#alarm.calm();
  }

  /** Trouble with the kernel is not the end: everything is looked at again after a while. */
  async #attempt(failed: string, work: () => Promise<void>): Promise<boolean> {
    try {
      await work();
      return true;
    } catch (error) {
      if (this.#signal.aborted) return true;
      if (!(error instanceof BpfError) && !(error instanceof RefusedError)) throw error;
      this.#health.progress.ended('all');
      this.#networkChanged = true;
      this.#doubtful = true;
      this.#dirty = 'all';
      this.#retry(failed, error);
      return false;
    }
  }

  async #lookAround(isAudit: boolean): Promise<void> {
    const { datapath, node, devices: overrides } = this.#options;
    this.#networkChanged = false;
    this.#network = await readNetwork();
    const addresses = (this.#parsed && ownNode(this.#parsed, node)?.internalIPs) ?? [];
    this.#devices = classifyDevices(this.#network, { nodeAddresses: addresses, overrides });
    const xdp = await this.#xdp.look(this.#network, this.#devices, datapath.xdpDevices);
    const attached = await datapath.attach(this.#devices, xdp);
    if (this.#options.bypass) this.#bypass = await bypassDevices(this.#network, this.#devices);
    if (attached === undefined) return;
    this.#takeAttached(attached, isAudit ? 'warn' : 'info');
    if (!isAudit && this.#world !== undefined) return;
    this.#report.swept(await datapath.sweep());
  }

  #takeAttached(attached: Attached, level: 'info' | 'warn'): void {
    this.#report.attached(attached, this.#devices, level);
    this.#report.xdp(this.#xdp.devices, attached);
    /* some drivers take frames of others only since they have a program themselves */
    this.#networkChanged ||= attached.attached.some(isXdpPlace);
    if (this.#networkChanged) this.#alarm.ring();
    const [failure] = attached.failed;
    if (failure === undefined) return;
    this.#networkChanged = true;
    this.#retry(`cannot attach at ${failure.where}`, failure.error);
  }

  /** Reads the kernel anew, and tells what somebody else changed there; the pass after it is over everything. */
  async #audit(): Promise<void> {
    await this.#keeper.reread();
    if (this.#world && this.#dirty !== 'all' && this.#dirty.size === 0) {
      this.#report.drift(this.#keeper.drift(this.#world, this.#planOptions()));
    }
    this.#dirty = 'all';
  }

  async #pass(): Promise<void> {
    if (this.#parsed === undefined) return;
    const world = this.#makeWorld(this.#parsed);
    const scope = this.#world === undefined || isOtherNode(this.#world, world) ? 'all' : this.#dirty;
    const isSame = this.#world !== undefined && !hasOtherRows(this.#world, world) && !this.#keeper.isDue;
    if (scope !== 'all' && scope.size === 0 && isSame) return;
    const isFirst = this.#world === undefined;
    const begun = performance.now();
    this.#dirty = new Set();
    this.#health.progress.begun();
    const pass = await this.#keeper.pass(world, scope, this.#planOptions());
    this.#world = world;
    await this.#serveHealthChecks(world, scope);
    if (scope === 'all') setTimeout(dropCode, CALM_MS).unref(); // most of what that took runs no more
    if (isFirst) this.#keeper.refusedBinds(); // what was refused before this agent ran is no news
    const owners = pass.failed.map(({ step }) => step.owner);
    this.#health.progress.ended(new Set(owners));
    this.#mark(owners.includes('') ? 'all' : new Set(owners));
    this.#report.pass(pass, {
      services: scope === 'all' ? world.services.size : scope.size,
      isAll: scope === 'all',
      isFirst,
      milliseconds: performance.now() - begun,
    });
    const [first] = pass.failed;
    if (pass.failed.length < this.#refused) this.#alarm.calm(); // it gets better: no need for patience
    this.#refused = pass.failed.length;
    if (first) this.#retry(`${counted(pass.failed.length, 'row')} refused`, first.error);
    if (this.#podsAtTc() !== world.podsAtTc || this.#keeper.isDue) this.#alarm.ring();
  }

  /** The server is loaded where it is asked for. */
  async #serveHealthChecks(world: World, scope: 'all' | ReadonlySet<string>): Promise<void> {
    const { log, hasNarrowHealthChecks = false, healthCheckRetryMs } = this.#options;
    if (this.#serviceHealth === undefined) {
      const names = scope === 'all' ? [...world.services.keys()] : [...scope];
      if (!names.some((name) => (world.services.get(name)?.healthCheckNodePort ?? 0) > 0)) return;
      const { makeServiceHealth } = await import('./service-health.ts');
      if (this.#signal.aborted) return;
      this.#serviceHealth = makeServiceHealth({
        log,
        isHealthy: () => this.#health.isHealthy(),
        onChange: () => this.#alarm.ring(),
        ...(healthCheckRetryMs !== undefined && { retryMs: healthCheckRetryMs }),
      });
    }
    this.#serviceHealth.serve(world, healthCheckAddresses(world, hasNarrowHealthChecks));
  }

  #makeWorld(parsed: Parsed): World {
    const { node: name, serviceCidrs, nodePorts, detector, primaryAddress = null } = this.#options;
    const [network, devices] = [this.#network, this.#devices];
    const [podsAtTc, driverFeatures] = [this.#podsAtTc(), this.#xdp.features];
    const rest = { network, devices, podsAtTc, primaryAddress, driverFeatures, bypass: this.#bypass };
    return makeWorld(parsed, { name, serviceCidrs, nodePorts, detector, ...rest });
  }

  #podsAtTc(): boolean {
    const { socketUdp, datapath } = this.#options;
    return socketUdp === 'auto' ? datapath.podsAtTc : socketUdp === 'host';
  }

  #planOptions(): PlanOptions {
    return { holdDeletes: !this.#snapshot.synced };
  }

  #mark(names: 'all' | Iterable<string>): void {
    if (names === 'all') this.#dirty = 'all';
    else if (this.#dirty !== 'all') for (const name of names) this.#dirty.add(name);
  }

  #retry(what: string, error: Error): void {
    this.#troubled = true;
    const seconds = this.#alarm.retry(() => {
      this.#isPaused = false;
    });
    this.#log.warn({ err: error }, `${what}, trying again in ${seconds} s`);
  }
}
