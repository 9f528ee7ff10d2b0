import { familyOf } from '../model/address.ts';
import type { EndpointAddress, EndpointsObject, SliceEndpoint, SliceObject } from './objects.ts';

/** An Endpoints object with it, whatever its Service, is never mirrored. */
const skipLabel = 'endpointslice.kubernetes.io/skip-mirror';

/** An Endpoints object as the slices that a cluster's mirroring controller makes of it: one for each subset and family. */
export function mirrorEndpoints(object: EndpointsObject): readonly SliceObject[] {
  if (object.metadata.labels[skipLabel] === 'true') return [];
  return object.subsets.flatMap(({ addresses, notReadyAddresses, ports }) => {
    const endpoints = [
      ...addresses.map((address) => mirrorAddress(address, true)),
      ...notReadyAddresses.map((address) => mirrorAddress(address, false)),
    ];
    return (['IPv4', 'IPv6'] as const).flatMap((addressType) => {
      const ofFamily = endpoints.filter(
        ({ addresses: [ip = ''] }) => (familyOf(ip) === 6) === (addressType === 'IPv6'),
      );
      if (ofFamily.length === 0) return [];
      return { kind: 'EndpointSlice' as const, metadata: object.metadata, addressType, ports, endpoints: ofFamily };
    });
  });
}

function mirrorAddress({ ip, nodeName }: EndpointAddress, ready: boolean): SliceEndpoint {
  return {
    addresses: [ip],
    conditions: { ready, serving: null, terminating: null },
    nodeName,
    hints: { forZones: [], forNodes: [] },
  };
}
