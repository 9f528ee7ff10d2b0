/** A node with real routes, where from_wire of tc and of XDP meet the same frames on the same maps. */

import type { ExecutionContext } from 'ava';
import type { TestResult } from 'libbpf-ts';
import { inside } from '../test/netns/inside.ts';
import { createLab, type Lab, type Node } from '../test/netns/lab.ts';
import { parse } from '../test/netns/packet.ts';
import { type BackendText, loadPrograms, loadXdp, nowSeconds, type Programs, verdict, xdpVerdict } from './fixture.ts';
import { back, packet, type Way, wayOf } from './way.ts';

export interface Cast {
  readonly family: 'IPv4' | 'IPv6';
  readonly client: string;
  readonly vip: string;
  readonly node: string;
  readonly gateway: string;
  /** Behind the other node, and behind another device. */
  readonly there: BackendText;
  readonly aside: BackendText;
}

export const casts: readonly Cast[] = [
  {
    family: 'IPv4',
    client: '192.0.2.10',
    vip: '10.96.0.1',
    node: '192.168.50.1',
    gateway: '192.168.50.254',
    there: ['10.1.2.11', 8081],
    aside: ['10.8.0.11', 8081],
  },
  {
    family: 'IPv6',
    client: '2001:db8::10',
    vip: 'fd00:10:96::1',
    node: 'fd00:50::1',
    gateway: 'fd00:50::fe',
    there: ['fd00:1:2::11', 8081],
    aside: ['fd00:8::11', 8081],
  },
];
export const macs = { gateway: '02:00:00:00:50:fe', other: '02:00:00:00:50:02', aside: '02:00:00:00:08:02' } as const;

export interface Device {
  readonly ifindex: number;
  readonly address: string;
}

export interface Outcome {
  readonly retval: number;
  readonly bytes: Buffer;
  /** Of one run. */
  readonly nanoseconds: number;
}

/** What a client asks for, and what the backend sees of it. */
export interface Served {
  readonly asked: Way;
  readonly there: Way;
}

/** One for each test file. */
export class XdpStage implements AsyncDisposable {
  readonly lab: Lab;
  readonly node: Node;
  /** The way to the other node and to the world, and one to other backends, which takes frames. */
  readonly uplink: Device;
  readonly side: Device;
  #programs: Programs | undefined;
  #xdp: Programs | undefined;

  private constructor(lab: Lab, node: Node, uplink: Device, side: Device) {
    this.lab = lab;
    this.node = node;
    this.uplink = uplink;
    this.side = side;
  }

  static async create(tag: string): Promise<XdpStage> {
    const lab = await createLab({ shape: 'ptp', nodes: 2, podsPerNode: 1, tag });
    const node = lab.node('n1');
    const lines = [
      'link add side type veth peer name beside',
      'link set beside up',
      'link set side up',
      'address add 10.8.1.1/24 dev side',
      'address add fd00:8:1::1/64 dev side nodad',
      'route add 10.8.0.0/24 via 10.8.1.2',
      'route add fd00:8::/64 via fd00:8:1::2',
      ...['10.8.1.2', 'fd00:8:1::2'].map((ip) => neighbour(ip, macs.aside, 'side')),
      ...['192.168.50.2', 'fd00:50::2'].map((ip) => neighbour(ip, macs.other)),
      ...casts.map(({ gateway }) => neighbour(gateway, macs.gateway)),
    ];
    await lab.exec(node, ['ip', '-batch', '-'], { input: lines.join('\n') });
    const [uplink] = JSON.parse(await lab.exec(node, ['ip', '-j', 'link', 'show', 'eth0']));
    const [side] = JSON.parse(await lab.exec(node, ['ip', '-j', 'link', 'show', 'side']));
    return new XdpStage(lab, node, uplink, side);
  }

  /** Fresh programs and maps. */
  async load(): Promise<void> {
    this.unload();
    this.#programs = await loadPrograms('wire', { flows: 4096, half_open: 4096, backends: 256 });
    this.#xdp = await loadXdp(this.programs);
    this.addWire(this.uplink);
    this.addWire(this.side, { takesFrames: true });
    for (const cast of casts) this.programs.addNodeAddress(cast.node);
  }

