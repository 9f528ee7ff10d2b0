import type { Logger } from 'pino';
import type { StatusBoard } from './agent-status.ts';
import type { Health } from './health.ts';
import type { KeeperOptions } from './keeper.ts';
import type { Datapath } from './kernel/datapath.ts';
import type { Detector } from './kernel/detector.ts';
import type { Role } from './kernel/devices.ts';
import type { NodePortSelection } from './kernel/node-ports.ts';
import type { Sizes } from './kernel/sizes.ts';
import type { XdpChoice } from './kernel/xdp.ts';
import type { ParseSettings } from './kube/parse.ts';
import type { WatchObjects } from './kube/source.ts';
import type { Metrics } from './metrics.ts';
import type { Address, Cidr } from './model/address.ts';
import type { Problem } from './model/service.ts';

/** What an agent is told: by a person, by what starts it, by tests. */
export interface AgentOptions {
  readonly datapath: Datapath;
  readonly log: Logger;
  /** Where the objects come from. */
  readonly source: WatchObjects;
  readonly node: string;
  readonly parse: ParseSettings;
  /** `--service-cidr`, if a person gave it. */
  readonly serviceCidrs: readonly Cidr[];
  readonly devices: ReadonlyMap<string, Role>;
  /** Where NodePorts answer. */
  readonly nodePorts: NodePortSelection;
  /** What counts as a pod at a wire. */
  readonly detector: Detector;
  /** Who translates the connected UDP sockets of pods: 'host' leaves them to tc, 'all' does not, 'auto' goes by what is attached. */
  readonly socketUdp: 'auto' | 'host' | 'all';
  /** Where XDP runs; nowhere if nobody says. */
  readonly xdp?: XdpChoice;
  /** Flows between two pods of this node go around its stack; the programs must have been told so too. */
  readonly bypass?: boolean;
  readonly sizes: Partial<Sizes>;
  readonly auditSeconds: number;
  /** Which address of this node is its primary one, if a person said so. */
  readonly primaryAddress?: Address | null;
  /** Load balancers may ask at healthCheckNodePorts on the addresses of NodePorts alone; else on all there are. */
  readonly hasNarrowHealthChecks?: boolean;
  /** Who judges whether the agent does its work. */
  readonly health?: Health;
  /** How soon a healthCheckNodePort that is taken is tried again. */
  readonly healthCheckRetryMs?: number;
  /** Who counts what is done. */
  readonly metrics?: Omit<Metrics, 'api'>;
  /** Who tells people how the agent is doing. */
  readonly board?: StatusBoard;
  /** Told what is wrong with objects, after each pass. */
  readonly onProblems?: (problems: readonly Problem[]) => void;
  /** Told when nothing stands in the way of running any more. */
  readonly onStart?: () => void;
  readonly writer?: KeeperOptions['writer'];
}
