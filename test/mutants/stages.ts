import { faults, type Mutant } from './mutant.ts';

const codec = 'src/layout.test.ts';
const exchange = 'test/layout/exchange.test.ts';
const generator = 'bpf/layout.test.ts';
const tree = 'test/architecture.test.ts';
const model = 'src/model/*.test.ts';
const kube = 'src/kube/*.test.ts';
const plan = 'src/plan/*.test.ts';
const apply = 'src/kernel/apply.test.ts';
const counters = 'src/kernel/counters.test.ts';
const sizes = 'src/kernel/sizes.test.ts';
const state = 'src/kernel/state.test.ts';
const datapath = 'src/kernel/datapath.test.ts';
const attach = 'src/kernel/attach.test.ts';
const devices = 'src/kernel/devices.test.ts';

/** Faults of what Node runs: layout, house, and the stages from manifest to map. */
export const stages: readonly Mutant[] = [
  ...faults('src/codec.ts', codec, [
    ['ports are written in host order', 'view.setUint16(at, value);', 'view.setUint16(at, value, true);'],
    [
      'a number that does not fit is cut',
      'if (value >>> 0 !== value) refuse(value, 0xffffffff, field);\n  view.setUint32(at, value, true);',
      'view.setUint32(at, value, true);',
    ],
    ['a short text leaves the end of the last one behind', 'bytes.fill(0, at + length, at + size);', ''],
    ['padding keeps what was there', 'for (let i = at; i < at + size; i++)', 'for (let i = at; i < at; i++)'],
    [
      'hex that is too long is cut',
      'if (hex.length !== 2 * size || bytes.write(hex, at, size',
      'if (bytes.write(hex, at, size',
    ],
  ]),
  ...faults('src/codec.ts', exchange, [
    ['a program finds ports in host order', 'view.setUint16(at, value);\n', 'view.setUint16(at, value, true);\n'],
    ['ports are read in host order', 'return view.getUint16(at);', 'return view.getUint16(at, true);'],
  ]),
  ...faults('src/layout.gen.ts', tree, [
    [
      'the generated file is edited by hand',
      "putU8(18, value.flags, 'backend.flags');\n    putZeros(19, 1);",
      "putZeros(18, 1);\n    putU8(19, value.flags, 'backend.flags');",
    ],
  ]),
  ...faults('src/layout.gen.ts', exchange, [
    [
      'two fields change places in the generated file',
      "putU8(18, value.flags, 'backend.flags');\n    putZeros(19, 1);",
      "putZeros(18, 1);\n    putU8(19, value.flags, 'backend.flags'); ",
    ],
  ]),
  ...faults('bpf/schema.ts', generator, [
    ['__be16 is taken for host order', "__be16: { name: 'be16', size: 2 }", "__be16: { name: 'u16', size: 2 }"],
    ['a hole at the end of a struct is let through', 'if (end !== type.size)', 'if (end > type.size)'],
    [
      'a bitfield is taken for a field',
      'if (member.bits !== 0 || member.offset % 8 !== 0)',
      'if (member.offset % 8 !== 0)',
    ],
    [
      'objects that disagree are merged',
      'if (known !== undefined && JSON.stringify(known) !== JSON.stringify(item))',
      'if (known === undefined && item === undefined)',
    ],
  ]),
  ...faults('src/model/claims.ts', tree, [
    [
      'the model imports the plan',
      "import type { Address } from './address.ts';",
      "import type { Address } from './address.ts';\nimport type {} from '../plan/tables.ts';",
    ],
  ]),
  ...faults('src/plan/ids.ts', tree, [['the plan reads the clock', 'let h = 0x811c9dc5;', 'let h = Date.now();']]),
  ...faults('native/bpffs.ts', tree, [
    [
      'the addon learns what a backend is',
      "import { addon } from './addon.ts';",
      "import { addon } from './addon.ts';\n// of the backends",
    ],
  ]),
  ...faults('src/model/endpoints.ts', model, [
    [
      'an endpoint that serves and does not terminate is used though it is not ready',
      'return ready || (serving && terminating);',
      'return ready || (serving && terminating !== undefined);',
    ],
    [
      'topology filters terminating endpoints too',
      'first(filterByTopology(ready, node), leaving)',
      'filterByTopology(first(ready, leaving), node)',
    ],
    [
      'a Local policy without local endpoints takes others',
      'first(ready.filter(isHere), leaving.filter(isHere))',
      'first(first(ready.filter(isHere), leaving.filter(isHere)), ready)',
    ],
    [
      'only ready endpoints tell a drop from a reject',
      'hasAny: ready.length > 0 || leaving.length > 0',
      'hasAny: ready.length > 0',
    ],
    ['one endpoint without a hint does not switch hints off', 'if (!ready.every(', 'if (!ready.some('],
    [
      'externalTrafficPolicy asks for a local set though nothing is external',
      '(policy.externalLocal && policy.externallyAccessible)',
      'policy.externalLocal',
    ],
    [
      'of two equal endpoints the terminating one wins',
      'rank(endpoint) < rank(present)',
      'rank(endpoint) > rank(present)',
    ],
  ]),
  ...faults('src/model/claims.ts', model, [
    ['the younger claimant wins an address', 'return bornA < bornB ? -1 : 1;', 'return bornA < bornB ? 1 : -1;'],
    ['who does not know his age is the oldest', 'Number.POSITIVE_INFINITY', 'Number.NEGATIVE_INFINITY'],
  ]),
  ...faults('src/model/frontends.ts', model, [
    [
      'endpoints of the other family answer',
      'familyOf(endpoint.address) === family;',
      'familyOf(endpoint.address) !== undefined;',
    ],
  ]),
  ...faults('src/model/address.ts', model, [
    [
      'IPv4 prefixes are not counted from the mapped address',
      "const prefixLength = network.includes(':') ? given : given + 96;",
      'const prefixLength = given;',
    ],
  ]),
  ...faults('src/kube/fields.ts', kube, [
    ['port 65536 is a port', 'port <= 65535', 'port <= 65536'],
    ['no protocol means UDP', "if (text === '') return 'TCP';", "if (text === '') return 'UDP';"],
  ]),
  ...faults('src/kube/slices.ts', kube, [
    ['an endpoint that says nothing is not ready', 'conditions.ready ?? true', 'conditions.ready ?? false'],
    [
      'an endpoint that says nothing is terminating',
      'conditions.terminating ?? false',
      'conditions.terminating ?? true',
    ],
  ]),
  ...faults('src/kube/services.ts', kube, [
    [
      'session affinity lasts three minutes by default',
      'const defaultAffinitySeconds = 10800;',
      'const defaultAffinitySeconds = 180;',
    ],
  ]),
  ...faults('src/plan/diff.ts', plan, [
    ['deletes come before sets', 'return [...sets, ...deletes].flat();', 'return [...deletes, ...sets].flat();'],
    ['deletes go from leaf to root', 'deletes.unshift(', 'deletes.push('],
    ['an address is written before its ports', "if (table !== 'frontends') return steps;", 'if (steps) return steps;'],
    ['a row that changed is not written', 'rows.get(step.key) !== step.value', '!rows.has(step.key)'],
  ]),
  ...faults('src/plan/tables.ts', plan, [
    [
      'frontends are written before what they point at',
      "  'names',\n  'backends',\n  'source_ranges',\n  'wires',\n  'source_classes',\n  'frontends',\n",
      "  'frontends',\n  'names',\n  'backends',\n  'source_ranges',\n  'wires',\n  'source_classes',\n",
    ],
  ]),
  ...faults('src/plan/segments.ts', plan, [
    [
      'a freed segment is used again at once',
      'if (!live.damaged) segments.quarantine.set(key, left);',
      'if (!live.damaged) vacate(segments.holes, left);',
    ],
    [
      'a segment that came back and left again is freed by the old grace period',
      'if (segments.quarantine.get(key) !== segment) continue;',
      'if (!segments.quarantine.has(key)) continue;',
    ],
    ['segments that overlap are taken for sound', 'overlapping.add(segment).add(longest);', '{}'],
    ['two new segments share a slot', 'starts[i] = start + count;', 'starts[i] = start + count - 1;'],
  ]),
  ...faults('src/plan/draft.ts', plan, [
    ['a pool that did not change gets a new segment', 'if (there !== undefined) return there.start;', ''],
  ]),
  ...faults('src/plan/rows.ts', plan, [['a pool is not sorted', 'flags: 0 }))\n    .sort();', 'flags: 0 }));']]),
  ...faults('src/plan/ids.ts', plan, [
    ['two names get one id', 'while (held.byId.has(id) || fresh.byId.has(id))', 'while (fresh.byId.has(id))'],
  ]),
  ...faults('src/plan/check.ts', plan, [
    ['the check word loses a carry', 'high + carry + Math.imul', 'high + Math.imul'],
  ]),
  ...faults('src/plan/plan.ts', plan, [
    [
      'the slots that a plan needs are those it has',
      'backends: draft.places.end() }',
      'backends: held.rows.backends.size }',
    ],
    [
      'deletes are not held back before the first listing',
      'options.holdDeletes ? changes.filter',
      '!options ? changes.filter',
    ],
  ]),
  ...faults('src/kernel/devices.ts', devices, [
    [
      '--device does not overrule',
      'if (override !== undefined) return',
      'if (override === undefined && link.ifindex < 0) return',
    ],
    [
      'a veth with a route by way of a gateway is a pod',
      "if (link.kind === 'veth' && destination !== undefined) {",
      'if (link.ifindex < 0) {',
    ],
    [
      'a port of a bridge is a way out',
      "if (link.master !== 0) return { role: 'none'",
      "if (link.ifindex < 0) return { role: 'none'",
    ],
  ]),
  ...faults('src/kernel/apply.ts', apply, [
    ['after a refusal the rest of a Service is written', 'stopped.set(refused.owner, cause.message);', ''],
    ['a refused row counts as written', 'left.slice(0, done)', 'left.slice(0, done + 1)'],
    ['steps of two tables go into one batch', 'if (step?.table !== first?.table || step?.op !== first?.op) break;', ''],
    [
      'a refusal of the kernel counts for the whole batch',
      'return { done: error.done ?? 0, error };',
      'return { done: 0, error };',
    ],
  ]),
  ...faults('src/kernel/counters.ts', counters, [
    [
      'packets are counted on the first CPU alone',
      'at < value.length; at += CPU_DIGITS',
      'at < CPU_DIGITS; at += CPU_DIGITS',
    ],
  ]),
  ...faults('src/kernel/state.ts', state, [
    [
      'a row that goes while it is copied comes back',
      'if (from.lookup(key) === undefined) to.delete(key);',
      'if (copied < 0) to.delete(key);',
    ],
    ['copies evict what is in use', 'Math.ceil((0.75 * info.maxEntries) /', 'Math.ceil((2 * info.maxEntries) /'],
    ['the oldest rows are copied, not the youngest', 'a.stamp - b.stamp', 'b.stamp - a.stamp'],
  ]),
  ...faults('src/kernel/datapath.ts', datapath, [
    [
      'programs do not look into the maps of the generation before',
      'await this.#replaceOnce(sizes, fill, old)',
      'await this.#replaceOnce(sizes, fill)',
    ],
    [
      'what a replacement did not copy when it died is lost in the next',
      'await this.sweep();\n    const old',
      'const old',
    ],
  ]),
  ...faults('src/kernel/load.ts', 'src/kernel/load.test.ts', [
    [
      'a new map of hints hides the flows there are',
      'if (reused.flow_hints === undefined &&',
      'if (reused.flow_hints &&',
    ],
  ]),
  ...faults('src/kernel/generation.ts', datapath, [
    [
      'a generation takes the maps of the one before for its own',
      '.filter((pin) => names.includes(basename(pin.path)))',
      '.filter((pin) => names.includes(basename(pin.path)) || pin.size > 512)',
    ],
  ]),
  ...faults('src/kernel/hooks.ts', attach, [
    [
      'ways there come before ways back',
      "deviceHook(device, 'egress', 'to_pod'), deviceHook(device, 'ingress', 'from_pod')",
      "deviceHook(device, 'ingress', 'from_pod'), deviceHook(device, 'egress', 'to_pod')",
    ],
  ]),
  ...faults('src/kernel/sizes.ts', sizes, [
    ['a map that does not fit stays as it is', 'while (grown < required && ', 'while (grown < 0 && '],
  ]),
];
