import type { Mutant } from './mutant.ts';

const codec = ['src/layout.test.ts'];
const exchange = ['test/layout/exchange.test.ts'];
const generator = ['bpf/layout.test.ts'];
const tree = ['test/architecture.test.ts'];
const model = ['src/model/*.test.ts'];
const kube = ['src/kube/*.test.ts'];
const plan = ['src/plan/*.test.ts'];
const packets = ['bpf/tc.test.ts'];

type Source = Omit<Mutant, 'rebuild'>;
const compiled = (rebuild: 'bpf' | 'native', mutants: readonly Source[]): Mutant[] =>
  mutants.map((mutant) => ({ ...mutant, rebuild }));
const plain = (mutants: readonly Source[]): Mutant[] => mutants.map((mutant) => ({ ...mutant, rebuild: null }));

const layout = plain([
  {
    name: 'ports are written in host order',
    file: 'src/codec.ts',
    find: 'view.setUint16(at, value);',
    replace: 'view.setUint16(at, value, true);',
    tests: codec,
  },
  {
    name: 'a program finds ports in host order',
    file: 'src/codec.ts',
    find: 'view.setUint16(at, value);\n',
    replace: 'view.setUint16(at, value, true);\n',
    tests: exchange,
  },
  {
    name: 'ports are read in host order',
    file: 'src/codec.ts',
    find: 'return view.getUint16(at);',
    replace: 'return view.getUint16(at, true);',
    tests: exchange,
  },
  {
    name: 'a number that does not fit is cut',
    file: 'src/codec.ts',
    find: 'if (value >>> 0 !== value) refuse(value, 0xffffffff, field);\n  view.setUint32(at, value, true);',
    replace: 'view.setUint32(at, value, true);',
    tests: codec,
  },
  {
    name: 'a short text leaves the end of the last one behind',
    file: 'src/codec.ts',
    find: 'bytes.fill(0, at + length, at + size);',
    replace: '',
    tests: codec,
  },
  {
    name: 'padding keeps what was there',
    file: 'src/codec.ts',
    find: 'for (let i = at; i < at + size; i++)',
    replace: 'for (let i = at; i < at; i++)',
    tests: codec,
  },
  {
    name: 'hex that is too long is cut',
    file: 'src/codec.ts',
    find: 'if (hex.length !== 2 * size || bytes.write(hex, at, size',
    replace: 'if (bytes.write(hex, at, size',
    tests: codec,
  },
  {
    name: 'the generated file is edited by hand',
    file: 'src/layout.gen.ts',
    find: "putU8(18, value.flags, 'backend.flags');\n    putZeros(19, 1);",
    replace: "putZeros(18, 1);\n    putU8(19, value.flags, 'backend.flags');",
    tests: tree,
  },
  {
    name: 'two fields change places in the generated file',
    file: 'src/layout.gen.ts',
    find: "putU8(18, value.flags, 'backend.flags');\n    putZeros(19, 1);",
    replace: "putZeros(18, 1);\n    putU8(19, value.flags, 'backend.flags'); ",
    tests: exchange,
  },
  {
    name: '__be16 is taken for host order',
    file: 'bpf/schema.ts',
    find: "__be16: { name: 'be16', size: 2 }",
    replace: "__be16: { name: 'u16', size: 2 }",
    tests: generator,
  },
  {
    name: 'a hole at the end of a struct is let through',
    file: 'bpf/schema.ts',
    find: 'if (end !== type.size)',
    replace: 'if (end > type.size)',
    tests: generator,
  },
  {
    name: 'a bitfield is taken for a field',
    file: 'bpf/schema.ts',
    find: 'if (member.bits !== 0 || member.offset % 8 !== 0)',
    replace: 'if (member.offset % 8 !== 0)',
    tests: generator,
  },
  {
    name: 'objects that disagree are merged',
    file: 'bpf/schema.ts',
    find: 'if (known !== undefined && JSON.stringify(known) !== JSON.stringify(item))',
    replace: 'if (known === undefined && item === undefined)',
    tests: generator,
  },
]);

const house = plain([
  {
    name: 'the model imports the plan',
    file: 'src/model/claims.ts',
    find: "import type { Address } from './address.ts';",
    replace: "import type { Address } from './address.ts';\nimport type {} from '../plan/tables.ts';",
    tests: tree,
  },
  {
    name: 'the plan reads the clock',
    file: 'src/plan/ids.ts',
    find: 'let h = 0x811c9dc5;',
    replace: 'let h = Date.now();',
    tests: tree,
  },
  {
    name: 'the addon learns what a backend is',
    file: 'native/bpffs.ts',
    find: "import { addon } from './addon.ts';",
    replace: "import { addon } from './addon.ts';\n// of the backends",
    tests: tree,
  },
]);

