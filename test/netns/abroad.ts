/**
 * The world behind the node's network: a client on the far side of two routers, which know the Services' addresses by way
 * of the nodes. Pure, as topology.ts is.
 *
 *   abroad 203.0.113.10 ── router ── outside 192.168.50.254 ── switch ── nodes
 */
import type { Place, Sysctls } from './topology.ts';
import * as topology from './topology.ts';

export const abroadAddress = { ip4: '203.0.113.10', ip6: '2001:db8:113::10' } as const;

/** Where Services have their addresses: clusterIPs, and those that only routers know. */
export const serviceNetworks = ['10.96.0.0/16', 'fd00:10:96::/112', '198.51.100.0/24', '2001:db8:f0::/64'] as const;

/** Forwards, by the fourth layer where there are several ways. */
export function routerSysctls(): Sysctls {
  return {
    'net/ipv4/ip_forward': 1,
    'net/ipv6/conf/all/forwarding': 1,
    'net/ipv4/fib_multipath_hash_policy': 1,
    'net/ipv6/fib_multipath_hash_policy': 1,
  };
}

/** In the first router, which is the nodes' gateway. */
export function outsideLinks(router: Place, nodes: readonly Place[]): string[] {
  return [
    `link add inner type veth peer name inner netns ${router.netns}`,
    'link set inner up',
    'address add 10.99.0.1/24 dev inner',
    'address add fd00:99::1/64 dev inner nodad',
    'route add 203.0.113.0/24 via 10.99.0.2',
    'route add 2001:db8:113::/64 via fd00:99::2',
    ...serviceRoutes(nodes),
  ];
}

/** To the Services by way of these nodes, whatever the way was before. */
export function serviceRoutes(nodes: readonly Place[]): string[] {
  return serviceNetworks.map((network) => {
    const hops = nodes.map((node) => `nexthop via ${network.includes(':') ? node.ip6 : node.ip4}`);
    return `route replace ${network} ${hops.join(' ')}`;
  });
}

/** In the second router, once the first has made the cable between them. */
export function routerLinks(abroad: Place): string[] {
  return [
    'link set inner up',
    'address add 10.99.0.2/24 dev inner',
    'address add fd00:99::2/64 dev inner nodad',
    'route add default via 10.99.0.1',
    'route add default via fd00:99::1',
    `link add outer type veth peer name eth0 netns ${abroad.netns}`,
    'link set outer up',
    'address add 203.0.113.1/24 dev outer',
    'address add 2001:db8:113::1/64 dev outer nodad',
  ];
}

/** In the client's namespace, once its cable is there. */
export function abroadLinks(self: Place): string[] {
  return [...topology.uplink(self), 'route add default via 203.0.113.1', 'route add default via 2001:db8:113::1'];
}
