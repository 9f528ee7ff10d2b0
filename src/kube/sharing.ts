import type { ChunkContent } from './chunk.ts';
import type { Conditions, KubeObject, SliceEndpoint } from './objects.ts';

const noHints: SliceEndpoint['hints'] = { forZones: [], forNodes: [] };

/**
 * Lets the endpoints of slices share what is equal: conditions, names of nodes and having no hints. Of 100,000 endpoints
 * it is most of the memory.
 */
export function sharer(): (content: ChunkContent) => ChunkContent {
  const shareObject = objectSharer();
  return (content) => ({
    ...content,
    readings: content.readings.map((reading) => ({ ...reading, objects: reading.objects.map(shareObject) })),
  });
}

/** The same for one object after the other. */
export function objectSharer(): (object: KubeObject) => KubeObject {
  const conditionsBy = new Map<string, Conditions>();
  const names = new Map<string, string>();
  const once = <T>(known: Map<string, T>, key: string, value: T): T => {
    const present = known.get(key);
    if (present === undefined) known.set(key, value);
    return present ?? value;
  };
  const shareEndpoint = ({ addresses, conditions, nodeName, hints }: SliceEndpoint): SliceEndpoint => ({
    addresses,
    conditions: once(conditionsBy, `${conditions.ready} ${conditions.serving} ${conditions.terminating}`, conditions),
    nodeName: once(names, nodeName, nodeName),
    hints: hints.forZones.length + hints.forNodes.length === 0 ? noHints : hints,
  });
  return (object) =>
    object.kind === 'EndpointSlice' ? { ...object, endpoints: object.endpoints.map(shareEndpoint) } : object;
}