const model_ = plain([
  {
    name: 'an endpoint that serves and does not terminate is used though it is not ready',
    file: 'src/model/endpoints.ts',
    find: '!endpoint.ready && endpoint.serving && endpoint.terminating',
    replace: '!endpoint.ready && endpoint.serving',
    tests: model,
  },
  {
    name: 'topology filters terminating endpoints too',
    file: 'src/model/endpoints.ts',
    find: 'first(filterByTopology(ready, node), leaving)',
    replace: 'filterByTopology(first(ready, leaving), node)',
    tests: model,
  },
  {
    name: 'a Local policy without local endpoints takes others',
    file: 'src/model/endpoints.ts',
    find: 'first(ready.filter(isHere), leaving.filter(isHere))',
    replace: 'first(first(ready.filter(isHere), leaving.filter(isHere)), ready)',
    tests: model,
  },
  {
    name: 'only ready endpoints tell a drop from a reject',
    file: 'src/model/endpoints.ts',
    find: 'hasAny: ready.length > 0 || leaving.length > 0',
    replace: 'hasAny: ready.length > 0',
    tests: model,
  },
  {
    name: 'one endpoint without a hint does not switch hints off',
    file: 'src/model/endpoints.ts',
    find: 'if (!ready.every(',
    replace: 'if (!ready.some(',
    tests: model,
  },
  {
    name: 'externalTrafficPolicy asks for a local set though nothing is external',
    file: 'src/model/endpoints.ts',
    find: '(policy.externalLocal && policy.externallyAccessible)',
    replace: 'policy.externalLocal',
    tests: model,
  },
  {
    name: 'of two equal endpoints the terminating one wins',
    file: 'src/model/endpoints.ts',
    find: 'rank(endpoint) < rank(present)',
    replace: 'rank(endpoint) > rank(present)',
    tests: model,
  },
  {
    name: 'the younger claimant wins an address',
    file: 'src/model/claims.ts',
    find: 'return bornA < bornB ? -1 : 1;',
    replace: 'return bornA < bornB ? 1 : -1;',
    tests: model,
  },
  {
    name: 'who does not know his age is the oldest',
    file: 'src/model/claims.ts',
    find: 'Number.POSITIVE_INFINITY',
    replace: 'Number.NEGATIVE_INFINITY',
    tests: model,
  },
  {
    name: 'endpoints of the other family answer',
    file: 'src/model/frontends.ts',
    find: '(endpoint) => familyOf(endpoint.address) === family',
    replace: '() => true',
    tests: model,
  },
  {
    name: 'IPv4 prefixes are not counted from the mapped address',
    file: 'src/model/address.ts',
    find: "const prefixLength = network.includes(':') ? given : given + 96;",
    replace: 'const prefixLength = given;',
    tests: model,
  },
]);

const kube_ = plain([
  {
    name: 'port 65536 is a port',
    file: 'src/kube/fields.ts',
    find: 'port <= 65535',
    replace: 'port <= 65536',
    tests: kube,
  },
  {
    name: 'no protocol means UDP',
    file: 'src/kube/fields.ts',
    find: "if (text === '') return 'TCP';",
    replace: "if (text === '') return 'UDP';",
    tests: kube,
  },
  {
    name: 'an endpoint that says nothing is not ready',
    file: 'src/kube/slices.ts',
    find: 'conditions.ready ?? true',
    replace: 'conditions.ready ?? false',
    tests: kube,
  },
  {
    name: 'an endpoint that says nothing is terminating',
    file: 'src/kube/slices.ts',
    find: 'conditions.terminating ?? false',
    replace: 'conditions.terminating ?? true',
    tests: kube,
  },
  {
    name: 'session affinity lasts three minutes by default',
    file: 'src/kube/services.ts',
    find: 'const defaultAffinitySeconds = 10800;',
    replace: 'const defaultAffinitySeconds = 180;',
    tests: kube,
  },
]);

