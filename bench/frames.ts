/**
 * What XDP costs a frame, as packets.ts measures tc. A test run goes on with what the run before left, so a frame must be
 * worth the same work again: the node itself asks two Services, each the other's backend, by a gateway that is the node's own
 * device. Each run takes a hop of its life, so there are no more than those.
 */
import { deepStrictEqual, strictEqual } from 'node:assert';
import { type BpfProgram, loadInstructions } from 'libbpf-ts';
import { TCP, UDP, verdict, xdpVerdict } from '../bpf/fixture.ts';
import { back, type Way, wayOf } from '../bpf/way.ts';
import { type Cast, casts, XdpStage } from '../bpf/xdp-stage.ts';
import { flowState } from '../src/layout.gen.ts';
import { parse } from '../test/netns/packet.ts';
import type { PacketCost } from './packets.ts';
import { quantile } from './statistics.ts';

const LIFE = 255;
const repeat = 250;
const others = { IPv4: '10.96.0.2', IPv6: 'fd00:10:96::2' } as const;

export async function measureFrames(rounds: number): Promise<PacketCost[]> {
  await using stage = await XdpStage.create('frames');
  await stage.load();
  const replaced = casts.map(
    ({ gateway }) => `neighbour replace ${gateway} lladdr ${stage.uplink.address} dev eth0 nud permanent`,
  );
  await stage.lab.exec(stage.node, ['ip', '-batch', '-'], { input: replaced.join('\n') });
  // r0 = XDP_PASS; exit
  using empty = loadInstructions('xdp', Buffer.from('b7000000020000009500000000000000', 'hex'));
  const costs: PacketCost[] = [];
  for (const cast of casts) {
    for (const [name, protocol] of [
      ['TCP', TCP],
      ['UDP', UDP],
    ] as const) {
      const way = await begin(stage, cast, protocol);
      const frame = (one: Way): Buffer =>
        stage.frame(protocol, one, { ip: { ttl: LIFE, hopLimit: LIFE } as never, payload: Buffer.alloc(64) });
      const measure = async (one: Way, returned: number): Promise<number> =>
        await median(rounds, stage, empty, frame(one), returned);
      costs.push({
        program: 'from_wire_xdp',
        packet: `${name} of a flow, ${cast.family}`,
        nanoseconds: await measure(way, xdpVerdict.tx),
        floor: 110,
        goal: 70,
      });
      if (protocol === TCP)
        costs.push({
          program: 'from_wire_xdp',
          packet: `not ours, ${cast.family}`,
          nanoseconds: await measure(back({ ...way, sport: 1 }), xdpVerdict.pass),
          floor: 80,
          goal: 50,
        });
    }
  }
  return costs;
}

async function median(
  rounds: number,
  stage: XdpStage,
  empty: BpfProgram,
  frame: Buffer,
  returned: number,
): Promise<number> {
  const once = async (): Promise<number> => {
    const { retval, nanoseconds } = await stage.repeat(frame, repeat);
    strictEqual(retval, returned);
    return nanoseconds - empty.testRun({ data: frame, repeat }).nanoseconds;
  };
  await once();
  const times: number[] = [];
  // a quarter of a millisecond each: what else the machine does shows, so there are many
  for (let i = 0; i < rounds * 20; i++) times.push(await once());
  return quantile(times, 0.5);
}

/** The flows of one port of the node to both Services. Their answers would end here, so their rows are confirmed by hand. */
async function begin(stage: XdpStage, cast: Cast, protocol: number): Promise<Way> {
  const { programs } = stage;
  const services = [cast.vip, others[cast.family]] as const;
  const ways = services.map((destination): Way => ({ source: cast.node, sport: 40_000, destination, dport: 80 }));
  for (const [i, address] of services.entries())
    programs.serve({ address, port: 80, protocol, servicePort: 7, any: [[services[1 - i] as string, 80]] });
  for (const [i, way] of ways.entries()) {
    const { retval, bytes } = stage.run('from_wire', stage.frame(protocol, way, { flags: 'S' }));
    strictEqual(retval, verdict.redirect);
    deepStrictEqual(wayOf(parse(bytes)), ways[1 - i]);
  }
  for (const { key, row } of await programs.flows('half_open'))
    programs.setFlow('flows', key, { ...row, state: flowState.replied | flowState.promoted });
  return ways[0] as Way;
}
