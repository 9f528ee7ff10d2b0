import type { NetAddress, NetRoute } from 'libbpf-ts';
import { type Address, firstOfFamily, parseAddress } from '../model/address.ts';
import type { Wire } from '../plan/world.ts';
import { type Detector, isOfPods } from './detector.ts';
import { type Device, isOrdinaryRoute, type Network } from './devices.ts';
import { GLOBAL_SCOPE } from './network.ts';
import { hasRouteMtus } from './route-mtus.ts';
import type { DriverFeatures } from './xdp.ts';

/** rtnetlink(7), if_addr.h: what makes an address one that the kernel does not choose of itself, or not yet. */
const DISCOURAGED = 0x01 | 0x08 | 0x20 | 0x40; // secondary or temporary, duplicate, deprecated, tentative

/** '02:00:00:00:00:01': an InfiniBand address is longer, for example. */
const MAC_TEXT = 17;

/**
 * Each wire, and what the source becomes of what is forwarded by it on behalf of a client from outside: what its routes
 * prefer, those by way of a gateway first and the broader first; else its first address; else the node's. A gateway
 * sends the answers back to it, whatever it thinks of the client. `features`: of their drivers.
 */
export function wiresOf(
  network: Network,
  devices: readonly Device[],
  nodeAddresses: readonly Address[],
  detector: Detector,
  features?: DriverFeatures,
): Wire[] {
  const wires = devices.filter(({ role }) => role === 'wire');
  const { links } = network;
  return wires.map(({ ifindex, hasLinkHeader }) => {
    const link = links.find((one) => one.ifindex === ifindex);
    const source = (family: 4 | 6): Address | null =>
      preferredSource(network.routes, ifindex, family) ??
      firstAddress(network.addresses, ifindex, family) ??
      firstOfFamily(nodeAddresses, family) ??
      null;
    const isEthernet = hasLinkHeader && link?.address.length === MAC_TEXT;
    const can = features?.get(ifindex);
    return {
      ifindex,
      ipv4: source(4),
      ipv6: source(6),
      ofPods: link !== undefined && isOfPods(detector, link, links),
      mac: isEthernet ? link.address : null,
      takesFrames: isEthernet && can?.takesFrames === true,
      /* what a veth sends back lies at a peer without a program until something else wakes that */
      returnsFrames: isEthernet && link.kind !== 'veth' && can?.native !== false,
      routeMtus: hasRouteMtus(network, ifindex),
    };
  });
}

function preferredSource(routes: readonly NetRoute[], ifindex: number, family: 4 | 6): Address | undefined {
  const told = routes.filter(
    (route) =>
      route.family === family && route.ifindex === ifindex && route.source !== undefined && isOrdinaryRoute(route),
  );
  const rank = ({ gateway, prefixLength, priority }: NetRoute) =>
    (gateway === undefined ? 1e12 : 0) + prefixLength * 1e9 + Math.min(priority, 1e9 - 1);
  const [best] = told.sort((a, b) => rank(a) - rank(b));
  return canonical(best?.source);
}

function firstAddress(addresses: readonly NetAddress[], ifindex: number, family: 4 | 6): Address | undefined {
  const own = addresses.filter(
    (address) => address.ifindex === ifindex && address.family === family && address.scope === GLOBAL_SCOPE,
  );
  const best = own.find(({ flags }) => (flags & DISCOURAGED) === 0) ?? own[0];
  return canonical(best?.address);
}

function canonical(text: string | undefined): Address | undefined {
  return text === undefined ? undefined : (parseAddress(text) ?? undefined);
}
