/** The node that is taken over: two nodes with pods, and Services of every kind that kube-proxy writes other rules for. */
import type { Lab, LabOptions, Node, Pod } from '../netns/lab.ts';
import { manifest, nodeObjects, serviceObjects } from '../netns/objects.ts';

/** The recorded rules hold the addresses that a lab of this form gives. */
export const stageOptions: LabOptions = {
  shape: 'ptp',
  nodes: 2,
  podsPerNode: 2,
  rpFilter: 1,
  firewall: true,
  masquerade: true,
};

export const serviceCidrs = '10.96.0.0/16,fd00:10:96::/112';
export const podCidrs = '10.1.0.0/16,fd00:1::/32';

/** clusterIPs by Service. */
export const vips = {
  web: ['10.96.0.1', 'fd00:10:96::1'],
  local: ['10.96.0.2', 'fd00:10:96::2'],
  sticky: ['10.96.0.3', 'fd00:10:96::3'],
  guarded: ['10.96.0.4', 'fd00:10:96::4'],
  none: ['10.96.0.5', 'fd00:10:96::5'],
  absent: ['10.96.0.6', 'fd00:10:96::6'],
  dns: ['10.96.0.10', 'fd00:10:96::a'],
} as const;

export const nodePorts = { web: 30_080, local: 30_081, none: 30_082, guarded: 30_084 } as const;

const tcp = { name: 'tcp', port: 80, targetPort: 8080, protocol: 'TCP' as const };

export function stageObjects(lab: Lab): object[] {
  const [here, there] = [lab.pod('n1p2'), lab.pod('n2p1')] as [Pod, Pod];
  const udp = { name: 'udp', port: 80, targetPort: 8080, protocol: 'UDP' as const, nodePort: nodePorts.web };
  const dns = { name: 'dns', port: 53, targetPort: 8080, protocol: 'UDP' as const };
  const external = { type: 'LoadBalancer', externalTrafficPolicy: 'Local' };
  return [
    ...nodeObjects(lab),
    ...serviceObjects(
      {
        name: 'web',
        clusterIPs: vips.web,
        ports: [{ ...tcp, nodePort: nodePorts.web }, udp],
        spec: { type: 'NodePort', externalIPs: ['198.51.100.1', '2001:db8:f0::1'] },
      },
      [here, there],
    ),
    ...serviceObjects(
      { name: 'local', clusterIPs: vips.local, ports: [{ ...tcp, nodePort: nodePorts.local }], spec: external },
      [here, there],
    ),
    ...serviceObjects(
      {
        name: 'sticky',
        clusterIPs: vips.sticky,
        ports: [tcp],
        spec: { sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP: { timeoutSeconds: 600 } } },
      },
      [here, there],
    ),
    ...serviceObjects(
      {
        name: 'guarded',
        clusterIPs: vips.guarded,
        ports: [{ ...tcp, nodePort: nodePorts.guarded }],
        spec: { type: 'LoadBalancer', loadBalancerSourceRanges: ['192.168.50.0/24', 'fd00:50::/64'] },
        ingress: ['198.51.100.4', '2001:db8:f0::4'],
      },
      [there],
    ),
    ...serviceObjects(
      {
        name: 'none',
        clusterIPs: vips.none,
        ports: [{ ...tcp, nodePort: nodePorts.none }],
        spec: { type: 'NodePort' },
      },
      [],
    ),
    ...serviceObjects(
      { name: 'absent', clusterIPs: vips.absent, ports: [tcp], spec: { internalTrafficPolicy: 'Local' } },
      [there],
    ),
    ...serviceObjects({ name: 'dns', clusterIPs: vips.dns, ports: [dns] }, [here, there]),
  ];
}

export function stageText(lab: Lab): string {
  return manifest(stageObjects(lab));
}

export type { Lab, Node, Pod };
