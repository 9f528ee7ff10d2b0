import type { Device, Network } from './kernel/devices.ts';
import { chooseXdp, type DriverFeatures, readDriverFeatures, type XdpChoice, type XdpDevice } from './kernel/xdp.ts';

/** Where XDP is to run, as of the last look. */
export interface XdpLook {
  readonly features: DriverFeatures;
  readonly devices: readonly XdpDevice[];
  /** Looks anew; `own`: the devices whose program is ours. Returns the ifindexes of those that are to have it. */
  look(network: Network, devices: readonly Device[], own: ReadonlySet<number>): Promise<Set<number>>;
}

export function xdpLook(choice: XdpChoice): XdpLook {
  let features: DriverFeatures;
  let found: readonly XdpDevice[] = [];
  return {
    get features() {
      return features;
    },
    get devices() {
      return found;
    },
    async look(network, devices, own) {
      features = await readDriverFeatures();
      found = chooseXdp(network, devices, features, choice, own);
      return new Set(found.flatMap(({ ifindex, runs }) => (runs ? [ifindex] : [])));
    },
  };
}
