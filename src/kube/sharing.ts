import type { ChunkContent } from './chunk.ts';
import type { Conditions, KubeObject, ServiceObject, SliceEndpoint, SliceObject } from './objects.ts';
import { firstOfEquals, slicePacker } from './packed.ts';

const noHints: SliceEndpoint['hints'] = { forZones: [], forNodes: [] };

/** Lets objects share what is equal in many of them, and packs slices: of a large cluster that is most of the memory. */
export function sharer(): (content: ChunkContent) => ChunkContent {
  const shareObject = objectSharer();
  return (content) => ({
    ...content,
    readings: content.readings.map((reading) => ({ ...reading, objects: reading.objects.map(shareObject) })),
  });
}

/** The same for one object after the other. */
export function objectSharer(): (object: KubeObject) => KubeObject {
  const once = firstOfEquals<unknown>();
  const pack = slicePacker();
  /** For plain values, of which there are few different ones. As JSON a node's name is nothing else's: it may be `null`, or a number. */
  const share = <T>(value: T): T => once(JSON.stringify(value), value) as T;

  function shareEndpoint({ addresses, conditions, nodeName, hints }: SliceEndpoint): SliceEndpoint {
    const { ready, serving, terminating } = conditions;
    return {
      addresses,
      conditions: once(`${ready} ${serving} ${terminating}`, conditions) as Conditions,
      nodeName: share(nodeName),
      hints: hints.forZones.length + hints.forNodes.length === 0 ? noHints : hints,
    };
  }

  function shareSlice(slice: SliceObject): SliceObject {
    return pack({ ...slice, ports: share(slice.ports), endpoints: slice.endpoints.map(shareEndpoint) });
  }

  function shareService(service: ServiceObject): ServiceObject {
    const { metadata, spec, status } = service;
    const [first] = spec.clusterIPs;
    const { ipFamilies, sessionAffinityConfig, ports } = spec;
    return {
      kind: 'Service',
      metadata: { ...metadata, creationTimestamp: share(metadata.creationTimestamp) },
      spec: {
        ...spec,
        clusterIP: spec.clusterIP === first ? first : spec.clusterIP,
        ipFamilies: share(ipFamilies),
        sessionAffinityConfig: share(sessionAffinityConfig),
        ports: share(ports),
      },
      status: share(status),
    };
  }

  return (object) => {
    if (object.kind === 'EndpointSlice') return shareSlice(object);
    return object.kind === 'Service' ? shareService(object) : object;
  };
}
