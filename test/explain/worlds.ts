/**
 * What kube-proxy's nftables mode does with a packet, situation by situation, as its own unit tests look at them; where
 * bpfsvc keeps a source that kube-proxy replaces, the README says so. Here: pods are 10.60.0.0/16 and fd60::/48, the node
 * is alder (192.0.2.21, then .22), outside is 203.0.113.0/24, remote backends are on birch.
 */
import type { WorldText } from './world.ts';

const pod = '10.60.1.9';
const host = '192.0.2.21';
const host2 = '192.0.2.22';
const client = '203.0.113.5';
const blocked = '203.0.113.130';
const vip = '10.97.0.41';
const lb = '198.51.100.10';
const external = '198.51.100.20';

const http = ['http 80 > 8080 node 31080'];
const both = [['10.60.1.1 alder', '10.60.2.1 birch']];
const all = (star: string) => `dnat 10.60.1.1:8080 10.60.2.1:8080${star}`;
const everywhere = { clusterIP: vip, type: 'LoadBalancer', externalIPs: [external] };

const endless: WorldText = {
  name: 'a Service without endpoints rejects at each of its addresses',
  services: { 'town/empty': { ports: http, lb: [lb], spec: everywhere } },
  flows: {
    [`${pod} > ${vip}:80`]: 'reject',
    [`${client} > ${external}:80`]: 'reject',
    [`${pod} > ${external}:80`]: 'reject',
    [`${pod} > ${host}:31080`]: 'reject',
    [`${client} > ${host}:31080`]: 'reject',
    [`${host} > ${host}:31080`]: 'reject',
    [`${pod} > ${lb}:80`]: 'reject',
    [`${client} > ${lb}:80`]: 'reject',
    [`${host} > ${lb}:80`]: 'reject',
    [`${host} > ${vip}:80`]: 'reject',
  },
};

const clusterIPs: WorldText = {
  name: 'clusterIPs: ports, target ports and protocols',
  services: {
    'town/one': { ports: ['http 80'], slices: [['10.60.1.1 alder']], spec: { clusterIP: vip } },
    'town/many': {
      ports: ['http 80', 'https 443 > 8443', 'dns-udp 53/UDP', 'dns-tcp 53/TCP > 5353', 'dns-sctp 53/SCTP'],
      slices: both,
      spec: { clusterIP: '10.97.0.42' },
    },
  },
  flows: {
    [`${pod} > ${vip}:80`]: 'dnat 10.60.1.1:80',
    [`10.60.1.1 > ${vip}:80`]: 'dnat 10.60.1.1:80*',
    [`${pod} > 10.97.0.42:80`]: 'dnat 10.60.1.1:80 10.60.2.1:80',
    [`${pod} > 10.97.0.42:443`]: 'dnat 10.60.1.1:8443 10.60.2.1:8443',
    [`${pod} > 10.97.0.42:53/tcp`]: 'dnat 10.60.1.1:5353 10.60.2.1:5353',
    [`${pod} > 10.97.0.42:53/udp`]: 'dnat 10.60.1.1:53 10.60.2.1:53',
    [`${pod} > 10.97.0.42:53/sctp`]: 'dnat 10.60.1.1:53 10.60.2.1:53',
    [`${pod} > 10.97.0.42:80/udp`]: 'reject',
    [`${pod} > ${vip}:443`]: 'reject',
    [`${pod} > 10.97.0.50:80`]: 'drop',
    [`${host} > 10.97.0.50:80`]: 'drop',
    [`${client} > 10.97.0.50:80`]: 'drop',
    [`${host} > ${vip}:443`]: 'reject',
    [`${client} > ${vip}:443`]: 'reject',
    [`${host} > 10.97.0.42:53/udp`]: 'dnat 10.60.1.1:53 10.60.2.1:53',
    [`${client} > 10.97.0.42:53/udp`]: 'dnat 10.60.1.1:53 10.60.2.1:53*',
    [`${pod} > 8.8.8.8:53/udp`]: 'pass',
    [`${pod} > 10.60.2.1:80`]: 'pass',
  },
};

