import type { Logger } from 'pino';
import { bootSeconds } from './kernel/clock.ts';
import { BpfError, type BpfMap } from './kernel/kernel.ts';
import { UDP_SECONDS } from './kernel/objects.ts';
import type { StateName } from './kernel/sizes.ts';
import { endStaleSockets, udpChoices } from './kernel/udp-choices.ts';
import type { Inventory, PlanOptions, Scope, World } from './plan/plan.ts';
import { heldRemovals, makeServes, noteRemovals, type Removals, reviewRemovals } from './plan/removals.ts';

type State = Readonly<Record<StateName, BpfMap>>;

/** A datagram that had chosen before the removal has made its flow by then. */
const SETTLE_SECONDS = 10;

/**
 * Sees to it that no UDP flow and no socket stays with a backend that no longer serves. What a flow points at is remembered
 * by the flow tables themselves, so that removals which nobody saw, of the time when no agent ran, are found there.
 */
export interface UdpKeeper {
  /** Before a plan: what left since the last one; when a review is due, also what the flows say. */
  note(world: World, held: Inventory, scope: Scope, state: State, options: PlanOptions): Promise<void>;
  withRemovals(world: World): World;
  /** After the plan was applied: ends sockets that cannot be moved, if something left since the last time. */
  endSockets(world: World, held: Inventory, state: State): Promise<void>;
  readonly isDue: boolean;
  /** Looks again in the next pass, if anything was removed. */
  review(): void;
  /** Looks again in any case. */
  mistrust(): void;
}

export function makeUdpKeeper(log: Logger): UdpKeeper {
  let removals: Removals | undefined;
  let before: World | undefined;
  let isReviewDue = true;
  let socketsDue = false;
  let canEndSockets = true;

  async function review(world: World, held: Inventory, state: State, known: Removals): Promise<void> {
    isReviewDue = false;
    const now = bootSeconds();
    const choices = await udpChoices(state);
    const settled = now - UDP_SECONDS - SETTLE_SECONDS;
    reviewRemovals(known, held, world, choices, { now, settled });
    socketsDue = true;
  }

  return {
    async note(world, held, scope, state, { holdDeletes }) {
      removals ??= heldRemovals(held);
      if (holdDeletes) return;
      /* The very first pass does not wait for a look through all flows: the next one comes at once. */
      if (before !== undefined) {
        if (noteRemovals(removals, held, { before, after: world }, scope, bootSeconds()) > 0) socketsDue = true;
        if (isReviewDue) await review(world, held, state, removals);
      }
      before = world;
    },
    withRemovals(world) {
      return removals === undefined ? world : { ...world, removedBackends: [...removals.values()] };
    },
    async endSockets(world, held, state) {
      if (!socketsDue || !canEndSockets) return;
      socketsDue = false;
      try {
        const ended = await endStaleSockets(state.socket_reverse, makeServes(held, world));
        if (ended > 0) log.info(`ended ${ended} UDP sockets of this node: their backend is gone`);
      } catch (error) {
        if (!(error instanceof BpfError)) throw error;
        canEndSockets = error.code !== 'EOPNOTSUPP' && error.code !== 'ENOENT';
        log.warn({ err: error }, 'UDP sockets of this node whose backend is gone cannot be ended');
      }
    },
    get isDue() {
      return isReviewDue && before !== undefined;
    },
    review() {
      if (removals !== undefined && removals.size > 0) isReviewDue = true;
    },
    mistrust() {
      isReviewDue = true;
    },
  };
}
