/** Cluster DNS: CoreDNS as a Deployment behind a Service of both families. */
import { dnsImage } from './images.ts';

export const dnsAddress = { ip4: '10.96.0.10', ip6: 'fd00:10:96::a' } as const;

const corefile = `.:53 {
  errors
  health
  ready
  kubernetes cluster.local in-addr.arpa ip6.arpa {
    pods insecure
  }
}
`;

const namespace = 'kube-system';
const labels = { 'k8s-app': 'kube-dns' };
const named = (name: string): object => ({ metadata: { name, namespace, labels } });
const ports = [
  { name: 'dns', port: 53, protocol: 'UDP' },
  { name: 'dns-tcp', port: 53, protocol: 'TCP' },
];

export function dnsObjects(): object[] {
  return [...access(), config, deployment, service];
}

function access(): object[] {
  const rules = [
    { apiGroups: [''], resources: ['services', 'pods', 'namespaces'], verbs: ['list', 'watch'] },
    { apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs: ['list', 'watch'] },
  ];
  const api = 'rbac.authorization.k8s.io';
  return [
    { apiVersion: 'v1', kind: 'ServiceAccount', ...named('coredns') },
    { apiVersion: `${api}/v1`, kind: 'ClusterRole', metadata: { name: 'coredns' }, rules },
    {
      apiVersion: `${api}/v1`,
      kind: 'ClusterRoleBinding',
      metadata: { name: 'coredns' },
      roleRef: { apiGroup: api, kind: 'ClusterRole', name: 'coredns' },
      subjects: [{ kind: 'ServiceAccount', name: 'coredns', namespace }],
    },
  ];
}

const config = { apiVersion: 'v1', kind: 'ConfigMap', ...named('coredns'), data: { Corefile: corefile } };

const container = {
  name: 'coredns',
  image: dnsImage,
  args: ['-conf', '/etc/coredns/Corefile'],
  ports: ports.map(({ name, port, protocol }) => ({ name, containerPort: port, protocol })),
  volumeMounts: [{ name: 'config', mountPath: '/etc/coredns' }],
  readinessProbe: { httpGet: { path: '/ready', port: 8181 }, periodSeconds: 1 },
  livenessProbe: { httpGet: { path: '/health', port: 8080 }, failureThreshold: 10 },
};

const deployment = {
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  ...named('coredns'),
  spec: {
    replicas: 2,
    selector: { matchLabels: labels },
    template: {
      metadata: { labels },
      spec: {
        serviceAccountName: 'coredns',
        dnsPolicy: 'Default',
        topologySpreadConstraints: [
          {
            maxSkew: 1,
            topologyKey: 'kubernetes.io/hostname',
            whenUnsatisfiable: 'DoNotSchedule',
            labelSelector: { matchLabels: labels },
          },
        ],
        containers: [container],
        volumes: [{ name: 'config', configMap: { name: 'coredns' } }],
      },
    },
  },
};

const service = {
  apiVersion: 'v1',
  kind: 'Service',
  ...named('kube-dns'),
  spec: {
    selector: labels,
    clusterIP: dnsAddress.ip4,
    clusterIPs: [dnsAddress.ip4, dnsAddress.ip6],
    ipFamilies: ['IPv4', 'IPv6'],
    ipFamilyPolicy: 'RequireDualStack',
    ports,
  },
};
