/**
 * SCTP through a Service: only addresses change, since its checksum covers the ports and nothing else could mend it. So whatever
 * comes after the IP header must come out as it went in.
 */
import anyTest, { type ExecutionContext } from 'ava';
import { hook } from '../src/layout.gen.ts';
import { addressFromHex } from '../src/model/address.ts';
import { faults } from '../test/netns/checksum.ts';
import { craft } from '../test/netns/craft.ts';
import { type Packet, parse } from '../test/netns/packet.ts';
import { loadPrograms, type Programs, verdict } from './fixture.ts';

const test = anyTest.serial;
const SCTP = 132;
const sizes = { flows: 2048, half_open: 2048, backends: 256 };
const casts = [
  { family: 'IPv4', client: '10.1.0.1', other: '10.1.0.2', vip: '10.96.0.1', vip2: '10.96.0.2', backend: '10.1.0.9' },
  { family: 'IPv6', client: 'fd01::1', other: 'fd01::2', vip: 'fd96::1', vip2: 'fd96::2', backend: 'fd01::9' },
] as const;

let programs: Programs;
test.beforeEach(async () => {
  programs = await loadPrograms('tc', sizes);
});
test.afterEach.always(() => programs[Symbol.dispose]());

/** A common header, whose tag is 0 in an INIT alone, and a chunk; the checksum is not looked at. */
function sctp(sourcePort: number, destinationPort: number, tag: number): Buffer {
  const bytes = Buffer.alloc(32, 0xab);
  bytes.writeUInt16BE(sourcePort, 0);
  bytes.writeUInt16BE(destinationPort, 2);
  bytes.writeUInt32BE(tag, 4);
  bytes.writeUInt8(tag === 0 ? 1 : 0, 12);
  return bytes;
}

interface Ways {
  readonly from: readonly [address: string, port: number];
  readonly to: readonly [address: string, port: number];
}

interface Sent {
  readonly retval: number;
  readonly out: Packet;
  readonly payload: string;
}

function send(t: ExecutionContext, program: string, { from, to }: Ways, tag = 0): Sent & { readonly sent: string } {
  const payload = sctp(from[1], to[1], tag);
  const frame = craft({ ip: { source: from[0], destination: to[0], protocol: SCTP, nextHeader: SCTP }, payload });
  const { retval, data } = programs.run(program, frame);
  const out = parse(Buffer.from(data));
  t.deepEqual(faults(out), [], `${program} damaged the packet`);
  return { retval, out, payload: out.payload.toString('hex'), sent: payload.toString('hex') };
}

const addresses = ({ ip }: Packet) => [ip?.source, ip?.destination];

for (const { family, client, other, vip, vip2, backend } of casts) {
  const serve = (more: object = {}) =>
    programs.serve({ address: vip, port: 7000, protocol: SCTP, servicePort: 1, any: [[backend, 7000]], ...more });
  const asks: Ways = { from: [client, 40000], to: [vip, 7000] };

  test(`an INIT is translated, what follows goes the same way, and the answers come back: ${family}`, (t) => {
    serve();
    const init = send(t, 'from_pod', asks);
    t.is(init.retval, verdict.unspec);
    t.deepEqual(addresses(init.out), [client, backend]);
    t.is(init.payload, init.sent);
    const answer = send(t, 'to_pod', { from: [backend, 7000], to: [client, 40000] }, 7);
    t.deepEqual(addresses(answer.out), [vip, client]);
    t.is(answer.payload, answer.sent);
    const data = send(t, 'from_pod', asks, 9);
    t.deepEqual(addresses(data.out), [client, backend]);
    t.is(data.payload, data.sent);
    t.is(programs.count(1, 'connected_pod'), 1n);
  });

  test(`what does not begin with an INIT is not ours: ${family}`, (t) => {
    serve();
    const { retval, out } = send(t, 'from_pod', asks, 9);
    t.is(retval, verdict.unspec);
    t.deepEqual(addresses(out), [client, vip]);
  });

  test(`an INIT leaves a backend that left the Service, an association stays with it: ${family}`, (t) => {
    serve();
    send(t, 'from_pod', asks);
    serve({ any: [[other, 7000]] });
    t.deepEqual(addresses(send(t, 'from_pod', asks, 9).out), [client, backend]);
    t.deepEqual(addresses(send(t, 'from_pod', asks).out), [client, other]);
  });

  test(`a port that is taken at the backend cannot become another: ${family}`, (t) => {
    serve();
    programs.serve({ address: vip2, port: 7000, protocol: SCTP, servicePort: 2, any: [[backend, 7000]] });
    send(t, 'from_pod', asks);
    const { retval } = send(t, 'from_pod', { ...asks, to: [vip2, 7000] });
    t.is(retval, verdict.shot);
    t.is(programs.count(2, 'drop_no_source_port'), 1n);
  });

  test(`nobody behind it is told by ICMP: ${family}`, (t) => {
    serve({ any: [] });
    const { retval, out } = send(t, 'from_pod', asks);
    t.is(retval, verdict.redirect);
    t.deepEqual(addresses(out), [vip, client]);
    t.is(out.transport.kind, family === 'IPv4' ? 'icmp' : 'icmpv6');
    t.is(programs.count(1, 'reject_no_endpoint'), 1n);
  });

  test(`a client that asks for itself comes from the Service: ${family}`, async (t) => {
    serve({ any: [[client, 7000]] });
    const { retval, out, payload, sent } = send(t, 'from_pod', asks);
    t.is(retval, verdict.redirect);
    t.deepEqual(addresses(out), [vip, client]);
    t.is(payload, sent);
    const rows = await programs.flows('half_open');
    t.deepEqual(new Set(rows.map(({ key }) => key.hook)), new Set([hook.from_pod]));
    t.true(rows.some(({ row }) => addressFromHex(row.destination) === client));
  });

  test(`a backend with another number than was asked for gets nothing: ${family}`, (t) => {
    serve({ any: [[backend, 7001]] });
    t.is(send(t, 'from_pod', asks).retval, verdict.shot);
    t.is(programs.count(1, 'drop_malformed'), 1n);
  });
}