const ranges: WorldText = {
  name: 'loadBalancerSourceRanges guard load balancer IPs, against everybody, and nothing else',
  services: {
    'town/guarded': {
      ports: http,
      slices: [['10.60.2.1 -']],
      lb: [lb, '198.51.100.11'],
      spec: { ...everywhere, loadBalancerSourceRanges: ['192.0.2.0/24', ' 203.0.113.0/25'] },
    },
  },
  flows: {
    [`${pod} > ${vip}:80`]: 'dnat 10.60.2.1:8080',
    [`${client} > ${host}:31080`]: 'dnat 10.60.2.1:8080*',
    [`${blocked} > ${host}:31080`]: 'dnat 10.60.2.1:8080*',
    [`${blocked} > ${external}:80`]: 'dnat 10.60.2.1:8080*',
    [`${client} > ${lb}:80`]: 'dnat 10.60.2.1:8080*',
    [`${client} > 198.51.100.11:80`]: 'dnat 10.60.2.1:8080*',
    [`${blocked} > ${lb}:80`]: 'drop',
    [`${blocked} > 198.51.100.11:80`]: 'drop',
    [`${pod} > ${lb}:80`]: 'drop',
    [`${host} > ${lb}:80`]: 'dnat 10.60.2.1:8080',
    [`${host2} > 198.51.100.11:80`]: 'dnat 10.60.2.1:8080',
    [`${lb} > ${lb}:80`]: 'dnat 10.60.2.1:8080*',
    '198.51.100.11 > 198.51.100.11:80': 'dnat 10.60.2.1:8080*',
    [`${blocked} > ${lb}:81`]: 'pass',
  },
};

const rangesWithoutNode: WorldText = {
  name: 'source ranges that leave the node out, and one that is a pod network',
  services: {
    'town/guarded': {
      ports: http,
      slices: both,
      lb: [lb],
      spec: { ...everywhere, loadBalancerSourceRanges: ['10.60.1.0/24'] },
    },
    'town/other': {
      ports: ['http 80 > 8080'],
      slices: both,
      lb: ['198.51.100.12'],
      spec: { clusterIP: '10.97.0.43', type: 'LoadBalancer', loadBalancerSourceRanges: ['2001:db8::/32'] },
    },
    'town/nobody': {
      ports: ['http 80'],
      lb: ['198.51.100.13'],
      spec: { clusterIP: '10.97.0.44', type: 'LoadBalancer', loadBalancerSourceRanges: ['203.0.113.0/25'] },
    },
  },
  flows: {
    [`${pod} > ${lb}:80`]: all(''),
    [`${host} > ${lb}:80`]: 'drop',
    [`${client} > ${lb}:80`]: 'drop',
    [`${lb} > ${lb}:80`]: 'drop',
    [`${client} > 198.51.100.12:80`]: all('*'),
    [`${client} > 198.51.100.13:80`]: 'reject',
    [`${blocked} > 198.51.100.13:80`]: 'drop',
  },
};

function nodePorts(name: string, given: string[] | undefined, secondary: boolean, family: 4 | 6): WorldText {
  const [clusterIP, here, there] =
    family === 4 ? [vip, '10.60.1.1', '10.60.2.1'] : ['fd97::41', 'fd60::1:1', 'fd60::2:1'];
  const [from, own, own2, outside] =
    family === 4 ? [pod, host, host2, client] : ['fd60::1:3', '2001:db8::21', '2001:db8::22', '2600:5200::1'];
  const text = (address: string, port: number) => (family === 4 ? `${address}:${port}` : `[${address}]:${port}`);
  const set = (star: string) => `dnat ${text(here, 8080)} ${text(there, 8080)}${star}`;
  return {
    name: `nodePorts, IPv${family}: ${name}`,
    services: {
      'town/shop': { ports: http, slices: [[`${there} -`, `${here} alder`]], spec: { clusterIP, type: 'NodePort' } },
    },
    flows: {
      [`${from} > ${text(clusterIP, 80)}`]: set(''),
      [`${outside} > ${text(own, 31080)}`]: set('*'),
      [`${own} > ${text(own, 31080)}`]: set(''),
      [`${from} > ${text(own, 31080)}`]: set(''),
      [`${outside} > ${text(own2, 31080)}`]: secondary ? set('*') : 'pass',
      [`${own} > ${text(own2, 31080)}`]: secondary ? set('') : 'pass',
      [`${outside} > ${text(own, 31081)}`]: 'pass',
      [`${outside} > ${text(own, 31080)}/udp`]: 'pass',
    },
    ...(given && { options: { nodePortAddresses: given } }),
  };
}

const etpLocal: WorldText = {
  name: 'externalTrafficPolicy Local: clients from outside get what is here, unmasqueraded; others all',
  services: {
    'town/local': { ports: http, slices: both, lb: [lb], spec: { ...everywhere, externalTrafficPolicy: 'Local' } },
  },
  flows: {
    [`${pod} > ${vip}:80`]: all(''),
    [`${client} > ${vip}:80`]: all('*'),
    [`${pod} > ${external}:80`]: all(''),
    [`${client} > ${external}:80`]: 'dnat 10.60.1.1:8080',
    [`${pod} > ${lb}:80`]: all(''),
    [`${client} > ${lb}:80`]: 'dnat 10.60.1.1:8080',
    [`${pod} > ${host}:31080`]: all(''),
    [`${client} > ${host}:31080`]: 'dnat 10.60.1.1:8080',
    [`${host} > ${host}:31080`]: all(''),
    [`${host} > ${lb}:80`]: all(''),
    [`${host} > ${vip}:80`]: all(''),
  },
};

