import type { KubeObject, Labels, Metadata } from '../objects.ts';
import { headlessLabel, proxyNameLabel } from '../services.ts';
import { serviceNameLabel } from '../slices.ts';

const read = [serviceNameLabel, proxyNameLabel, headlessLabel] as const;

const noList: readonly never[] = [];
const noLabels: Labels = {};

/**
 * An object without what only manifests need: labels by which nobody asks, the age of slices, and selectors, which are for Pods, and those
 * are not watched. Lists take as much room as they have items; grown one by one they take 152 bytes for a single one.
 */
export function trim(object: KubeObject): KubeObject {
  if (object.kind === 'Service') {
    const spec = { ...tight(object.spec), selector: noLabels };
    return { ...object, metadata: trimMetadata(object.metadata), spec, status: tight(object.status) };
  }
  if (object.kind !== 'EndpointSlice') return object;
  const { metadata, ports, endpoints, ...rest } = object;
  return { ...rest, metadata: { ...trimMetadata(metadata), creationTimestamp: '' }, ports: tight(ports), endpoints };
}

function trimMetadata<T extends Metadata>(metadata: T): T {
  const names = read.filter((name) => metadata.labels[name] !== undefined);
  const [first] = names;
  if (first === undefined) return { ...metadata, labels: noLabels };
  // as a literal it shares its shape with the others
  if (names.length === 1) return { ...metadata, labels: { [first]: metadata.labels[first] } };
  return { ...metadata, labels: Object.fromEntries(names.map((name) => [name, metadata.labels[name]])) };
}

/** The same, with lists that have no room to spare. */
function tight<T>(value: T): T {
  if (Array.isArray(value)) return (value.length === 0 ? noList : value.map(tight)) as T;
  if (typeof value !== 'object' || value === null) return value;
  for (const key of Object.keys(value)) {
    const field = value[key as keyof T];
    if (typeof field === 'object') value[key as keyof T] = tight(field);
  }
  return value;
}
