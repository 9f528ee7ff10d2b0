import { hostname } from 'node:os';
import type { Argv, CommandModule } from 'yargs';
import { isInCluster } from '../kube/api/cluster-place.ts';
import type { LogFormat } from '../log.ts';
import type { Origin } from '../start.ts';
import { addAgentFlags, addRuleFlags, type ProxyFlags, settleProxy } from './proxy-flags.ts';
import type { ProxyOptions } from './proxy-options.ts';
import { parseSeconds, UsageError } from './usage.ts';

interface RunFlags extends ProxyFlags {
  manifests?: string;
  cleanup: boolean;
  node?: string;
  cgroup?: string;
  pinDir?: string;
  serviceCidr?: string;
  nodePortRange: string;
  device: string[];
  socketUdp: 'auto' | 'host' | 'all';
  xdp: string;
  bypass: boolean;
  mapSize: string[];
  auditInterval: string;
  verbose: boolean;
  logFormat?: LogFormat;
}

export const command: CommandModule = {
  command: 'run',
  describe: "keep this node's kernel what the cluster or manifests say",
  builder,
  handler: (args) => handle(args as unknown as RunFlags),
} as CommandModule;

function builder(cli: Argv): Argv {
  const own = cli
    .usage(
      '$0 run --manifests FILE|DIR\n$0 run --kubeconfig FILE\n\nRuns the agent. When it ends, in whatever way, everything it set up goes on working.',
    )
    .option('manifests', {
      type: 'string',
      requiresArg: true,
      describe: 'YAML or JSON with Services and what is behind them; watched for edits',
    })
    .option('node', {
      type: 'string',
      requiresArg: true,
      defaultDescription: 'the hostname',
      describe: 'whose Node object is ours',
    })
    .option('cgroup', {
      type: 'string',
      requiresArg: true,
      describe: 'cgroup2 directory whose sockets are served',
      defaultDescription: 'the root of the hierarchy',
    })
    .option('pin-dir', {
      type: 'string',
      requiresArg: true,
      describe: 'where things are pinned: one directory for each agent',
      defaultDescription: 'bpfsvc in the BPF filesystem',
    })
    .option('service-cidr', {
      type: 'string',
      requiresArg: true,
      describe: 'A,B: where clusterIPs come from; what no Service has of it does not leave the node',
      defaultDescription: '10.96.0.0/12,fd00:10:96::/112, and those may leave',
    })
    .option('node-port-range', {
      type: 'string',
      requiresArg: true,
      default: '30000-32767',
      describe: 'where nodePorts come from',
    })
    .option('device', {
      type: 'string',
      array: true,
      requiresArg: true,
      default: [],
      describe: 'NAME=pod|wire|none, where the routes tell it wrongly',
    })
    .option('socket-udp', {
      requiresArg: true,
      choices: ['auto', 'host', 'all'] as const,
      default: 'auto' as const,
      describe:
        'whose connected UDP sockets are translated at connect(); auto: those of pods only if no pod device is attached',
    })
    .option('xdp', {
      type: 'string',
      requiresArg: true,
      default: 'auto',
      describe:
        'off|auto|NAME,…: where flows to other nodes are sent on by the driver; auto: hardware whose driver can (see check)',
    })
    .option('bypass', {
      type: 'boolean',
      default: false,
      describe:
        "flows of Services between two pods of this node go around its stack: faster, but past its FORWARD chain and the CNI's programs, so NetworkPolicy",
    })
    .option('map-size', {
      type: 'string',
      array: true,
      requiresArg: true,
      default: [],
      describe: 'MAP=ROWS,…: a fresh start for what else only grows',
    })
    .option('audit-interval', {
      type: 'string',
      requiresArg: true,
      default: '5m',
      describe: 'how often all rows are read back and compared',
    })
    .option('verbose', {
      type: 'boolean',
      default: false,
      describe: 'log what is of interest when looking for a fault',
    })
    .option('log-format', {
      requiresArg: true,
      choices: ['text', 'json'] as const,
      describe: 'how the log is written',
      defaultDescription: 'text on a terminal, else json',
    })
    .option('cleanup', { type: 'boolean', default: false, describe: 'the same as unload' });
  return addAgentFlags(addRuleFlags(own))
    .example('$0 run --manifests shop.yaml', 'serve the Services of a file')
    .example('$0 run --manifests /etc/bpfsvc/ --node worker-1', 'those of a directory, as this Node')
    .example('$0 run --kubeconfig ~/.kube/config', "serve a cluster's, on one of its nodes")
    .example('$0 run --manifests . --map-size flows=1048576', 'with room for half a million flows');
}

async function handle(flags: RunFlags): Promise<void> {
  if (flags.cleanup) return (await import('./unload.ts')).unloadAndTell(flags.pinDir);
  const { options, warnings } = settleProxy(flags);
  const origin = originOf(flags, options);
  const { parseCidrs, parseDevices, parseNodePorts, parseSizes, parseXdp } = await import('./run-options.ts');
  const serviceCidrs = flags.serviceCidr === undefined ? undefined : parseCidrs(flags.serviceCidr, '--service-cidr');
  const nodePortRange = parseNodePorts(flags.nodePortRange);
  const devices = parseDevices(flags.device);
  const xdp = parseXdp(flags.xdp);
  const sizes = parseSizes(flags.mapSize);
  const auditSeconds = parseSeconds('--audit-interval', flags.auditInterval);

  const { makeLog } = await import('../log.ts');
  const { startAgent } = await import('../start.ts');
  const isTerminal = process.stderr.isTTY === true;
  const log = makeLog({
    format: flags.logFormat ?? options.logFormat ?? (isTerminal ? 'text' : 'json'),
    verbose: flags.verbose || options.isVerbose,
    colours: isTerminal && !process.env.NO_COLOR,
  });
  for (const warning of [...warnings, ...inVain(origin, options)]) log.warn(warning);
  const stop = new AbortController();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => stop.abort());
  await startAgent(
    {
      log,
      origin,
      node: flags.node ?? options.node ?? hostname().toLowerCase(),
      primaryAddress: options.primaryAddress,
      cgroup: flags.cgroup,
      pinDir: flags.pinDir,
      serviceCidrs,
      nodePortRange,
      nodePorts: options.nodePorts,
      detector: options.detector,
      masqueradeAll: options.masqueradeAll,
      masqueradeBit: options.masqueradeBit,
      serviceProxyName: flags.serviceProxyName || null,
      scheduler: options.scheduler,
      devices,
      socketUdp: flags.socketUdp,
      xdp,
      bypass: flags.bypass,
      sizes,
      auditSeconds,
      healthzAddress: options.healthzAddress,
      metricsAddress: options.metricsAddress,
      bindHardFail: options.bindHardFail,
    },
    stop.signal,
  );
}

function originOf({ manifests, node }: RunFlags, { apiServer, node: override }: ProxyOptions): Origin {
  if (node !== undefined && override !== null && node !== override) {
    throw new UsageError(`--node ${node} and --hostname-override ${override} name two nodes`);
  }
  if (manifests !== undefined) return { manifests };
  if (apiServer !== null) return { place: apiServer };
  if (isInCluster()) return { place: { kubeconfig: null, master: null } };
  throw new UsageError('--manifests FILE|DIR or --kubeconfig FILE is missing, and this is no pod of a cluster');
}

/** What is understood, and does nothing. */
function inVain(origin: Origin, { apiServer }: ProxyOptions): string[] {
  const isUsed = apiServer === null || 'place' in origin;
  return isUsed ? [] : [`${apiServer.where} is not used: the objects come from --manifests`];
}