const etpCluster: WorldText = {
  name: 'externalTrafficPolicy Cluster: everybody gets all, and only answers of remote backends to outside need the node',
  services: {
    'town/any': { ports: http, slices: both, lb: [lb], spec: { ...everywhere, externalTrafficPolicy: 'Cluster' } },
  },
  flows: {
    [`${pod} > ${vip}:80`]: all(''),
    [`${pod} > ${external}:80`]: all(''),
    [`${client} > ${external}:80`]: all('*'),
    [`${pod} > ${lb}:80`]: all(''),
    [`${client} > ${lb}:80`]: all('*'),
    [`${pod} > ${host}:31080`]: all(''),
    [`${client} > ${host}:31080`]: all('*'),
  },
};

const masqueradeAll: WorldText = {
  ...etpCluster,
  name: 'masquerade-all: every backend sees the node, whoever asks',
  options: { masqueradeAll: true },
  flows: {
    [`${pod} > ${vip}:80`]: 'dnat 10.60.1.1:8080* 10.60.2.1:8080*',
    [`${pod} > ${lb}:80/udp`]: 'pass',
    [`10.60.1.1 > ${vip}:80`]: 'dnat 10.60.1.1:8080* 10.60.2.1:8080*',
    [`${pod} > ${host}:31080`]: 'dnat 10.60.1.1:8080* 10.60.2.1:8080*',
    [`${client} > ${external}:80`]: 'dnat 10.60.1.1:8080* 10.60.2.1:8080*',
    [`${client} > ${vip}:80`]: 'dnat 10.60.1.1:8080* 10.60.2.1:8080*',
    [`${host} > ${vip}:80`]: all(''),
  },
};

const masqueradeAllLocal: WorldText = {
  ...etpLocal,
  name: 'masquerade-all under externalTrafficPolicy Local: at the clusterIP only',
  options: { masqueradeAll: true },
  flows: {
    [`${pod} > ${vip}:80`]: 'dnat 10.60.1.1:8080* 10.60.2.1:8080*',
    [`${pod} > ${lb}:80`]: all(''),
    [`${client} > ${lb}:80`]: 'dnat 10.60.1.1:8080',
    [`${client} > ${host}:31080`]: 'dnat 10.60.1.1:8080',
    [`${host} > ${lb}:80`]: all(''),
  },
};

const noDetector: WorldText = {
  ...etpLocal,
  name: 'without a cluster CIDR there are no pods: externalTrafficPolicy Local binds them too',
  options: { clusterCidr: null },
  flows: {
    [`${pod} > ${host}:31080`]: 'dnat 10.60.1.1:8080',
    [`${pod} > ${lb}:80`]: 'dnat 10.60.1.1:8080',
    [`${host} > ${host}:31080`]: all(''),
    [`${pod} > ${vip}:80`]: all('*'),
  },
};

const podObjects: WorldText = {
  ...etpLocal,
  name: 'Pod objects of this node are pods, those of others are not',
  options: { clusterCidr: null },
  objects: [
    {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'a', namespace: 'town' },
      spec: { nodeName: 'alder' },
      status: { podIP: pod },
    },
    {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'b', namespace: 'town' },
      spec: { nodeName: 'birch' },
      status: { podIP: '10.60.2.3' },
    },
  ],
  flows: {
    [`${pod} > ${lb}:80`]: all(''),
    [`10.60.2.3 > ${lb}:80`]: 'dnat 10.60.1.1:8080',
  },
};

function itp(name: string, policy: string | undefined, endpoints: string[], expected: string): WorldText {
  return {
    name: `internalTrafficPolicy ${name}`,
    services: {
      'town/inner': {
        ports: ['- 80 > 8080'],
        slices: [endpoints],
        spec: { clusterIP: vip, ...(policy && { internalTrafficPolicy: policy }) },
      },
    },
    flows: {
      [`${pod} > ${vip}:80`]: expected,
      [`${host} > ${vip}:80`]: expected,
      [`${client} > ${vip}:80`]: expected.replace(/10\.60\.2\.\d:8080/g, '$&*'),
    },
  };
}

const terminatingBase = (policy: string) => ({ clusterIP: vip, type: 'LoadBalancer', externalTrafficPolicy: policy });