const plan_ = plain([
  {
    name: 'deletes come before sets',
    file: 'src/plan/diff.ts',
    find: 'return [...sets, ...deletes.reverse().map((steps) => steps.reverse())].flat();',
    replace: 'return [...deletes.reverse().map((steps) => steps.reverse()), ...sets].flat();',
    tests: plan,
  },
  {
    name: 'deletes go from leaf to root',
    file: 'src/plan/diff.ts',
    find: '...deletes.reverse().map((steps) => steps.reverse())',
    replace: '...deletes',
    tests: plan,
  },
  {
    name: 'frontends are written before what they point at',
    file: 'src/plan/tables.ts',
    find: "['names', 'backends', 'frontends', ",
    replace: "['frontends', 'names', 'backends', ",
    tests: plan,
  },
  {
    name: 'an address is written before its ports',
    file: 'src/plan/diff.ts',
    find: "if (table !== 'frontends') return steps;",
    replace: 'if (steps) return steps;',
    tests: plan,
  },
  {
    name: 'a row that changed is not written',
    file: 'src/plan/diff.ts',
    find: 'if (actual[table].get(key) !== value)',
    replace: 'if (!actual[table].has(key))',
    tests: plan,
  },
  {
    name: 'a freed segment is used again at once',
    file: 'src/plan/segments.ts',
    find: 'if (!live.damaged) segments.quarantine.set(key, left);',
    replace: 'if (!live.damaged) vacate(segments.holes, left);',
    tests: plan,
  },
  {
    name: 'a segment that came back and left again is freed by the old grace period',
    file: 'src/plan/segments.ts',
    find: 'if (segments.quarantine.get(key) !== segment) continue;',
    replace: 'if (!segments.quarantine.has(key)) continue;',
    tests: plan,
  },
  {
    name: 'segments that overlap are taken for sound',
    file: 'src/plan/segments.ts',
    find: 'overlapping.add(segment).add(longest);',
    replace: '{}',
    tests: plan,
  },
  {
    name: 'two new segments share a slot',
    file: 'src/plan/segments.ts',
    find: 'starts[i] = start + count;',
    replace: 'starts[i] = start + count - 1;',
    tests: plan,
  },
  {
    name: 'a pool that did not change gets a new segment',
    file: 'src/plan/draft.ts',
    find: 'if (there !== undefined) return there;',
    replace: '',
    tests: plan,
  },
  {
    name: 'a pool is not sorted',
    file: 'src/plan/rows.ts',
    find: '    .sort()\n',
    replace: '',
    tests: plan,
  },
  {
    name: 'two names get one id',
    file: 'src/plan/ids.ts',
    find: 'while (held.byId.has(id) || fresh.byId.has(id))',
    replace: 'while (fresh.byId.has(id))',
    tests: plan,
  },
  {
    name: 'the check word is folded at another place',
    file: 'src/plan/check.ts',
    find: 'sum >>> 15',
    replace: 'sum >>> 16',
    tests: plan,
  },
  {
    name: 'the slots that a plan needs are those it has',
    file: 'src/plan/plan.ts',
    find: 'backends: draft.places.end(),',
    replace: 'backends: held.rows.backends.size,',
    tests: plan,
  },
  {
    name: 'deletes are not held back before the first listing',
    file: 'src/plan/plan.ts',
    find: 'options.holdDeletes ? changes.filter',
    replace: '!options ? changes.filter',
    tests: plan,
  },
]);

