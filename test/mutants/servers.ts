import { faults, type Mutant } from './mutant.ts';

const progress = 'src/progress.test.ts';
const health = 'src/health.test.ts';
const services = 'src/service-health.test.ts';
const whole = 'src/servers.test.ts';
const counted = 'src/proxy-metrics.test.ts';
const model = 'src/model/health-check.test.ts';
const flags = 'src/commands/proxy-*.test.ts';
const kube = 'src/kube/*.test.ts';

/** Faults of what load balancers, probes and scrapers are told, and of what kube-proxy's flags and file come to. */
export const servers: readonly Mutant[] = [
  ...faults('src/progress.ts', progress, [
    ['a change that comes again waits anew', 'since: Math.min(earlier.since, later.since)', 'since: later.since'],
    ['what comes during a pass counts as written', 'waiting = new Map();\n      triggers', 'triggers'],
    ['a family that failed has been applied', 'if (!unfinished.has(family)) lastApplied', 'lastApplied'],
    ['a change before the agent is timed', '({ at }) => at > started', '() => true'],
    [
      'a pass that failed has programmed the network',
      "if (failed === 'all') newTriggers.unshift(...triggersUnderWay);",
      '',
    ],
  ]),
  ...faults('src/health.ts', health, [
    ['a minute is too long', 'oldestPending < PATIENCE_MS', 'oldestPending < PATIENCE_MS / 2'],
    ['an unknown Node is eligible', 'this.node !== undefined && !this.node.isLeaving', '!this.node?.isLeaving'],
    [
      'a Node that leaves makes the proxy unhealthy',
      'isHealthy: () => statuses().every(isInTime)',
      'isHealthy() { return this.healthz().code === 200; }',
    ],
    ['what is well is out of date', 'isGood ? currentTime : last || null', 'last || null'],
    ['a family that never came up is left out', '|| !isInTime(status)', ''],
  ]),
  ...faults('src/model/health-check.ts', model, [
    ['who terminates counts', 'if (ready && nodeName', 'if (nodeName'],
    ['others’ endpoints count', '&& nodeName === node.name) here.add', ') here.add'],
    ['families are mixed', 'filter((address) => familyOf(address) === family)', 'filter(() => true)'],
  ]),
  ...faults('src/model/no-local.ts', model, [
    ['a Service with nobody anywhere counts', 'if (!hasAny || local', 'if (local'],
    ['one that is not exposed counts', 'externalLocal && externallyAccessible ?', 'externalLocal ?'],
  ]),
  ...faults('src/service-health.ts', services, [
    ['an unhealthy proxy answers 200', 'localEndpoints > 0 && serviceProxyHealthy ? 200', 'localEndpoints > 0 ? 200'],
    ['a Service that is gone is answered for', 'listener.close();\n        listeners.delete', 'listeners.delete'],
    ['a family that the Service lacks is served', 'if (!check.localEndpoints.has(familyOf(host))) continue;', ''],
    ['each try is told', 'if (listener.fault === fault) return;', ''],
    ['IPv6 takes IPv4’s port', 'isOneFamily: true,', 'isOneFamily: false,'],
  ]),
  ...faults('src/server.ts', whole, [
    ['a crowd takes all file descriptors', 'server.maxConnections = MAX_CONNECTIONS;', ''],
    ['a wildcard serves one family', "(host === '0.0.0.0' || host === '::')", "(host === '::')"],
  ]),
  ...faults('src/agent.ts', whole, [
    ['nobody tells of a port that is taken', 'this.#serviceHealth?.problems ?? []', '[]'],
    ['a listener outlives the agent', 'this.#serviceHealth?.close();', ''],
    ['the Node’s fate is not known', 'this.#health.node = ownNode(after, this.#options.node);', ''],
    ['rows that were refused count as written', 'progress.ended(new Set(owners))', 'progress.ended(new Set())'],
  ]),
  ...faults('src/own-node.ts', whole, [
    ['health checks are everywhere', "isNarrow ? nodePortAddresses : ['0.0.0.0', '::']", "['0.0.0.0', '::']"],
  ]),
  ...faults('src/proxy-metrics.ts', counted, [
    ['changes are counted again at each look', 'counter.reset();', ''],
    ['seconds are milliseconds', 'lastApplied / 1000', 'lastApplied'],
    ['policies change places', "for (const policy of ['internal', 'external'])", "for (const policy of ['external'])"],
  ]),
  ...faults('src/kube/nodes.ts', kube, [
    [
      'the autoscaler’s taint means nothing',
      "metadata.deletionTimestamp !== '' || spec",
      "metadata.deletionTimestamp !== '' && spec",
    ],
  ]),
  ...faults('src/kube/services.ts', kube, [
    ['policy Cluster has health checks', "|| externalTrafficPolicy !== 'Local') return 0;", ') return 0;'],
  ]),
  ...faults('src/kube/service-ports.ts', kube, [
    ['a healthCheckNodePort is handed out', ', spec.healthCheckNodePort];', '];'],
  ]),
  ...faults('src/commands/proxy-options.ts', flags, [
    ['the file wins', 'const said: Said = {\n    ...file,', 'const said: Said = {\n    ...flags,'],
    ['an IPv6 bind address changes nothing', "isIPv6 ? '::1' : '127.0.0.1'", "isIPv6 ? '127.0.0.1' : '127.0.0.1'"],
  ]),
  ...faults('src/commands/proxy-config.ts', flags, [
    [
      'what is empty is said',
      'const why = isEmpty(value) ? undefined : ignored.get(path);',
      'const why = ignored.get(path);',
    ],
    ['masqueradeAll is that of iptables', "config.mode === 'nftables' ? 'nftables' : 'iptables'", "'iptables'"],
  ]),
];
