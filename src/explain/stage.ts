import type { Rehearsal } from '../kernel/rehearsal.ts';
import type { RehearsedSockets } from '../kernel/rehearsed-socket.ts';
import type { Parsed } from '../kube/parse.ts';
import type { Address } from '../model/address.ts';
import type { Tables } from '../plan/tables.ts';
import type { World } from '../plan/world.ts';

/** Told by the hook in life; here by what is known of the address. */
export type SourceClass = 'pod' | 'node' | 'outside';

/** What is known of the cluster beside the rows: null when these come from the kernel alone. */
export interface Known {
  readonly world: World;
  readonly parsed: Parsed;
}

/** All that questions are put to. */
export interface Stage {
  readonly tables: Tables;
  readonly rehearsal: Rehearsal;
  /** Null: sockets cannot be asked here, and why. */
  readonly sockets: RehearsedSockets | { readonly missing: string };
  readonly known: Known | null;
  readonly classify: (address: Address) => { readonly kind: SourceClass; readonly why: string };
  /** Does a packet to this address stay on the node? */
  readonly isLocal: (address: Address) => boolean;
}
