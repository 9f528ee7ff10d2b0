import { netAddresses, netLinks, netRoutes } from 'libbpf-ts';
import type { Network } from './devices.ts';

/** kube-proxy's IPVS mode binds every clusterIP to this device, which does not make them the node's own. */
const IPVS_DEVICE = 'kube-ipvs0';
/** RT_SCOPE_... */
export const GLOBAL_SCOPE = 0;
const LINK_SCOPE = 253;

/** Reads devices, addresses and routes of this network namespace. */
export async function readNetwork(): Promise<Network> {
  const [links, addresses, routes] = await Promise.all([netLinks(), netAddresses(), netRoutes()]);
  return { links, addresses, routes };
}

/** Has kube-proxy been here in its IPVS mode? The device stays when it ends. */
export async function hasIpvsDevice(): Promise<boolean> {
  return (await netLinks()).some(({ name }) => name === IPVS_DEVICE);
}

/**
 * Every address that a device of this node answers for, but for IPv6 link-local ones: each pod's veth brings its own, and
 * no Service has one.
 */
export function localAddresses({ links, addresses }: Network): Set<string> {
  const ipvs = links.find((link) => link.name === IPVS_DEVICE)?.ifindex;
  const counts = addresses.filter(
    ({ ifindex, family, scope }) => ifindex !== ipvs && !(family === 6 && scope === LINK_SCOPE),
  );
  return new Set(counts.map(({ address }) => address));
}

/**
 * The node's addresses where no Node object tells them: the first global ones, of each family, of the devices that carry
 * the default route.
 */
export function guessNodeAddresses({ addresses, routes }: Network): string[] {
  const uplinks = new Set(
    routes.filter(({ prefixLength, gateway }) => prefixLength === 0 && gateway).map(({ ifindex }) => ifindex),
  );
  return ([4, 6] as const).flatMap((family) => {
    const found = addresses.find(
      (address) => address.family === family && address.scope === GLOBAL_SCOPE && uplinks.has(address.ifindex),
    );
    return found ? [found.address] : [];
  });
}
