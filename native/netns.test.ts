import { closeSync, openSync } from 'node:fs';
import { readlink } from 'node:fs/promises';
import test from 'ava';
import { enterNewNetns, refusal, run } from './fixtures/playground.ts';
import { clsactQuery, netLinks, netnsCookie, netRequest, setNetns, unshareNetns } from './index.ts';

test.serial('setNetns() moves this thread, and worker calls act where they were asked', async (t) => {
  const home = netnsCookie();
  const before = (await netLinks()).length;
  {
    using _netns = enterNewNetns();
    t.not(netnsCookie(), home);
    t.deepEqual(
      (await netLinks()).map(({ name }) => name),
      ['lo'],
    );
    t.regex(run('ip', '-br', 'link'), /^lo .*\n$/);
  }
  t.is(netnsCookie(), home);
  t.is((await netLinks()).length, before);
});

test.serial('worker calls leave the threads of the pool where they were', async (t) => {
  const pool = () => Promise.all(Array.from({ length: 16 }, () => readlink('/proc/thread-self/ns/net')));
  const before = new Set(await pool());
  {
    using _netns = enterNewNetns();
    const lo = { ifindex: 1, direction: 'ingress', handle: 1, priority: 1 } as const;
    await Promise.all(Array.from({ length: 16 }, () => clsactQuery(lo)));
    t.deepEqual(new Set(await pool()), before);
  }
});

test('setNetns() of something else says so', (t) => {
  t.is(refusal(() => setNetns('/run/netns/not-there')).code, 'ENOENT');
  t.is(refusal(() => setNetns('/proc/self/status')).code, 'EINVAL');
});

test.serial('unshareNetns() makes an empty one, and netRequest() changes what is there', async (t) => {
  const home = openSync('/proc/thread-self/ns/net', 'r');
  const cookie = netnsCookie();
  try {
    unshareNetns();
    t.not(netnsCookie(), cookie);
    t.deepEqual(
      (await netLinks()).map(({ name, up }) => [name, up]),
      [['lo', false]],
    );
    netRequest(16, 0, setUp(1)); // RTM_NEWLINK
    t.true((await netLinks())[0]?.up);
    const lost = refusal(() => netRequest(16, 0, setUp(99)));
    t.deepEqual([lost.code, lost.call], ['ENODEV', 'rtnetlink']);
    t.is(refusal(() => netRequest(16, 0, new Uint8Array(1025))).code, 'EMSGSIZE');
  } finally {
    setNetns(`/proc/self/fd/${home}`);
    closeSync(home);
  }
  t.is(netnsCookie(), cookie);
});

/** struct ifinfomsg */
function setUp(ifindex: number): Uint8Array {
  const body = Buffer.alloc(16);
  body.writeInt32LE(ifindex, 4);
  body.writeUInt32LE(1, 8);
  body.writeUInt32LE(1, 12);
  return body;
}
