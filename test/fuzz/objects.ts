/** The objects that a world is made of, as manifests hold them: the fields that somebody here writes or reads. */

export interface Metadata {
  readonly namespace?: string;
  readonly name: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly creationTimestamp?: string;
  readonly annotations?: Readonly<Record<string, string>>;
}

export interface Node {
  readonly kind: 'Node';
  readonly apiVersion: 'v1';
  readonly metadata: Metadata;
  readonly spec?: { readonly podCIDRs?: readonly string[] };
  readonly status: { readonly addresses: readonly { readonly type: string; readonly address: string }[] };
}

export interface Pod {
  readonly kind: 'Pod';
  readonly apiVersion: 'v1';
  readonly metadata: Metadata;
  readonly spec: { readonly nodeName: string };
  readonly status: { readonly podIP: string };
}

export interface ServiceCidr {
  readonly kind: 'ServiceCIDR';
  readonly apiVersion: 'networking.k8s.io/v1';
  readonly metadata: Metadata;
  readonly spec: { readonly cidrs: readonly string[] };
}

export type ServiceType = 'ClusterIP' | 'NodePort' | 'LoadBalancer' | 'ExternalName';
export type Protocol = 'TCP' | 'UDP' | 'SCTP';
export type Policy = 'Cluster' | 'Local';

export interface ServicePort {
  readonly name: string;
  readonly protocol: Protocol;
  readonly port: number;
  readonly nodePort?: number;
}

export interface Service {
  readonly kind: 'Service';
  readonly apiVersion: 'v1';
  readonly metadata: Metadata;
  readonly spec: {
    readonly type: ServiceType;
    readonly clusterIP: string;
    readonly clusterIPs?: readonly string[];
    readonly ipFamilies?: readonly ('IPv4' | 'IPv6')[];
    readonly externalName?: string;
    readonly externalIPs?: readonly string[];
    readonly internalTrafficPolicy?: Policy;
    readonly externalTrafficPolicy?: Policy;
    readonly sessionAffinity?: 'ClientIP' | 'None';
    readonly loadBalancerSourceRanges?: readonly string[];
    readonly allocateLoadBalancerNodePorts?: boolean;
    readonly ports: readonly ServicePort[];
  };
  readonly status?: {
    readonly loadBalancer: {
      readonly ingress: readonly { readonly ip?: string; readonly hostname?: string; readonly ipMode?: string }[];
    };
  };
}

export interface Conditions {
  readonly ready?: boolean;
  readonly serving?: boolean;
  readonly terminating?: boolean;
}

export interface Endpoint {
  readonly addresses: readonly string[];
  readonly nodeName?: string;
  readonly conditions?: Conditions;
  readonly hints?: {
    readonly forZones?: readonly { readonly name: string }[];
    readonly forNodes?: readonly { readonly name: string }[];
  };
}

export interface Slice {
  readonly kind: 'EndpointSlice';
  readonly apiVersion: 'discovery.k8s.io/v1';
  readonly metadata: Metadata;
  readonly addressType: 'IPv4' | 'IPv6' | 'FQDN';
  readonly ports: readonly { readonly name: string; readonly protocol: Protocol; readonly port: number | null }[];
  readonly endpoints: readonly Endpoint[];
}

export type KubernetesObject = Node | Pod | ServiceCidr | Service | Slice;

/** What a person says beside the objects. */
export interface Options {
  readonly node: string;
  readonly detectLocalMode: 'ClusterCIDR' | 'NodeCIDR';
  readonly clusterCidr: readonly string[];
  readonly nodePortAddresses: readonly string[];
  readonly masqueradeAll: boolean;
}

/** The first packet of a connection. */
export interface Flow {
  readonly from: string;
  readonly to: string;
  readonly port: number;
  readonly protocol: 'tcp' | 'udp' | 'sctp';
}

export interface World {
  readonly objects: readonly KubernetesObject[];
  readonly options: Options;
}
