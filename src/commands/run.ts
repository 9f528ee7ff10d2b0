import { hostname } from 'node:os';
import type { Argv, CommandModule } from 'yargs';
import type { LogFormat } from '../log.ts';
import type { DetectorFlags } from './run-options.ts';
import { parseSeconds, UsageError } from './usage.ts';

interface RunFlags extends DetectorFlags {
  manifests?: string;
  cleanup: boolean;
  node: string;
  cgroup?: string;
  pinDir?: string;
  serviceCidr?: string;
  nodePortRange: string;
  nodeportAddresses: string[];
  device: string[];
  socketUdp: 'auto' | 'host' | 'all';
  mapSize: string[];
  auditInterval: string;
  metricsBindAddress: string;
  verbose: boolean;
  logFormat?: LogFormat;
}

export const command: CommandModule = {
  command: 'run',
  describe: "keep this node's kernel what the manifests say",
  builder,
  handler: (args) => handle(args as unknown as RunFlags),
} as CommandModule;

function builder(cli: Argv): Argv {
  return cli
    .usage(
      '$0 run --manifests FILE|DIR\n\nRuns the agent. When it ends, in whatever way, everything it set up goes on working.',
    )
    .option('manifests', {
      type: 'string',
      requiresArg: true,
      describe: 'YAML or JSON with Services and what is behind them; watched for edits',
    })
    .option('node', {
      type: 'string',
      requiresArg: true,
      default: hostname(),
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
    .option('nodeport-addresses', {
      type: 'string',
      array: true,
      requiresArg: true,
      default: ['primary'],
      defaultDescription: 'primary',
      describe:
        'A,B: on which addresses of the node nodePorts answer: CIDRs, primary, localhost (for its own processes), all',
    })
    .option('cluster-cidr', {
      type: 'string',
      requiresArg: true,
      describe: 'A,B: the addresses of all nodes’ pods, for --detect-local-mode ClusterCIDR',
    })
    .option('detect-local-mode', {
      requiresArg: true,
      choices: ['ClusterCIDR', 'NodeCIDR', 'BridgeInterface', 'InterfaceNamePrefix'] as const,
      default: 'ClusterCIDR' as const,
      describe:
        'what counts as a pod beside those at veths: a source in --cluster-cidr or the Node’s podCIDRs, or a device',
    })
    .option('pod-bridge-interface', {
      type: 'string',
      requiresArg: true,
      describe: 'the bridge of --detect-local-mode BridgeInterface',
    })
    .option('pod-interface-name-prefix', {
      type: 'string',
      requiresArg: true,
      describe: 'how the devices of --detect-local-mode InterfaceNamePrefix are called',
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
    .option('metrics-bind-address', {
      type: 'string',
      requiresArg: true,
      default: '127.0.0.1:10249',
      describe: "IP:PORT where Prometheus finds /metrics; '' for nowhere",
    })
    .option('verbose', {
      alias: 'v',
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
    .option('cleanup', { type: 'boolean', default: false, describe: 'the same as unload' })
    .example('$0 run --manifests shop.yaml', 'serve the Services of a file')
    .example('$0 run --manifests /etc/bpfsvc/ --node worker-1', 'those of a directory, as this Node')
    .example('$0 run --manifests . --map-size flows=1048576', 'with room for half a million flows');
}

async function handle(flags: RunFlags): Promise<void> {
  if (flags.cleanup) return (await import('./unload.ts')).unloadAndTell(flags.pinDir);
  if (flags.manifests === undefined) throw new UsageError('--manifests FILE|DIR is missing');
  const options = await import('./run-options.ts');
  const { parseDetector, parseDevices, parseMetricsAddress, parseNodePortAddresses, parseNodePorts } = options;
  const { parseServiceCidrs, parseSizes } = options;
  const serviceCidrs = flags.serviceCidr === undefined ? undefined : parseServiceCidrs(flags.serviceCidr);
  const nodePortRange = parseNodePorts(flags.nodePortRange);
  const nodePorts = parseNodePortAddresses(flags.nodeportAddresses);
  const detector = parseDetector(flags);
  const devices = parseDevices(flags.device);
  const sizes = parseSizes(flags.mapSize);
  const metricsAddress = parseMetricsAddress(flags.metricsBindAddress);
  const auditSeconds = parseSeconds('--audit-interval', flags.auditInterval);

  const { makeLog } = await import('../log.ts');
  const { startAgent } = await import('../start.ts');
  const isTerminal = process.stderr.isTTY === true;
  const log = makeLog({
    format: flags.logFormat ?? (isTerminal ? 'text' : 'json'),
    verbose: flags.verbose,
    colours: isTerminal && !process.env.NO_COLOR,
  });
  const stop = new AbortController();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => stop.abort());
  await startAgent(
    {
      log,
      manifests: flags.manifests,
      node: flags.node,
      cgroup: flags.cgroup,
      pinDir: flags.pinDir,
      serviceCidrs,
      nodePortRange,
      nodePorts,
      detector,
      devices,
      socketUdp: flags.socketUdp,
      sizes,
      auditSeconds,
      metricsAddress,
    },
    stop.signal,
  );
}
