import test from 'ava';
import { enterNewNetns, ipBatch, run, until } from './fixtures/playground.ts';
import { type NetChange, NetWatch } from './index.ts';

const netns = enterNewNetns();
test.before(() => {
  run('ip', 'link', 'set', 'lo', 'up');
});
test.after.always(() => netns[Symbol.dispose]());

/** Each change by itself, since a watch tells together what came together. */
async function changesBy(change: () => unknown, enough: (seen: NetChange[]) => boolean): Promise<NetChange[]> {
  const seen: NetChange[] = [];
  using _watch = new NetWatch((what) => seen.push(what));
  change();
  await until(() => enough(seen));
  return seen;
}

test.serial('NetWatch tells what changed', async (t) => {
  const cases: [string, string[], NetChange][] = [
    ['a link comes', ['link', 'add', 'lwatched', 'type', 'ifb'], 'link'],
    ['a link goes up', ['link', 'set', 'lwatched', 'up'], 'link'],
    ['a qdisc comes', ['@tc', 'qdisc', 'add', 'dev', 'lwatched', 'clsact'], 'link'],
    ['an IPv4 address comes', ['address', 'add', '10.1.2.3/24', 'dev', 'lwatched'], 'address'],
    ['an IPv6 address comes', ['address', 'add', '2001:db8:9::1/64', 'dev', 'lwatched', 'nodad'], 'address'],
    ['an IPv4 route comes', ['route', 'add', '10.44.0.0/16', 'dev', 'lwatched'], 'route'],
    ['an IPv6 route comes', ['route', 'add', '2001:db8:a::/48', 'dev', 'lwatched'], 'route'],
    ['a route goes', ['route', 'del', '10.44.0.0/16', 'dev', 'lwatched'], 'route'],
    ['a link goes', ['link', 'del', 'lwatched'], 'link'],
  ];
  for (const [title, args, expected] of cases) {
    const seen = await changesBy(
      () => (args[0] === '@tc' ? run('tc', ...args.slice(1)) : run('ip', ...args)),
      (all) => all.includes(expected),
    );
    t.true(seen.includes(expected), title);
    t.false(seen.includes('overrun'), title);
  }
});

test.serial('NetWatch says when it has lost changes, and goes on', async (t) => {
  const flood = Array.from({ length: 4000 }, (_, i) => `link set lo mtu ${1000 + (i % 300)}`);
  const seen = await changesBy(
    () => ipBatch(flood),
    (all) => all.includes('overrun'),
  );
  t.true(seen.includes('overrun'));
});

test.serial('NetWatch is silent once it is closed, from within its callback too', async (t) => {
  let calls = 0;
  const watch: NetWatch = new NetWatch(() => {
    calls += 1;
    watch.close();
  });
  const seen = await changesBy(
    () => run('ip', 'address', 'add', '10.1.3.3/24', 'dev', 'lo'),
    (all) => all.includes('route'),
  );
  t.true(seen.length >= 2);
  t.is(calls, 1);
  watch.close();
});
