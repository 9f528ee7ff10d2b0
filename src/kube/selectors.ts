import { type Labels, objectName, type PodObject, type ServiceObject } from './objects.ts';

/** Finds the Services that select a pod, without looking at all of them. */
export interface SelectorIndex {
  /** The Service `name` comes or goes. */
  change(name: string, service: ServiceObject, comes: boolean): void;
  /** Their 'namespace/name's. */
  selecting(pod: PodObject): string[];
}

export function emptySelectors(): SelectorIndex {
  /** By the first label that each asks for. */
  const byLabel = new Map<string, Map<string, ServiceObject>>();
  return {
    change(name, service, comes) {
      const [first] = Object.entries(service.spec.selector);
      if (first === undefined) return;
      const key = labelKey(service.metadata.namespace, ...first);
      const same = byLabel.get(key) ?? new Map<string, ServiceObject>();
      if (comes) same.set(name, service);
      else same.delete(name);
      if (same.size > 0) byLabel.set(key, same);
      else byLabel.delete(key);
    },
    selecting({ metadata: { namespace, labels } }) {
      return Object.entries(labels).flatMap(([label, value]) =>
        [...(byLabel.get(labelKey(namespace, label, value))?.values() ?? [])]
          .filter(({ spec }) => isSelected(labels, spec.selector))
          .map(objectName),
      );
    },
  };
}

export function labelKey(namespace: string, name: string, value: string): string {
  return `${namespace}/${name}=${value}`;
}

export function isSelected(labels: Labels, selector: Labels): boolean {
  for (const name in selector) if (labels[name] !== selector[name]) return false;
  return true;
}
