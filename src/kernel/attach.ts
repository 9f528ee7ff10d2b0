import { statSync } from 'node:fs';
import { join } from 'node:path';
import { BpfError, BpfLink, type BpfProgram, type LinkInfo } from 'libbpf-ts';
import { type Attached, nothingAttached, type Programs, refuse } from './attached.ts';
import { attachFilters } from './filters.ts';
import type { Hook, Mechanism } from './hooks.ts';
import { listLinkPins, makeDirectory, type PinDir, removePin } from './pins.ts';

/**
 * Makes the attached programs what the hooks say, in the order of the hooks: first points every standing link at its
 * program without a gap, then detaches what is not asked for, then attaches what is missing. Finds out by itself what
 * stands, so that it is start, upgrade, repair after a crash and the answer to a new device alike.
 */
export async function attachHooks(
  dir: PinDir,
  hooks: readonly Hook[],
  programs: Programs,
  mechanism: Mechanism,
): Promise<Attached> {
  makeDirectory(dir.links);
  const linked = mechanism === 'tcx' ? hooks : hooks.filter((hook) => hook.target.kind !== 'tcx');
  const done = nothingAttached();
  const standing = openLinks(dir, linked, done);
  try {
    await repoint(linked, programs, standing, done);
    await detachOthers(dir, linked, standing, done);
    if (mechanism === 'clsact') {
      await attachFilters(
        hooks.filter((hook) => hook.target.kind === 'tcx'),
        programs,
        done,
      );
    }
    for (const hook of linked) {
      if (!standing.has(hook.pin)) await attach(dir, hook, programs[hook.program], done);
    }
  } finally {
    for (const { link } of standing.values()) link.close();
  }
  return done;
}

interface Standing {
  readonly link: BpfLink;
  readonly info: LinkInfo;
}

/** A pinned link outlives its device or cgroup; the pin of a dead one is removed here. */
function openLinks(dir: PinDir, hooks: readonly Hook[], done: Attached): Map<string, Standing> {
  const standing = new Map<string, Standing>();
  for (const pin of listLinkPins(dir)) {
    const link = BpfLink.openPinned(join(dir.links, pin));
    const info = link.info();
    if (info.ifindex !== 0 && info.cgroupId !== 0n) {
      standing.set(pin, { link, info });
      continue;
    }
    removePin(join(dir.links, pin));
    link.close();
    if (!hooks.some((hook) => hook.pin === pin)) done.detached.push(pin);
  }
  return standing;
}

async function repoint(
  hooks: readonly Hook[],
  programs: Programs,
  standing: ReadonlyMap<string, Standing>,
  done: Attached,
): Promise<void> {
  for (const hook of hooks) {
    const found = standing.get(hook.pin);
    const program = programs[hook.program];
    if (found === undefined || found.info.programId === program.info.id) continue;
    try {
      await found.link.update(program);
      done.repointed.push(hook.where);
    } catch (error) {
      refuse(done, hook.where, error);
    }
  }
}

/** Drops links that no hook asks for, and those of a cgroup that is no longer the one to serve. */
async function detachOthers(
  dir: PinDir,
  hooks: readonly Hook[],
  standing: Map<string, Standing>,
  done: Attached,
): Promise<void> {
  const wanted = new Map(hooks.map((hook) => [hook.pin, hook]));
  for (const [pin, { link, info }] of standing) {
    const hook = wanted.get(pin);
    if (hook && isAt(hook, info)) continue;
    standing.delete(pin);
    await detach(dir, pin, link);
    done.detached.push(pin);
  }
}

function isAt(hook: Hook, info: LinkInfo): boolean {
  if (hook.target.kind === 'tcx') return info.kind === 'tcx' && info.direction === hook.target.direction;
  if (hook.target.kind === 'xdp') return info.kind === 'xdp';
  return info.kind === 'cgroup' && info.cgroupId === statSync(hook.target.path, { bigint: true }).ino;
}

async function detach(dir: PinDir, pin: string, link: BpfLink): Promise<void> {
  await link.detach();
  removePin(join(dir.links, pin));
  link.close();
}

async function attach(dir: PinDir, hook: Hook, program: BpfProgram, done: Attached): Promise<void> {
  try {
    using link = await BpfLink.attach(hook.target, program);
    link.pin(join(dir.links, hook.pin));
    done.attached.push(hook.where);
  } catch (error) {
    if (hook.target.kind === 'xdp') leave(done, hook.where, error);
    else refuse(done, hook.where, error);
  }
}

/** Codes of a device that has a program already: a link, or one in another mode. */
const taken: readonly string[] = ['EBUSY', 'EEXIST'];

/** Without XDP everything works at tc: it is not tried again until something changes. */
function leave(done: Attached, where: string, error: unknown): void {
  if (!(error instanceof BpfError)) throw error;
  if (error.code === 'ENODEV') return;
  const reason = taken.includes(error.code)
    ? 'somebody else has an XDP program there'
    : `the driver refuses it: ${error.code}`;
  done.left.push({ where, reason });
}

/** Detaches every pinned link and removes its pin. Returns the pins' names. */
export async function detachAll(dir: PinDir): Promise<string[]> {
  const pins = listLinkPins(dir);
  for (const pin of pins) await detach(dir, pin, BpfLink.openPinned(join(dir.links, pin)));
  return pins;
}
