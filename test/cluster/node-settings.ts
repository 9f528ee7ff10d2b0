/** What the programs of a node read: containerd, its CNI plugins and the kubelet. Pure. */
import type { Node } from '../netns/topology.ts';

export interface NodePlace {
  /** A root folder with containerd and the CNI plugins. */
  readonly runtime: string;
  /** The folder of this node. */
  readonly folder: string;
  readonly pauseImage: string;
}

/** In the form of version 2, which containerd 1 and 2 both read. */
export function containerdConfig({ runtime, folder, pauseImage }: NodePlace): string {
  return `
version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs", "io.containerd.internal.v1.opt"]
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${pauseImage}"
  stream_server_address = "127.0.0.1"
  disable_apparmor = true
  # root in a container may lack CAP_SYS_RESOURCE, and then runc may not lower a score
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = false
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "${runtime}/usr/lib/cni"
    conf_dir = "${folder}/cni"
`;
}

/** Routed pods, one veth each, both families. */
export function cniConfig({ podCidr4, podCidr6 }: Node): object {
  const ipam = {
    type: 'host-local',
    dataDir: '/var/lib/cni/networks',
    ranges: [[{ subnet: podCidr4 }], [{ subnet: podCidr6 }]],
    routes: [{ dst: '0.0.0.0/0' }, { dst: '::/0' }],
  };
  const plugins = [
    { type: 'ptp', mtu: 1500, ipam },
    { type: 'portmap', capabilities: { portMappings: true }, snat: true },
  ];
  return { cniVersion: '0.4.0', name: 'pods', plugins };
}

export interface KubeletPlace {
  readonly cgroupRoot: string;
  readonly clientCa: string;
  readonly certificate: string;
  readonly key: string;
  readonly dns: string;
}

export function kubeletConfig({ cgroupRoot, clientCa, certificate, key, dns }: KubeletPlace): object {
  return {
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    failCgroupV1: false,
    cgroupDriver: 'cgroupfs',
    cgroupRoot,
    containerRuntimeEndpoint: 'unix:///run/containerd/containerd.sock',
    authentication: { anonymous: { enabled: false }, webhook: { enabled: true }, x509: { clientCAFile: clientCa } },
    authorization: { mode: 'Webhook' },
    tlsCertFile: certificate,
    tlsPrivateKeyFile: key,
    clusterDNS: [dns],
    clusterDomain: 'cluster.local',
    resolvConf: '',
    imageGCHighThresholdPercent: 100,
    evictionHard: { 'nodefs.available': '0%', 'imagefs.available': '0%', 'memory.available': '1Mi' },
    failSwapOn: false,
    serializeImagePulls: false,
    registryPullQPS: 0,
  };
}
