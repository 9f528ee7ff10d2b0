import test from 'ava';
import fc from 'fast-check';
import { emptyIds, forgetId, idOf, learnId, type PortName } from './ids.ts';

const web: PortName = { owner: 'default/web', port: 'http', protocol: 6 };
/** Found by search: these two hash to the same id. */
const twins: readonly [PortName, PortName] = [
  { owner: 'default/service-258999', port: '', protocol: 6 },
  { owner: 'default/service-1624490', port: '', protocol: 6 },
];

test('idOf() is the same in every process and release: ids outlive both', (t) => {
  t.is(idOf(emptyIds(), emptyIds(), web), 1249164550);
});

test('idOf() tells apart by owner, port name and protocol', (t) => {
  const names = [web, { ...web, owner: 'default/web2' }, { ...web, port: '' }, { ...web, protocol: 17 }];
  const fresh = emptyIds();
  t.is(new Set(names.map((name) => idOf(emptyIds(), fresh, name))).size, 4);
});

test('idOf() keeps the id that a name has, wherever it came from', (t) => {
  const held = emptyIds();
  learnId(held, 7, web);
  t.is(idOf(held, emptyIds(), web), 7);
  const fresh = emptyIds();
  t.is(idOf(emptyIds(), fresh, twins[0]), idOf(emptyIds(), fresh, twins[0]));
});

test('idOf() probes upward when two names hash to the same id', (t) => {
  const first = idOf(emptyIds(), emptyIds(), twins[0]);
  t.is(idOf(emptyIds(), emptyIds(), twins[1]), first);
  const fresh = emptyIds();
  idOf(emptyIds(), fresh, twins[0]);
  t.is(idOf(emptyIds(), fresh, twins[1]), first + 1);
  const held = emptyIds();
  learnId(held, first, twins[0]);
  t.is(idOf(held, emptyIds(), twins[1]), first + 1);
});

test('idOf() goes on from the last id to 1, never 0', (t) => {
  const late: PortName = { owner: 'default/service-4971044', port: '', protocol: 6 };
  const natural = idOf(emptyIds(), emptyIds(), late);
  t.is(natural, 0xffffffff - 630);
  const held = emptyIds();
  for (let id = natural; id <= 0xffffffff; id++) learnId(held, id, { ...web, owner: `default/${id}` });
  t.is(idOf(held, emptyIds(), late), 1);
});

test('forgetId() frees the id and the name', (t) => {
  const held = emptyIds();
  learnId(held, 7, web);
  forgetId(held, 7);
  forgetId(held, 8);
  t.is(held.byId.size + held.byName.size, 0);
});

test('learnId() lets go of the name that the id had', (t) => {
  const held = emptyIds();
  learnId(held, 7, web);
  learnId(held, 7, twins[0]);
  t.not(idOf(held, emptyIds(), web), 7);
  t.is(idOf(held, emptyIds(), twins[0]), 7);
});

test('idOf() gives different names different ids', (t) => {
  const anyName = fc.record({
    owner: fc.constantFrom('a/a', 'a/b', 'b/a'),
    port: fc.constantFrom('', 'http', '/6'),
    protocol: fc.constantFrom(6, 17),
  });
  fc.assert(
    fc.property(
      fc.array(anyName),
      fc.array(fc.tuple(fc.integer({ min: 1, max: 0xffffffff }), anyName)),
      (names, old) => {
        const [held, fresh] = [emptyIds(), emptyIds()];
        for (const [id, name] of old) learnId(held, id, name);
        const ids = new Map(names.map((name) => [JSON.stringify(name), idOf(held, fresh, name)]));
        t.is(new Set(ids.values()).size, ids.size);
        for (const [name, id] of ids) t.deepEqual(held.byId.get(id) ?? fresh.byId.get(id), JSON.parse(name));
      },
    ),
  );
});

/** Names come, go and come back; between two events the agent may start anew, or fill another generation. */
const history = fc.array(fc.record({ name: fc.nat(7), event: fc.constantFrom('comes', 'comes', 'goes', 'restart') }), {
  maxLength: 200,
  size: 'max', // short histories seldom have what this is about
});

test('idOf() gives an id to a second name only if both hash to the same id: no two others ever share one', (t) => {
  const pool = [...twins, ...Array.from({ length: 6 }, (_, i) => ({ ...web, owner: `default/service-${i}` }))];
  const own = pool.map((name) => idOf(emptyIds(), emptyIds(), name));
  let shared = 0;
  fc.assert(
    fc.property(history, (events) => {
      let held = emptyIds();
      const everyone = new Map<number, Set<number>>();
      for (const { name, event } of events) {
        const port = pool[name] ?? web;
        const id = idOf(held, emptyIds(), port);
        if (event === 'comes') {
          learnId(held, id, port);
          everyone.set(id, (everyone.get(id) ?? new Set()).add(name));
          if (name >= twins.length) t.is(id, own[name] ?? 0);
        } else if (event === 'goes') forgetId(held, id);
        else {
          const rows = [...held.byId].reverse();
          held = emptyIds();
          for (const [id, port] of rows) learnId(held, id, port);
        }
      }
      for (const [id, names] of everyone) {
        if (names.size === 1) continue;
        shared++;
        t.is(new Set([...names].map((name) => own[name])).size, 1, `${id}`);
      }
    }),
    {
      numRuns: 300,
      examples: [
        [
          [
            { name: 0, event: 'comes' },
            { name: 0, event: 'goes' },
            { name: 1, event: 'comes' },
          ],
        ],
      ],
    },
  );
  t.true(shared > 0);
});