  addWire(
    { ifindex, address }: Device,
    xdp: { takesFrames?: boolean; returnsFrames?: boolean; routeMtus?: boolean } = {},
  ): void {
    this.programs.addWire(ifindex, '::', '::', false, { mac: address, ...xdp });
  }

  unload(): void {
    this.#xdp?.[Symbol.dispose]();
    this.#programs?.[Symbol.dispose]();
    this.#xdp = undefined;
    this.#programs = undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.unload();
    await this.lab.close();
  }

  /** Those of tc, with the maps. */
  get programs(): Programs {
    if (this.#programs === undefined) throw new Error('nothing is loaded');
    return this.#programs;
  }

  /** By tc. */
  run(program: 'from_wire' | 'to_wire', frame: Buffer): Outcome {
    return this.#inNode(() => this.programs.run(program, frame, this.uplink.ifindex));
  }

  /** By XDP, with flows used so many seconds ago; again if a second ended meanwhile. */
  async come(frame: Buffer, secondsAgo = 0): Promise<Outcome> {
    return await this.repeat(frame, 1, secondsAgo);
  }

  /** The same so many times, each with what the one before made of it. */
  async repeat(frame: Buffer, times: number, secondsAgo = 0): Promise<Outcome> {
    for (;;) {
      const begun = await this.#used(secondsAgo);
      const outcome = this.#inNode(() => {
        if (this.#xdp === undefined) throw new Error('nothing is loaded');
        return this.#xdp.runXdp('from_wire_xdp', frame, this.uplink.ifindex, times);
      });
      if (nowSeconds() === begun) return outcome;
    }
  }

  async goesUp(t: ExecutionContext, what: string, frame: Buffer, secondsAgo = 0): Promise<void> {
    const { retval, bytes } = await this.come(frame, secondsAgo);
    t.is(retval, xdpVerdict.pass, what);
    t.deepEqual(bytes, frame, `${what}: touched`);
  }

  /** To the uplink, an ACK unless told otherwise. */
  frame(protocol: number, way: Way, extra: Parameters<typeof packet>[2] = {}): Buffer {
    return packet(protocol, way, { ethernet: { destination: this.uplink.address }, flags: 'A', ...extra });
  }

  /** A flow to a backend elsewhere, made by tc and established. */
  established(t: ExecutionContext, cast: Cast, protocol: number, backend: BackendText, sport = 4001): Served {
    this.programs.serve({ address: cast.vip, port: 80, protocol, servicePort: 7, any: [backend] });
    const asked = { source: cast.client, sport, destination: cast.vip, dport: 80 };
    const there = wayOf(parse(this.run('from_wire', this.frame(protocol, asked, { flags: 'S' })).bytes));
    t.like(there, { destination: backend[0], dport: backend[1] });
    for (const [way, flags] of [
      [back(there), 'AS'],
      [asked, 'A'],
      [back(there), 'A'],
    ] as const)
      t.is(this.run('from_wire', this.frame(protocol, way, { flags })).retval, verdict.redirect);
    return { asked, there };
  }

  #inNode(work: () => TestResult): Outcome {
    const { retval, data, nanoseconds } = inside(this.node.netns, work);
    return { retval, bytes: Buffer.from(data), nanoseconds };
  }

  /** As if every flow had its last packet just now, or some seconds ago. Tells this second. */
  async #used(secondsAgo: number): Promise<number> {
    for (;;) {
      const begun = nowSeconds();
      const rows = await this.programs.flows('flows');
      /* the coarse clock of the programs may be a tick behind */
      if (Number((process.hrtime.bigint() / 1_000_000n) % 1000n) < 20 || nowSeconds() !== begun) continue;
      for (const { key, row } of rows) {
        this.programs.setFlow('flows', key, { ...row, seen: (begun - secondsAgo) >>> 0 });
      }
      return begun;
    }
  }
}

function neighbour(address: string, mac: string, device = 'eth0'): string {
  return `neighbour replace ${address} lladdr ${mac} dev ${device} nud permanent`;
}
