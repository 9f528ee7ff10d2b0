import * as v from 'valibot';
import { type Annotated, type Kind, type KubeObject, schedulerAnnotation, triggerTimeAnnotation } from './objects.ts';

/*
 * Shapes only: maps are maps, lists are lists, the rest is text. Unknown fields are dropped, null is absent.
 */

const scalar = v.custom<unknown>(isScalar, 'expected text');
const text = v.nullish(v.pipe(scalar, v.transform(String)), '');

/** Never refuses: the place of an item in these lists has a meaning, so a bad one must stay where it is. */
const texts = list(v.pipe(v.unknown(), v.transform(plain)));

const flag = v.nullish(
  v.union([v.boolean(), v.pipe(v.picklist(['true', 'false']), v.transform(isTrue))], 'expected true or false'),
  null,
);

/** A map whose every field has a default. */
function map<const T extends v.ObjectEntries>(entries: T) {
  return v.optional(v.pipe(v.unknown(), v.transform(orEmptyMap), v.object(entries)), {});
}

function list<const T extends v.GenericSchema<unknown, unknown>>(item: T) {
  return v.optional(v.pipe(v.unknown(), v.transform(orEmptyList), v.array(item)), []);
}

const labels = v.optional(v.pipe(v.unknown(), v.transform(orEmptyMap), v.record(v.string(), text)), {});
const metadataFields = { namespace: text, name: text, labels, creationTimestamp: text, deletionTimestamp: text };
const metadata = map(metadataFields);

const service = v.object({
  kind: v.literal('Service'),
  metadata: v.pipe(
    map({ ...metadataFields, annotations: map({ [schedulerAnnotation]: text }) }),
    v.transform((all): Annotated => lean(all)),
  ),
  spec: map({
    type: text,
    clusterIP: text,
    clusterIPs: texts,
    ipFamilies: texts,
    ipFamilyPolicy: text,
    externalIPs: texts,
    loadBalancerSourceRanges: texts,
    allocateLoadBalancerNodePorts: flag,
    internalTrafficPolicy: text,
    externalTrafficPolicy: text,
    healthCheckNodePort: text,
    sessionAffinity: text,
    sessionAffinityConfig: map({ clientIP: map({ timeoutSeconds: text }) }),
    publishNotReadyAddresses: flag,
    trafficDistribution: text,
    selector: labels,
    ports: list(v.object({ name: text, protocol: text, port: text, targetPort: text, nodePort: text })),
  }),
  status: map({ loadBalancer: map({ ingress: list(v.object({ ip: text, ipMode: text })) }) }),
});

const ports = list(v.object({ name: text, protocol: text, port: text }));
const named = list(v.object({ name: text }));

const slice = v.object({
  kind: v.literal('EndpointSlice'),
  metadata: map({ ...metadataFields, annotations: map({ [triggerTimeAnnotation]: text }) }),
  addressType: text,
  ports,
  endpoints: list(
    v.object({
      addresses: texts,
      conditions: map({ ready: flag, serving: flag, terminating: flag }),
      nodeName: text,
      hints: map({ forZones: named, forNodes: named }),
    }),
  ),
});

const addresses = list(v.object({ ip: text, nodeName: text }));

const endpoints = v.object({
  kind: v.literal('Endpoints'),
  metadata,
  subsets: list(v.object({ addresses, notReadyAddresses: addresses, ports })),
});

const containers = list(
  v.object({
    restartPolicy: text,
    ports: list(v.object({ name: text, containerPort: text, protocol: text })),
  }),
);

const pod = v.object({
  kind: v.literal('Pod'),
  metadata,
  spec: map({ nodeName: text, containers, initContainers: containers }),
  status: map({
    phase: text,
    podIP: text,
    podIPs: list(v.object({ ip: text })),
    conditions: list(v.object({ type: text, status: text })),
  }),
});

const node = v.object({
  kind: v.literal('Node'),
  metadata,
  spec: map({ podCIDR: text, podCIDRs: texts, taints: list(v.object({ key: text })) }),
  status: map({ addresses: list(v.object({ type: text, address: text })) }),
});

const serviceCidr = v.object({ kind: v.literal('ServiceCIDR'), metadata, spec: map({ cidrs: texts }) });

/** The kinds we read: a Service of another group (Knative has one) is another thing. */
export const kinds: Readonly<
  Record<Kind, { group: string; namespaced: boolean; schema: v.GenericSchema<unknown, KubeObject> }>
> = {
  Service: { group: '', namespaced: true, schema: service },
  EndpointSlice: { group: 'discovery.k8s.io', namespaced: true, schema: slice },
  Endpoints: { group: '', namespaced: true, schema: endpoints },
  Pod: { group: '', namespaced: true, schema: pod },
  Node: { group: '', namespaced: false, schema: node },
  ServiceCIDR: { group: 'networking.k8s.io', namespaced: false, schema: serviceCidr },
};

/** Most Services have no annotation of ours, and there are many Services. */
function lean({ annotations, ...rest }: Annotated): Annotated {
  return annotations?.[schedulerAnnotation] ? { ...rest, annotations } : rest;
}

function isScalar(value: unknown): boolean {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean';
}

function isTrue(value: 'true' | 'false'): boolean {
  return value === 'true';
}

function plain(value: unknown): string {
  if (value === null || value === undefined) return '';
  return isScalar(value) ? String(value) : Array.isArray(value) ? '(a list)' : '(a map)';
}

function orEmptyMap(value: unknown): unknown {
  return value ?? {};
}

function orEmptyList(value: unknown): unknown {
  return value ?? [];
}