function terminating(
  name: string,
  policy: 'Local' | 'Cluster',
  endpoints: string[],
  fromPod: string,
  fromOutside: string,
): WorldText {
  return {
    name: `terminating endpoints, externalTrafficPolicy ${policy}: ${name}`,
    services: { 'town/end': { ports: ['- 80'], slices: [endpoints], lb: [lb], spec: terminatingBase(policy) } },
    flows: {
      [`${pod} > ${vip}:80`]: fromPod,
      [`${client} > ${lb}:80`]: fromOutside,
      [`${host} > ${lb}:80`]: fromPod,
    },
  };
}

const policies: WorldText = {
  name: 'policies of three Services, from everywhere to everything',
  services: {
    'town/plain': { ports: http, slices: both, lb: [lb], spec: { clusterIP: vip, type: 'LoadBalancer' } },
    'town/outer': {
      ports: ['http 80 > 8080 node 31082'],
      slices: both,
      lb: ['198.51.100.12'],
      spec: { clusterIP: '10.97.0.42', type: 'LoadBalancer', externalTrafficPolicy: 'Local' },
    },
    'town/inner': {
      ports: ['http 80 > 8080 node 31083'],
      slices: both,
      lb: ['198.51.100.13'],
      spec: { clusterIP: '10.97.0.43', type: 'LoadBalancer', internalTrafficPolicy: 'Local' },
    },
  },
  flows: {
    [`${pod} > ${vip}:80`]: all(''),
    [`${pod} > ${host}:31080`]: all(''),
    [`${pod} > ${lb}:80`]: all(''),
    [`${host} > ${vip}:80`]: all(''),
    [`${host} > ${host}:31080`]: all(''),
    [`${host} > ${lb}:80`]: all(''),
    [`${client} > ${vip}:80`]: all('*'),
    [`${client} > ${host}:31080`]: all('*'),
    [`${client} > ${lb}:80`]: all('*'),
    [`${pod} > 10.97.0.42:80`]: all(''),
    [`${pod} > ${host}:31082`]: all(''),
    [`${pod} > 198.51.100.12:80`]: all(''),
    [`${host} > 10.97.0.42:80`]: all(''),
    [`${host} > ${host}:31082`]: all(''),
    [`${host} > 198.51.100.12:80`]: all(''),
    [`${client} > 10.97.0.42:80`]: all('*'),
    [`${client} > ${host}:31082`]: 'dnat 10.60.1.1:8080',
    [`${client} > 198.51.100.12:80`]: 'dnat 10.60.1.1:8080',
    [`${pod} > 10.97.0.43:80`]: 'dnat 10.60.1.1:8080',
    [`${pod} > ${host}:31083`]: all(''),
    [`${pod} > 198.51.100.13:80`]: all(''),
    [`${host} > 10.97.0.43:80`]: 'dnat 10.60.1.1:8080',
    [`${host} > ${host}:31083`]: all(''),
    [`${host} > 198.51.100.13:80`]: all(''),
    [`${client} > 10.97.0.43:80`]: 'dnat 10.60.1.1:8080',
    [`${client} > ${host}:31083`]: all('*'),
    [`${client} > 198.51.100.13:80`]: all('*'),
  },
};

const bothLocal: WorldText = {
  name: 'both policies Local and nobody here: dropped, but for pods and the node at external addresses',
  services: {
    'town/away': {
      ports: http,
      slices: [['10.60.2.1 birch', '10.60.3.1 cedar']],
      lb: [lb],
      spec: { ...everywhere, externalTrafficPolicy: 'Local', internalTrafficPolicy: 'Local' },
    },
  },
  flows: {
    [`${pod} > ${vip}:80`]: 'drop',
    [`${host} > ${vip}:80`]: 'drop',
    [`${client} > ${vip}:80`]: 'drop',
    [`${client} > ${lb}:80`]: 'drop',
    [`${client} > ${external}:80`]: 'drop',
    [`${client} > ${host}:31080`]: 'drop',
    [`${pod} > ${lb}:80`]: 'dnat 10.60.2.1:8080 10.60.3.1:8080',
    [`${pod} > ${host}:31080`]: 'dnat 10.60.2.1:8080 10.60.3.1:8080',
    [`${host} > ${host}:31080`]: 'dnat 10.60.2.1:8080 10.60.3.1:8080',
    [`${host} > ${external}:80`]: 'dnat 10.60.2.1:8080 10.60.3.1:8080',
  },
};

function hints(name: string, endpoints: string[], expected: string, zone?: string): WorldText {
  return {
    name: `hints: ${name}`,
    ...(zone !== undefined && { zone }),
    services: { 'town/near': { ports: ['http 80'], slices: [endpoints], spec: { clusterIP: vip } } },
    flows: { [`${pod} > ${vip}:80`]: expected, [`${host} > ${vip}:80`]: expected },
  };
}

