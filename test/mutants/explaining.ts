import { faults, type Mutant } from './mutant.ts';

const sctp = 'bpf/sctp.test.ts';
const worlds = 'src/explain/explain.test.ts';
const live = 'src/commands/explain-live.test.ts';
const verify = 'src/commands/verify.test.ts';

/** Faults of SCTP, and of what is told before any packet was sent. */
export const explaining: readonly Mutant[] = [
  ...faults('bpf/nat.h', sctp, [
    ['the checksum of SCTP is taken for that of UDP', 'if (is_sctp(packet))', 'if (is_sctp(packet) && from != into)'],
    ['a port of SCTP is rewritten', 'return from == into ? rewrite_addresses(', 'return true ? rewrite_addresses('],
  ]),
  ...faults('bpf/odd.h', sctp, [
    [
      'every packet of SCTP begins',
      'packet->tcp_flags = ports.source || ports.destination ? 0',
      'packet->tcp_flags = false ? 0',
    ],
  ]),
  ...faults('bpf/flow_begin.h', sctp, [
    ['SCTP gets another port', 'if (attempt && search->key->protocol == IPPROTO_SCTP)', 'if (attempt > 7)'],
  ]),
  ...faults('bpf/reject.h', sctp, [
    ['SCTP is refused in silence', 'has_ports(packet) &&', 'has_ports(packet) && !is_sctp(packet) &&'],
  ]),
  ...faults('src/model/frontends.ts', worlds, [
    ['SCTP is served under any number', "if (port.protocol !== 'SCTP') return null;", 'return null;'],
  ]),
  ...faults('bpf/socket.h', live, [
    ['who is at work answers a rehearsal', '!config.rehearses && ctx->sk', 'false && !config.rehearses && ctx->sk'],
  ]),
  ...faults('src/explain/ask.ts', worlds, [
    ['the pool is always that of the cluster', "? 'local' : 'any';", "? 'any' : 'any';"],
    ['nobody is masqueraded', 'if (source !== null && source !== question.from)', 'if (source === null)'],
    ['the narrowed row stays', 'rehearsal.setFrontend(key, row);\n  }\n}', '}\n}'],
  ]),
  ...faults('src/explain/place.ts', worlds, [
    [
      'a nodePort goes before an exact address',
      'if (exact !== undefined) return',
      'if (exact !== undefined && false) return',
    ],
  ]),
  ...faults('src/explain/offline.ts', worlds, [
    [
      'Pods of the node are outside',
      "if (pods.has(address)) return { kind: 'pod'",
      "if (pods.has(address)) return { kind: 'outside'",
    ],
    ['endpoints of the node are elsewhere', 'nodeName === name ? address : []', '[]'],
  ]),
  ...faults('src/explain/explain.ts', worlds, [
    [
      'the way out is not asked',
      'return first.reason === null && !stays ?',
      'return first.reason === null && !stays && false ?',
    ],
  ]),
  ...faults('src/difference.ts', verify, [
    [
      'what went is not told',
      'const removed = old.filter((one) => !now.includes(one));',
      'const removed: string[] = [];',
    ],
  ]),
  ...faults('src/drift.ts', verify, [
    [
      'drift is never found',
      "return makePlan(world, held, 'all', sizes, options).steps;",
      "return makePlan(world, held, 'all', sizes, options).steps.slice(0, 0);",
    ],
  ]),
];
