/**
 * What the programs cost a packet: BPF_PROG_TEST_RUN, less an empty program on the same packet, in alternating rounds. Warm
 * caches and nothing beside it: this says how much work there is, not what a connection feels.
 */
import { type BpfProgram, loadInstructions } from 'libbpf-ts';
import { loadPrograms, type Programs, TCP, UDP } from '../bpf/fixture.ts';
import { back, packet, type Way } from '../bpf/way.ts';
import { frontendFlag } from '../src/layout.gen.ts';
import { quantile } from './statistics.ts';

export interface PacketCost {
  readonly program: string;
  readonly packet: string;
  /** Of one packet, net of an empty program: the median over the rounds. */
  readonly nanoseconds: number;
  /** Not to be exceeded, and what we aim at. */
  readonly floor: number;
  readonly goal: number;
}

/** A packet that costs the same each time. */
interface Case {
  readonly program: string;
  readonly packet: string;
  readonly floor: number;
  readonly goal: number;
  measure(rounds: number): number;
}

const repeat = 100_000;
const newFlows = 2_000;

/** Two Services, each the other's backend: a packet of a flow of either becomes one of the other's, and has the same work. */
const services = ['10.96.0.10', '10.96.0.11'] as const;
const client = '10.1.1.10';
const toService: Way = { source: client, sport: 40_000, destination: services[0], dport: 80 };
const foreign: Way = { source: '10.1.7.7', sport: 40_000, destination: '10.1.8.8', dport: 443 };

/** Test runs come by the loopback device, and what is sent to another's MAC is not looked at on the wire. */
const toLoopback = { destination: '00:00:00:00:00:00' } as const;

export async function measurePackets(rounds: number): Promise<PacketCost[]> {
  using pods = await loadPrograms('tc');
  using wire = await loadPrograms('wire');
  using empty = emptyProgram();
  for (const programs of [pods, wire]) serveEachOther(programs);
  for (const protocol of [TCP, UDP]) begin(pods, protocol);
  const notOurs = { floor: 80, goal: 50 };
  const existing = { floor: 200, goal: 130 };
  const cases: Case[] = [
    ...(['from_pod', 'to_pod'] as const).map((program) =>
      again(pods, program, 'not ours', packet(TCP, foreign, { flags: 'A' }), notOurs),
    ),
    ...(['from_wire', 'to_wire'] as const).map((program) =>
      again(wire, program, 'not ours', packet(TCP, foreign, { flags: 'A', ethernet: toLoopback }), notOurs),
    ),
    ...(
      [
        ['TCP', TCP],
        ['UDP', UDP],
      ] as const
    ).flatMap(([name, protocol]) => [
      again(pods, 'from_pod', `${name} of a flow`, packet(protocol, toService, { flags: 'A' }), existing),
      again(pods, 'to_pod', `${name} of a flow`, packet(protocol, back(toService), { flags: 'A' }), existing),
    ]),
    first(pods, empty, { floor: 2000, goal: 1200 }),
  ];
  return cases.map(({ measure, ...facts }) => ({ ...facts, nanoseconds: measure(rounds) }));

  function again(
    programs: Programs,
    program: string,
    name: string,
    frame: Buffer,
    limits: { floor: number; goal: number },
  ): Case {
    const run = (which: BpfProgram) => which.testRun({ data: frame, repeat }).nanoseconds;
    return {
      program,
      packet: name,
      ...limits,
      measure: (count) => median(count, () => run(programs.program(program)) - run(empty)),
    };
  }
}

/** Each packet begins a flow, so each is a run of its own. */
function first(programs: Programs, empty: BpfProgram, limits: { floor: number; goal: number }): Case {
  let sport = 1024;
  const once = (): number => {
    const frames = Array.from({ length: newFlows }, () => packet(TCP, { ...toService, sport: sport++ % 65_536 }));
    const times = (program: BpfProgram) =>
      quantile(
        frames.map((data) => program.testRun({ data }).nanoseconds),
        0.5,
      );
    const nothing = times(empty);
    return times(programs.program('from_pod')) - nothing;
  };
  return { program: 'from_pod', packet: 'SYN to a Service', ...limits, measure: (count) => median(count, once) };
}

function median(count: number, once: () => number): number {
  once();
  return quantile(Array.from({ length: count }, once), 0.5);
}

function emptyProgram(): BpfProgram {
  // r0 = TC_ACT_UNSPEC; exit
  return loadInstructions('sched_cls', Buffer.from('b7000000ffffffff9500000000000000', 'hex'));
}

function serveEachOther(programs: Programs): void {
  for (const [i, address] of services.entries()) {
    for (const protocol of [TCP, UDP]) {
      const any = [[services[1 - i] as string, 80]] as const;
      programs.serve({ address, port: 80, protocol, servicePort: 7, any, flags: frontendFlag.has_endpoint });
    }
  }
}

/** The flows of one client port to both Services, confirmed by both sides. */
function begin(programs: Programs, protocol: number): void {
  const ways = services.map((destination) => ({ ...toService, destination }));
  for (const flags of ['S', 'A']) {
    for (const way of ways) programs.run('from_pod', packet(protocol, way, { flags }));
    for (const way of ways) programs.run('to_pod', packet(protocol, back(way), { flags: flags === 'S' ? 'AS' : 'A' }));
  }
}