const affinity: WorldText = {
  name: 'session affinity: backends are those that a client without a past could get',
  services: {
    'town/loyal': {
      ports: http,
      slices: both,
      lb: [lb],
      spec: {
        ...everywhere,
        sessionAffinity: 'ClientIP',
        sessionAffinityConfig: { clientIP: { timeoutSeconds: 10800 } },
      },
    },
  },
  flows: {
    [`${pod} > ${vip}:80`]: all(''),
    [`${client} > ${lb}:80`]: all('*'),
    [`${client} > ${host}:31080`]: all('*'),
    [`${host} > ${vip}:80`]: all(''),
  },
};

const scheduled: WorldText = {
  name: 'schedulers: backends are all that somebody could get',
  services: Object.fromEntries(
    ['rr', 'lc', 'sed', 'nq', 'sh', 'dh', 'maglev', 'lblc'].map((scheduler, n) => [
      `town/${scheduler}`,
      {
        ports: [`http 80 > 8080 node ${31_100 + n}`],
        slices: both,
        annotations: { 'bpfsvc.dev/scheduler': scheduler },
        spec: { clusterIP: `10.97.1.${n}`, type: 'NodePort' },
      },
    ]),
  ),
  flows: Object.fromEntries(
    Array.from({ length: 8 }, (_, n) => [
      [`${pod} > 10.97.1.${n}:80`, all('')],
      [`${client} > ${host}:${31_100 + n}`, all('*')],
      [`${host} > 10.97.1.${n}:80`, all('')],
    ]).flat(),
  ),
};

const dualStack: WorldText = {
  name: 'dual stack: each family has its own clusterIP, endpoints and ranges',
  services: {
    'town/two': {
      ports: http,
      slices: [['10.60.2.1 birch'], ['fd60::2:1 birch', 'fd60::1:1 alder']],
      lb: [lb, '2001:db8:100::1'],
      spec: {
        clusterIP: vip,
        clusterIPs: [vip, 'fd97::41'],
        ipFamilies: ['IPv4', 'IPv6'],
        type: 'LoadBalancer',
        loadBalancerSourceRanges: ['203.0.113.0/25'],
      },
    },
    'town/four': {
      ports: ['http 80'],
      slices: [['10.60.1.1 alder'], ['fd60::1:1 alder']],
      spec: { clusterIP: '10.97.0.42', ipFamilies: ['IPv4'] },
    },
    'town/six': {
      ports: ['http 80'],
      slices: [['10.60.1.1 alder']],
      spec: { clusterIP: 'fd97::43', ipFamilies: ['IPv6'] },
    },
  },
  flows: {
    [`${pod} > ${vip}:80`]: 'dnat 10.60.2.1:8080',
    'fd60::1:3 > [fd97::41]:80': 'dnat [fd60::1:1]:8080 [fd60::2:1]:8080',
    [`${blocked} > ${lb}:80`]: 'drop',
    '2600:5200::1 > [2001:db8:100::1]:80': 'dnat [fd60::1:1]:8080 [fd60::2:1]:8080*',
    [`${client} > ${host}:31080`]: 'dnat 10.60.2.1:8080*',
    '2600:5200::1 > [2001:db8::21]:31080': 'dnat [fd60::1:1]:8080 [fd60::2:1]:8080*',
    [`${pod} > 10.97.0.42:80`]: 'dnat 10.60.1.1:80',
    'fd60::1:3 > [fd97::43]:80': 'reject',
    'fd60::1:3 > [fd97::50]:80': 'drop',
    '2001:db8::21 > [fd97::41]:80': 'dnat [fd60::1:1]:8080 [fd60::2:1]:8080',
    'fd60::1:1 > [fd97::41]:80': 'dnat [fd60::1:1]:8080* [fd60::2:1]:8080',
  },
};

const sctp: WorldText = {
  name: 'SCTP: at its own port number, from pods and from outside',
  services: {
    'town/signal': {
      ports: ['ss7 7000/SCTP node 31070'],
      slices: both,
      lb: [lb],
      spec: { ...everywhere, externalIPs: [host] },
    },
    'town/shifted': { ports: ['ss7 7000/SCTP > 7001'], slices: both, spec: { clusterIP: '10.97.0.42' } },
    'town/mute': { ports: ['ss7 7000/SCTP node 31071'], spec: { clusterIP: '10.97.0.43', type: 'NodePort' } },
    'town/six': {
      ports: ['ss7 7000/SCTP'],
      slices: [['fd60::1:1 alder', 'fd60::2:1 birch']],
      spec: { clusterIP: 'fd97::44' },
    },
  },
  flows: {
    [`${pod} > ${vip}:7000/sctp`]: 'dnat 10.60.1.1:7000 10.60.2.1:7000',
    [`10.60.1.1 > ${vip}:7000/sctp`]: 'dnat 10.60.1.1:7000* 10.60.2.1:7000',
    [`${client} > ${lb}:7000/sctp`]: 'dnat 10.60.1.1:7000 10.60.2.1:7000*',
    [`${client} > ${vip}:7000/sctp`]: 'dnat 10.60.1.1:7000 10.60.2.1:7000*',
    [`${client} > ${host}:31070/sctp`]: 'pass',
    [`${client} > ${host}:31071/sctp`]: 'reject',
    [`${host} > ${vip}:7000/sctp`]: 'drop',
    [`${host} > ${host}:7000/sctp`]: 'pass',
    [`${pod} > ${vip}:7000/tcp`]: 'reject',
    [`${pod} > 10.97.0.42:7000/sctp`]: 'reject',
    [`${pod} > 10.97.0.43:7000/sctp`]: 'reject',
    'fd60::1:9 > [fd97::44]:7000/sctp': 'dnat [fd60::1:1]:7000 [fd60::2:1]:7000',
  },
};

