/**
 * The Kubernetes objects that decide what a Service means, cut down to the fields that we read. Names are those of the
 * API. Scalars are kept as text ('' is absent or null): whether the text is a port or an address is judged in `parse`,
 * where one bad value can be left out by itself. Flags are null if absent.
 */
export type Kind = 'Service' | 'EndpointSlice' | 'Endpoints' | 'Pod' | 'Node' | 'ServiceCIDR';
export type KubeObject = ServiceObject | SliceObject | EndpointsObject | PodObject | NodeObject | ServiceCidrObject;

export type Labels = Readonly<Record<string, string>>;

export interface Metadata {
  /** '' for kinds without a namespace, 'default' where one is needed and none was written. */
  readonly namespace: string;
  readonly name: string;
  readonly labels: Labels;
  readonly creationTimestamp: string;
  readonly deletionTimestamp: string;
}

/** When what a slice tells of began to be so, by its controller's clock. */
export const triggerTimeAnnotation = 'endpoints.kubernetes.io/last-change-trigger-time';

/** Which scheduler a Service has; absent: the agent's own. */
export const schedulerAnnotation = 'bpfsvc.dev/scheduler';

export interface Annotated extends Metadata {
  readonly annotations?: { readonly [triggerTimeAnnotation]?: string; readonly [schedulerAnnotation]?: string };
}

export interface ServicePortSpec {
  readonly name: string;
  readonly protocol: string;
  readonly port: string;
  readonly targetPort: string;
  readonly nodePort: string;
}

export interface ServiceSpec {
  readonly type: string;
  readonly clusterIP: string;
  readonly clusterIPs: readonly string[];
  readonly ipFamilies: readonly string[];
  readonly ipFamilyPolicy: string;
  readonly externalIPs: readonly string[];
  readonly loadBalancerSourceRanges: readonly string[];
  readonly allocateLoadBalancerNodePorts: boolean | null;
  readonly internalTrafficPolicy: string;
  readonly externalTrafficPolicy: string;
  readonly healthCheckNodePort: string;
  readonly sessionAffinity: string;
  readonly sessionAffinityConfig: { readonly clientIP: { readonly timeoutSeconds: string } };
  readonly publishNotReadyAddresses: boolean | null;
  readonly trafficDistribution: string;
  /** Empty is the same as absent: it selects nothing. */
  readonly selector: Labels;
  readonly ports: readonly ServicePortSpec[];
}

export interface ServiceObject {
  readonly kind: 'Service';
  /** Without annotations, if nobody wrote one that is read. */
  readonly metadata: Annotated;
  readonly spec: ServiceSpec;
  readonly status: {
    readonly loadBalancer: { readonly ingress: readonly { readonly ip: string; readonly ipMode: string }[] };
  };
}

export interface PortSpec {
  readonly name: string;
  readonly protocol: string;
  readonly port: string;
}

export interface SliceEndpoint {
  readonly addresses: readonly string[];
  readonly conditions: Conditions;
  readonly nodeName: string;
  readonly hints: { readonly forZones: readonly Named[]; readonly forNodes: readonly Named[] };
}

export interface Conditions {
  readonly ready: boolean | null;
  readonly serving: boolean | null;
  readonly terminating: boolean | null;
}

export interface Named {
  readonly name: string;
}

export interface SliceObject {
  readonly kind: 'EndpointSlice';
  /** Without annotations, if it was made from something else. */
  readonly metadata: Annotated;
  readonly addressType: string;
  readonly ports: readonly PortSpec[];
  readonly endpoints: readonly SliceEndpoint[];
}

export interface EndpointAddress {
  readonly ip: string;
  readonly nodeName: string;
}

export interface EndpointsObject {
  readonly kind: 'Endpoints';
  readonly metadata: Metadata;
  readonly subsets: readonly {
    readonly addresses: readonly EndpointAddress[];
    readonly notReadyAddresses: readonly EndpointAddress[];
    readonly ports: readonly PortSpec[];
  }[];
}

export interface Container {
  readonly restartPolicy: string;
  readonly ports: readonly { readonly name: string; readonly containerPort: string; readonly protocol: string }[];
}

export interface PodObject {
  readonly kind: 'Pod';
  readonly metadata: Metadata;
  readonly spec: {
    readonly nodeName: string;
    readonly containers: readonly Container[];
    readonly initContainers: readonly Container[];
  };
  readonly status: {
    readonly phase: string;
    readonly podIP: string;
    readonly podIPs: readonly { readonly ip: string }[];
    readonly conditions: readonly { readonly type: string; readonly status: string }[];
  };
}

export interface NodeObject {
  readonly kind: 'Node';
  readonly metadata: Metadata;
  readonly spec: {
    readonly podCIDR: string;
    readonly podCIDRs: readonly string[];
    readonly taints: readonly { readonly key: string }[];
  };
  readonly status: { readonly addresses: readonly { readonly type: string; readonly address: string }[] };
}

export interface ServiceCidrObject {
  readonly kind: 'ServiceCIDR';
  readonly metadata: Metadata;
  readonly spec: { readonly cidrs: readonly string[] };
}

/** What every source of objects keeps and `parse` reads; keys are `objectKey`. */
export type ObjectStore = ReadonlyMap<string, KubeObject>;

/**
 * 'Service default/web', 'Node worker-1': the key of an object, and what a Problem calls it. Joined, since text that is added up piece
 * by piece keeps its pieces.
 */
export function objectKey(object: { kind: string; metadata: { namespace: string; name: string } }): string {
  const { namespace, name } = object.metadata;
  return namespace === '' ? [object.kind, name].join(' ') : [object.kind, ' ', namespace, '/', name].join('');
}

/** 'default/web' */
export function objectName(object: { metadata: { namespace: string; name: string } }): string {
  return `${object.metadata.namespace}/${object.metadata.name}`;
}

/** Order by code unit, the same on every machine whatever its locale. */
export function byName(a: { metadata: Metadata }, b: { metadata: Metadata }): number {
  const left = objectName(a);
  const right = objectName(b);
  return left < right ? -1 : left > right ? 1 : 0;
}
