import type { Rehearsal, RehearsedHook, Via } from '../kernel/rehearsal.ts';
import { openRehearsedSockets, type RehearsedSockets } from '../kernel/rehearsed-socket.ts';
import type { Parsed } from '../kube/parse.ts';
import type { Address } from '../model/address.ts';
import type { Problem } from '../model/service.ts';
import type { Tables } from '../plan/tables.ts';
import type { World } from '../plan/world.ts';

/** Told by the hook in life; here by what is known of the address. */
export type SourceClass = 'pod' | 'node' | 'outside';

/** What is known of the cluster beside the rows: null when these come from the kernel alone. */
export interface Known {
  readonly world: World;
  readonly parsed: Parsed;
  /** Of the model, and of what is not as it was written. */
  readonly problems: readonly Problem[];
}

/** All that questions are put to. */
export interface Stage {
  readonly tables: Tables;
  readonly rehearsal: Rehearsal;
  /** Null: sockets cannot be asked here, and why. */
  readonly sockets: RehearsedSockets | { readonly missing: string };
  readonly known: Known | null;
  /** `--masquerade-all` */
  readonly masqueradeAll: boolean;
  readonly classify: (address: Address) => { readonly kind: SourceClass; readonly why: string };
  /** The device at which a packet of this source meets the hook; undefined: it does not matter. */
  readonly via: (hook: RehearsedHook, source: Address) => Via | undefined;
  /** Where a packet to this backend leaves; null: it is for the node itself. */
  readonly exit: (backend: Address) => { readonly hook: 'to_pod' | 'to_wire'; readonly via: Via | undefined } | null;
  /** What is remembered of a client, by the service port's id: the backend that it would get again. */
  readonly remembered: (client: Address, servicePort: number) => string | null;
  /** Does a packet to this address stay on the node? */
  readonly isLocal: (address: Address) => boolean;
}

/** `config` null: nobody is going to ask them. A machine on which that cannot be done is no error. */
export async function openSockets(
  rehearsal: Rehearsal,
  config: string | null,
  cgroup: string | undefined,
): Promise<Stage['sockets']> {
  if (config === null) return { missing: 'nobody asks' };
  try {
    return await openRehearsedSockets(rehearsal, config, cgroup);
  } catch (error) {
    return { missing: (error as Error).message };
  }
}