const notOurs: WorldText = {
  name: 'Services that are left to others claim nothing',
  services: {
    'town/headless': { ports: ['rpc 80/UDP'], slices: [['10.60.1.1 alder']], spec: { clusterIP: 'None' } },
    'town/elsewhere': {
      ports: ['http 80'],
      spec: { type: 'ExternalName', clusterIP: vip, externalName: 'example.com' },
    },
    'town/mesh': {
      ports: http,
      slices: both,
      labels: { 'service.kubernetes.io/service-proxy-name': 'mesh' },
      lb: [lb],
      spec: { clusterIP: '10.97.0.42', type: 'LoadBalancer' },
    },
    'town/left-to-dns': {
      ports: ['http 80'],
      slices: both,
      labels: { 'service.kubernetes.io/headless': '' },
      spec: { clusterIP: '10.97.0.43' },
    },
  },
  flows: {
    [`${pod} > ${vip}:80`]: 'drop',
    [`${pod} > 10.60.1.1:80/udp`]: 'pass',
    [`${pod} > 10.97.0.42:80`]: 'drop',
    [`${client} > ${lb}:80`]: 'pass',
    [`${client} > ${host}:31080`]: 'pass',
    [`${pod} > 10.97.0.43:80`]: 'drop',
  },
};

const slices: WorldText = {
  name: 'slices: several of one Service, other families, labels of others, the same endpoint twice',
  services: {
    'town/spread': {
      ports: ['http 80'],
      slices: [['10.60.1.1 alder'], ['10.60.2.1 birch', '10.60.1.1 alder leaving'], ['fd60::1:1 alder']],
      spec: { clusterIP: vip },
    },
    'town/stolen': {
      ports: ['http 80'],
      slices: [['10.60.1.1 alder']],
      sliceLabels: { 'service.kubernetes.io/service-proxy-name': 'mesh' },
      spec: { clusterIP: '10.97.0.42' },
    },
    'town/unsaid': {
      ports: ['http 80'],
      slices: [['10.60.1.1 alder unsaid', '10.60.2.1 - unsaid']],
      spec: { clusterIP: '10.97.0.43' },
    },
    'town/renamed': { ports: ['http 80'], spec: { clusterIP: '10.97.0.44' } },
  },
  objects: [
    {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { namespace: 'town', name: 'renamed-1', labels: { 'kubernetes.io/service-name': 'renamed' } },
      addressType: 'IPv4',
      ports: [{ name: 'web', protocol: 'TCP', port: 80 }],
      endpoints: [{ addresses: ['10.60.1.1'] }],
    },
  ],
  flows: {
    [`${pod} > ${vip}:80`]: 'dnat 10.60.1.1:80 10.60.2.1:80',
    [`${pod} > 10.97.0.42:80`]: 'reject',
    [`${pod} > 10.97.0.43:80`]: 'dnat 10.60.1.1:80 10.60.2.1:80',
    [`${pod} > 10.97.0.44:80`]: 'reject',
  },
};

const loadBalancers: WorldText = {
  name: 'load balancer IPs: only those in mode VIP, of the right family, never host names',
  services: {
    'town/lb': {
      ports: ['http 80 > 8080'],
      slices: both,
      lb: [
        { ip: lb, ipMode: 'VIP' },
        { ip: '198.51.100.11', ipMode: 'Proxy' },
        { hostname: 'lb.example.com' },
        { ip: '198.51.100.12' },
        { ip: '2001:db8:100::1' },
      ],
      spec: { clusterIP: vip, type: 'LoadBalancer', allocateLoadBalancerNodePorts: false },
    },
  },
  flows: {
    [`${client} > ${lb}:80`]: all('*'),
    [`${client} > 198.51.100.11:80`]: 'pass',
    [`${pod} > 198.51.100.11:80`]: 'pass',
    [`${client} > 198.51.100.12:80`]: all('*'),
    '2600:5200::1 > [2001:db8:100::1]:80': 'pass',
  },
};

