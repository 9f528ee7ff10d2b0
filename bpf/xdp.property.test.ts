/** Any frame at all: XDP leaves it as it came, or makes of it what tc would. */
import anyTest from 'ava';
import fc from 'fast-check';
import type { Wanted } from '../test/netns/craft.ts';
import { TCP, UDP, verdict, xdpVerdict } from './fixture.ts';
import { back } from './way.ts';
import { casts, XdpStage } from './xdp-stage.ts';

const test = anyTest.serial;
let stage: XdpStage;

test.before(async () => {
  stage = await XdpStage.create('xdpany');
  await stage.load();
});
test.after.always(() => stage?.[Symbol.asyncDispose]());

const extras: fc.Arbitrary<Wanted['ip']> = fc.record(
  {
    ttl: fc.nat(255),
    hopLimit: fc.nat(255),
    dscp: fc.nat(63),
    id: fc.nat(0xffff),
    dontFragment: fc.boolean(),
    checksum: fc.nat(0xffff),
    options: fc.constantFrom('', '', '', '01010101'),
    flowLabel: fc.nat(0xfffff),
    trafficClass: fc.nat(255),
  },
  { requiredKeys: [] },
) as never;

test('whatever comes: it goes up as it came, or becomes what tc makes of it', async (t) => {
  const flows = casts.flatMap((cast) =>
    [TCP, UDP].flatMap((protocol) => {
      const { asked, there } = stage.established(t, cast, protocol, cast.there, 4001 + protocol);
      return [asked, back(there)].map((way) => ({ protocol, way }));
    }),
  );
  const tally = { sent: 0, up: 0 };
  const flips = fc.array(fc.record({ at: fc.integer({ min: 0, max: 90 }), to: fc.nat(255) }), { maxLength: 2 });
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...flows),
      fc.constantFrom('A', 'A', 'AP', 'A', 'AF', 'S'),
      extras,
      fc.uint8Array({ maxLength: 1480 }),
      fc.oneof({ weight: 3, arbitrary: fc.constant([]) }, { weight: 2, arbitrary: flips }),
      fc.option(fc.nat(0xffff), { freq: 4 }),
      fc.nat(20),
      async ({ protocol, way }, flags, ip, payload, damage, checksum, padding) => {
        const ports = { sourcePort: way.sport, destinationPort: way.dport };
        const transport =
          checksum === null
            ? {}
            : protocol === TCP
              ? { tcp: { ...ports, flags, checksum } }
              : { udp: { ...ports, checksum } };
        const whole = stage.frame(protocol, way, {
          flags,
          ip: ip as never,
          payload: Buffer.from(payload),
          ...transport,
        });
        const sent = Buffer.concat([whole, Buffer.alloc(padding)]);
        for (const { at, to } of damage) if (at < sent.length) sent[at] = to;
        const { retval, bytes } = await stage.come(sent);
        if (retval === xdpVerdict.pass) {
          tally.up += 1;
          return t.deepEqual(bytes, sent);
        }
        tally.sent += 1;
        t.is(retval, xdpVerdict.tx);
        const tc = stage.run('from_wire', sent);
        t.is(tc.retval, verdict.redirect);
        t.deepEqual(bytes.subarray(12), tc.bytes.subarray(12));
      },
    ),
    { numRuns: 1500 },
  );
  t.true(tally.sent > 200 && tally.up > 200, JSON.stringify(tally));
});
