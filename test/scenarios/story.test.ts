import test from 'ava';
import { complaintsOf, type Seen } from './judge.ts';
import { changed, reversed } from './objects.ts';
import { type Fields, parseStory, StoryError } from './story.ts';

const text = `# for us
A title

prose
== First
kind: Service
metadata: {name: web}
spec: {type: NodePort, ports: [{port: 80}]}
---
kind: List
items:
  - {kind: Node, metadata: {name: n1}}
flows:   # comments go
  pod   -> 10.96.0.1:80: 10.1.0.2:80, 10.1.0.1:80   # like this one

dump services:
  NAME   BACKENDS
  web    10.1.0.1:80 +1
problems:

== Second
patch Service web: {spec: {type: null}}
patch Service web:
  spec:
    ports: []
delete Node n1
dump services -o wide:
`;
const story = parseStory('a.txt', text);
const services = 'NAMESPACE   NAME   BACKENDS         DROPPED\ndefault     web    10.1.0.1:80 +1   0\n';
const seen: Seen = {
  flows: new Map([[14, { outcome: '10.1.0.1:80, 10.1.0.2:80', reason: 'two may' }]]),
  dumps: { services, frontends: '', backends: '', 'services -o wide': 'NAME\n' },
  problems: [],
};

function complain(first: Partial<Seen>, ...others: Partial<Seen>[]): string[] {
  const replays = [first, ...others].map((one, i) => [`way ${i + 1}`, [{ ...seen, ...one }, seen]] as const);
  return complaintsOf(story, new Map(replays));
}

test('parseStory() tells steps, changes and expectations by their lines', (t) => {
  t.is(story.title, 'A title');
  t.deepEqual(
    story.steps.map((step) => [step.line, step.text, step.changes.map(({ op, line }) => `${op} ${line}`)]),
    [
      [5, 'First', ['put 6', 'put 10']],
      [21, 'Second', ['patch 22', 'patch 23', 'delete 26']],
    ],
  );
  t.deepEqual(
    story.steps.map(({ expectations }) =>
      expectations.map((one) => `${one.text} ${one.lines.map(({ line }) => line)}`),
    ),
    [['flows 14', 'services 17,18', 'problems '], ['services -o wide ']],
  );
});

test('changed() replaces, merges and deletes', (t) => {
  const first = changed(new Map(), story.steps[0]?.changes ?? [], story);
  t.deepEqual([...first.keys()], ['Service default/web', 'Node default/n1']);
  const second = changed(first, story.steps[1]?.changes ?? [], story);
  t.deepEqual([...second.values()], [{ kind: 'Service', metadata: { name: 'web' }, spec: { ports: [] } }]);
  t.throws(() => changed(new Map(), story.steps[1]?.changes ?? [], story), {
    instanceOf: StoryError,
    message: 'a.txt:22: there is no Service default/web',
  });
});

test('reversed() turns the order of objects and of endpoints around', (t) => {
  const objects: Fields[] = [{ kind: 'A' }, { kind: 'B', endpoints: [1, 2] }];
  t.deepEqual(reversed(objects), [{ kind: 'B', endpoints: [2, 1] }, { kind: 'A' }]);
});

test('parseStory() says where a story cannot be read', (t) => {
  for (const [bad, message] of [
    ['', /^a.txt:1: /],
    ['a story\n', /^a.txt:1: there is no step/],
    ['a story\n== a\n\nflow:\n  x\n', /^a.txt:4: neither a field/],
    ['a story\n== a\nkind: Service\nmetadata: {name: a}\ndump service:\n', /^a.txt:5: neither a field/],
    ['a story\n== a\nkind: Service\n', /^a.txt:3: neither an object/],
    ['a story\n== a\nkind: Service\nmetadata: {name: a\n', /^a.txt:3: /],
    ['a story\n== a\npatch Service a:\n', /^a.txt:3: the fields are missing/],
  ] as const) {
    t.throws(() => parseStory('a.txt', bad), { instanceOf: StoryError, message });
  }
});

test('complaintsOf() finds nothing where all is as the story says', (t) => {
  t.deepEqual(complain({}, {}), []);
});

test('complaintsOf() names file, line and replay of what is wrong', (t) => {
  const flows = new Map([[14, { outcome: 'reject', reason: 'nobody can' }]]);
  t.deepEqual(complain({}, { flows }), [
    'a.txt:14 (way 2): flow pod -> 10.96.0.1:80\n    - 10.1.0.1:80, 10.1.0.2:80\n    + reject\n      nobody can',
  ]);
  t.deepEqual(complain({ problems: ['x'] }, { problems: ['x'] }), ['a.txt:19 (in every replay): problems\n    + x']);
  const dumps = { ...seen.dumps, services: services.replace('+1 ', '+2 ') };
  t.deepEqual(complain({ dumps }), [
    'a.txt:18 (in every replay): dump services\n      NAME   BACKENDS\n    - web   10.1.0.1:80 +1\n    + web   10.1.0.1:80 +2',
  ]);
});

test('complaintsOf() finds replays that saw different things of which the story does not speak', (t) => {
  const dumps = { ...seen.dumps, backends: 'NAME\nweb\n' };
  t.deepEqual(complain({}, { dumps }), [
    'a.txt:5 (way 2): the kernel holds something else than when replayed way 1\n    + NAME\n    + web',
  ]);
});