const clashes: WorldText = {
  name: 'an address that two ask for belongs to the older; an exact address goes before a nodePort',
  services: {
    'town/younger': {
      ports: ['http 80'],
      slices: [['10.60.2.2 birch']],
      created: '2026-02-01T00:00:00Z',
      spec: { clusterIP: '10.97.0.42', externalIPs: [external, host] },
    },
    'town/older': {
      ports: ['http 80'],
      slices: [['10.60.1.2 alder']],
      created: '2026-01-01T00:00:00Z',
      spec: { clusterIP: '10.97.0.43', externalIPs: [external] },
    },
    'town/node': {
      ports: ['http 81 > 8080 node 80'],
      slices: both,
      created: '2025-01-01T00:00:00Z',
      spec: { clusterIP: '10.97.0.44', type: 'NodePort' },
    },
  },
  flows: {
    [`${client} > ${external}:80`]: 'dnat 10.60.1.2:80',
    [`${client} > ${host}:80`]: 'dnat 10.60.2.2:80*',
    [`${client} > ${external}:81`]: 'pass',
  },
};

const proxyName: WorldText = {
  name: 'under a proxy name exactly the Services with it are ours',
  options: { proxyName: 'mesh' },
  services: {
    'town/mesh': {
      ports: ['http 80'],
      slices: both,
      labels: { 'service.kubernetes.io/service-proxy-name': 'mesh' },
      spec: { clusterIP: vip },
    },
    'town/plain': { ports: ['http 80'], slices: both, spec: { clusterIP: '10.97.0.42' } },
  },
  flows: {
    [`${pod} > ${vip}:80`]: 'dnat 10.60.1.1:80 10.60.2.1:80',
    [`${pod} > 10.97.0.42:80`]: 'drop',
  },
};

const hostNetwork: WorldText = {
  name: 'endpoints in the host network, of this node and of another',
  services: {
    'town/hosted': { ports: http, slices: [[`${host} alder`, '192.0.2.31 birch']], lb: [lb], spec: everywhere },
  },
  flows: {
    [`${pod} > ${vip}:80`]: `dnat ${host}:8080 192.0.2.31:8080`,
    [`${host} > ${vip}:80`]: `dnat ${host}:8080 192.0.2.31:8080`,
    [`${client} > ${lb}:80`]: `dnat ${host}:8080 192.0.2.31:8080*`,
    [`${client} > ${host}:31080`]: `dnat ${host}:8080 192.0.2.31:8080*`,
  },
};

const localhost: WorldText = {
  name: 'nodePorts on localhost are for the node itself',
  options: { nodePortAddresses: ['localhost', '192.0.2.0/24'] },
  services: { 'town/shop': { ports: http, slices: both, spec: { clusterIP: vip, type: 'NodePort' } } },
  flows: {
    '127.0.0.1 > 127.0.0.1:31080': all(''),
    [`${client} > ${host2}:31080`]: all('*'),
    [`${host} > ${host}:31080`]: all(''),
  },
};