const programs = compiled('bpf', [
  {
    name: 'the checksum is not told of new ports',
    file: 'bpf/nat.h',
    find: 'checksum_offset(packet), from, into, flags | sizeof(into))',
    replace: 'checksum_offset(packet), from, from, flags | sizeof(into))',
    tests: packets,
  },
  {
    name: 'the IPv4 header keeps its old checksum',
    file: 'bpf/nat.h',
    find: 'check = ~fold((__u64)(__u16)~ip->check + (__u32)change);',
    replace: 'check = ip->check;',
    tests: packets,
  },
  {
    name: 'a datagram without a checksum gets one',
    file: 'bpf/nat.h',
    find: '__u64 flags = is_tcp(packet) ? 0 : BPF_F_MARK_MANGLED_0;',
    replace: '__u64 flags = 0;',
    tests: packets,
  },
  {
    name: 'programs fold the check word at another place',
    file: 'bpf/check.h',
    find: 'checksum->sum >> 15',
    replace: 'checksum->sum >> 16',
    tests: packets,
  },
  {
    name: 'a row of frontends need not prove itself',
    file: 'bpf/frontend.h',
    find: 'if (frontend_check(key, copy) == copy->check)',
    replace: 'if (key)',
    tests: packets,
  },
  {
    name: 'a row is used at any hook: the key of the way back has the same one',
    file: 'bpf/flow.h',
    find: 'twin->hook = flow->flags & FLOW_HAIRPIN ? key->hook : ((key->hook - 1) ^ 1) + 1;',
    replace: 'twin->hook = key->hook;',
    tests: packets,
  },
  {
    name: 'to_pod looks for the rows of from_pod',
    file: 'bpf/tc.bpf.c',
    find: 'parse_transport(skb, HOOK_TO_POD, &packet)',
    replace: 'parse_transport(skb, HOOK_FROM_POD, &packet)',
    tests: packets,
  },
  {
    name: 'a pod that reaches itself gets its own address for a peer',
    file: 'bpf/tc.bpf.c',
    find: 'flow->source = packet->tuple.destination;',
    replace: '',
    tests: packets,
  },
  {
    name: 'a second flow over one backend takes the way back of the first',
    file: 'bpf/flow.h',
    find: 'if (!reply_key_is_taken(&reply, key)) {',
    replace: 'flow_delete(&reply);\n\t\tif (true) {',
    tests: packets,
  },
  {
    name: 'the last backend of a pool is never chosen',
    file: 'bpf/pool.h',
    find: '* pool.count) >> 32)',
    replace: '* (pool.count > 1 ? pool.count - 1 : 1)) >> 32)',
    tests: packets,
  },
  {
    name: 'session affinity holds a client to a backend that left',
    file: 'bpf/pool.h',
    find: ' && pool_contains(pool.start, pool.count, &wanted))',
    replace: ')',
    tests: packets,
  },
  {
    name: 'session affinity has no end',
    file: 'bpf/pool.h',
    find: 'now - old->seen < frontend->affinity_seconds && ',
    replace: '',
    tests: packets,
  },
  {
    name: 'a Local policy chooses from all',
    file: 'bpf/pool.h',
    find: 'frontend->flags & FRONTEND_LOCAL_ONLY ? frontend->local : frontend->any',
    replace: 'frontend->any',
    tests: packets,
  },
  {
    name: 'a flow is established before its client answered',
    file: 'bpf/tc.bpf.c',
    find: 'return flow->state & FLOW_REPLIED && !(flow->flags & FLOW_REPLY) &&',
    replace: 'return',
    tests: packets,
  },
  {
    name: 'TCP that did not begin here is taken for a beginning',
    file: 'bpf/tc.bpf.c',
    find: 'found == NOT_OURS || (found == NONE && is_tcp(&packet) && !is_tcp_start(&packet))',
    replace: 'found == NOT_OURS',
    tests: packets,
  },
  {
    name: 'a UDP flow stays with a backend that left',
    file: 'bpf/tc.bpf.c',
    find: 'is_tcp_start(packet) : now_seconds() != flow->seen',
    replace: 'is_tcp_start(packet) : false',
    tests: packets,
  },
  {
    name: 'what nobody translated leaves the node',
    file: 'bpf/tc.bpf.c',
    find: 'return drop(frontend.service_port, REASON_DROP_UNTRANSLATED);',
    replace: 'return TC_ACT_UNSPEC;',
    tests: packets,
  },
  {
    name: 'an address that no Service has leaves the node',
    file: 'bpf/tc.bpf.c',
    find: 'return drop(0, REASON_DROP_UNALLOCATED);',
    replace: 'return TC_ACT_UNSPEC;',
    tests: packets,
  },
  {
    name: 'the RST acknowledges one byte too little',
    file: 'bpf/reject.h',
    find: 'bpf_ntohl(old.seq) + old.syn + old.fin + data',
    replace: 'bpf_ntohl(old.seq) + data',
    tests: packets,
  },
  {
    name: 'a drop and a reject change places',
    file: 'bpf/tc.bpf.c',
    find: 'frontend->flags & FRONTEND_HAS_ENDPOINT ? REASON_DROP_NO_LOCAL_ENDPOINT',
    replace: '!(frontend->flags & FRONTEND_HAS_ENDPOINT) ? REASON_DROP_NO_LOCAL_ENDPOINT',
    tests: packets,
  },
]);

const binding = [
  ...plain([
    {
      name: 'noexist overwrites',
      file: 'native/map.ts',
      find: 'noexist: 1, exist: 2',
      replace: 'noexist: 0, exist: 2',
      tests: ['native/map.test.ts'],
    },
  ]),
  ...compiled('native', [
    {
      name: 'a long name is refused, not cut',
      file: 'native/src/map.c',
      find: "name[BPF_OBJ_NAME_LEN - 1] = '\\0';",
      replace: '',
      tests: ['native/map.test.ts'],
    },
  ]),
];

/** `make mutants` runs them. A fault that was found in real life belongs here, beside the test that would have caught it. */
export const mutants: readonly Mutant[] = [...layout, ...house, ...model_, ...kube_, ...plan_, ...programs, ...binding];