export const worlds: readonly WorldText[] = [
  endless,
  clusterIPs,
  ranges,
  rangesWithoutNode,
  nodePorts('the primary address', undefined, false, 4),
  nodePorts('those in ranges', ['192.0.2.0/24', '198.51.100.0/24', '2001:db8::/64'], true, 4),
  nodePorts('all', ['all'], true, 4),
  nodePorts('the primary address', undefined, false, 6),
  nodePorts('those in ranges', ['192.0.2.0/24', '2001:db8::/64'], true, 6),
  nodePorts('none of a family that is not named', ['198.51.100.0/24', '2001:db8::21/128'], false, 6),
  etpLocal,
  etpCluster,
  masqueradeAll,
  masqueradeAllLocal,
  noDetector,
  podObjects,
  itp(
    'is Cluster',
    'Cluster',
    ['10.60.1.1 alder', '10.60.2.1 birch', '10.60.2.2 birch'],
    'dnat 10.60.1.1:8080 10.60.2.1:8080 10.60.2.2:8080',
  ),
  itp('is not said', undefined, ['10.60.1.1 alder', '10.60.2.1 birch'], all('')),
  itp('is Local, one endpoint here', 'Local', ['10.60.1.1 alder', '10.60.2.1 birch'], 'dnat 10.60.1.1:8080'),
  itp(
    'is Local, two endpoints here',
    'Local',
    ['10.60.1.1 alder', '10.60.1.2 alder', '10.60.2.1 birch'],
    'dnat 10.60.1.1:8080 10.60.1.2:8080',
  ),
  itp('is Local, none here', 'Local', ['10.60.2.1 birch', '10.60.2.2 cedar'], 'drop'),
  itp('is Local, none that is usable anywhere', 'Local', ['10.60.2.1 birch unready', '10.60.1.1 alder gone'], 'reject'),
  itp(
    'is Local, one here that terminates',
    'Local',
    ['10.60.1.1 alder leaving', '10.60.2.1 birch'],
    'dnat 10.60.1.1:8080',
  ),
  terminating(
    'ready ones exist',
    'Local',
    ['10.60.1.1 alder', '10.60.1.2 alder', '10.60.1.3 alder leaving', '10.60.1.4 alder gone', '10.60.2.5 birch'],
    'dnat 10.60.1.1:80 10.60.1.2:80 10.60.2.5:80',
    'dnat 10.60.1.1:80 10.60.1.2:80',
  ),
  terminating(
    'only such are here',
    'Local',
    ['10.60.1.2 alder leaving', '10.60.1.3 alder leaving', '10.60.1.4 alder gone', '10.60.2.5 birch'],
    'dnat 10.60.2.5:80',
    'dnat 10.60.1.2:80 10.60.1.3:80',
  ),
  terminating('only such are anywhere, none here', 'Local', ['10.60.2.5 birch leaving'], 'dnat 10.60.2.5:80', 'drop'),
  terminating('none serves any more', 'Local', ['10.60.1.4 alder gone', '10.60.2.5 birch gone'], 'reject', 'reject'),
  terminating(
    'ready ones exist',
    'Cluster',
    ['10.60.1.1 alder', '10.60.1.2 alder', '10.60.2.3 birch leaving', '10.60.2.4 birch gone', '10.60.2.5 birch'],
    'dnat 10.60.1.1:80 10.60.1.2:80 10.60.2.5:80',
    'dnat 10.60.1.1:80 10.60.1.2:80 10.60.2.5:80*',
  ),
  terminating(
    'only such exist',
    'Cluster',
    ['10.60.1.2 alder leaving', '10.60.1.3 alder leaving', '10.60.2.4 birch gone', '10.60.2.5 birch leaving'],
    'dnat 10.60.1.2:80 10.60.1.3:80 10.60.2.5:80',
    'dnat 10.60.1.2:80 10.60.1.3:80 10.60.2.5:80*',
  ),
  terminating(
    'only such exist, elsewhere',
    'Cluster',
    ['10.60.2.5 birch leaving'],
    'dnat 10.60.2.5:80',
    'dnat 10.60.2.5:80*',
  ),
  terminating('none serves any more', 'Cluster', ['10.60.1.5 alder gone', '10.60.2.5 birch gone'], 'reject', 'reject'),
  policies,
  bothLocal,
  hints(
    'of this zone',
    ['10.60.1.1 alder zones=a', '10.60.2.1 birch zones=b', '10.60.2.2 birch zones=a,b'],
    'dnat 10.60.1.1:80 10.60.2.2:80',
    'a',
  ),
  hints(
    'one endpoint without',
    ['10.60.1.1 alder zones=a', '10.60.2.1 birch zones=b', '10.60.2.2 birch'],
    'dnat 10.60.1.1:80 10.60.2.1:80 10.60.2.2:80',
    'a',
  ),
  hints(
    'none for this zone',
    ['10.60.2.1 birch zones=b', '10.60.2.2 birch zones=c'],
    'dnat 10.60.2.1:80 10.60.2.2:80',
    'a',
  ),
  hints(
    'a node without a zone',
    ['10.60.1.1 alder zones=a', '10.60.2.1 birch zones=b'],
    'dnat 10.60.1.1:80 10.60.2.1:80',
  ),
  hints(
    'who is not ready does not count',
    ['10.60.1.1 alder zones=a', '10.60.2.1 birch zones=b', '10.60.2.2 birch unready'],
    'dnat 10.60.1.1:80',
    'a',
  ),
  hints(
    'of this node go before those of its zone',
    ['10.60.1.1 alder zones=a nodes=alder', '10.60.2.1 birch zones=a nodes=birch'],
    'dnat 10.60.1.1:80',
    'a',
  ),
  hints(
    'of no node here: those of the zone',
    ['10.60.2.1 birch zones=a nodes=birch', '10.60.3.1 cedar zones=b nodes=cedar'],
    'dnat 10.60.2.1:80',
    'a',
  ),
  hints(
    'only who terminates: hints do not count',
    ['10.60.1.1 alder leaving zones=a', '10.60.2.1 birch leaving zones=b'],
    'dnat 10.60.1.1:80 10.60.2.1:80',
    'a',
  ),
  affinity,
  scheduled,
  dualStack,
  sctp,
  notOurs,
  slices,
  loadBalancers,
  clashes,
  proxyName,
  hostNetwork,
  localhost,
];
