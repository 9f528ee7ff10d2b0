import { faults, type Mutant } from './mutant.ts';

const packets = 'bpf/schedule.test.ts';
const sockets = 'bpf/schedule-socket.test.ts';
const table = 'src/plan/maglev.test.ts';
const recount = 'src/kernel/connections.test.ts';

/** Faults of how backends are chosen otherwise than by chance, and of what counts as a connection. */
export const scheduling: readonly Mutant[] = [
  ...faults('bpf/schedule.h', packets, [
    ['turns are not taken', '__sync_fetch_and_add(&round->turns, 1) %', 'round->turns %'],
    ['the first of those with connections is as good as any', 'if (load < search->best) {', 'if (!turn) {'],
    ['sockets do not count', '(__u64)connections_in(&socket_connections, &search->key) +', ''],
    ['flows do not count', ' + connections_in(&flow_connections, &search->key);', ';'],
    ['only the first backends are asked', 'search->first = ((__u64)bpf_get_prandom_u32() * search->count) >> 32;', ''],
    [
      'the lowest hash of a few is as good as the highest, now and then',
      'if (!turn || hash > search->best) {',
      'if (!turn || hash & 1) {',
    ],
    [
      'backends at one address are one to a hash',
      'same_address(&row->address, &search->key.address) ? search->first + 1 : 0',
      '0',
    ],
    ['a hash of the client is a hash of nothing', 'search->seed = hash_address(hashed, 0);', 'search->seed = !hashed;'],
    [
      'the table of a pool is sought in the pool',
      'return search->start + search->count + (((',
      'return search->start + (((',
    ],
    ['the end of a table is never reached', '(count <= 1024 ? 64 : 16)', '(count <= 1024 ? 16 : 16)'],
  ]),
  ...faults('bpf/pool.h', packets, [
    [
      'dh is a hash of the client',
      'frontend->scheduler == SCHEDULER_DH ? asked : client',
      'frontend->scheduler == SCHEDULER_DH && !asked ? asked : client',
    ],
  ]),
  ...faults('bpf/connections.h', packets, [
    ['below zero is very much', 'row && (__s32)row->count > 0 ? row->count : 0', 'row ? row->count : 0'],
    [
      'of a reply the client is counted',
      'flow->flags & FLOW_REPLY ? of->source : flow->destination',
      'flow->destination',
    ],
  ]),
  ...faults('bpf/choose.h', packets, [['flows are not counted', 'flow->flags = FLOW_COUNTED;', ';']]),
  ...faults('bpf/flow_state.h', packets, [
    ['a flow that ended counts on', 'use(flow_count(&packet->tuple, flow, -1));', ';'],
  ]),
  ...faults('bpf/flow.h', packets, [['a flow that was replaced counts on', 'use(flow_count(key, flow, -1));', ';']]),
  ...faults('bpf/socket.h', sockets, [
    ['a closed socket counts on', '__sync_fetch_and_add(&row->count, -1);', ';'],
    ['a socket that chooses again is counted twice', 'if (place->service_port)\n		socket_uncount(place);', ''],
  ]),
  ...faults('bpf/connect.bpf.c', sockets, [
    [
      'sockets are counted for no scheduler',
      'if (is_by_connections(frontend))\n		socket_count',
      'if (!frontend)\n		socket_count',
    ],
    [
      'a socket has no address to hash',
      '(frontend->affinity_seconds || is_by_client(frontend)) &&',
      'frontend->affinity_seconds &&',
    ],
  ]),
  ...faults('bpf/asked.h', sockets, [
    [
      'sockets of pods hash what packets hash otherwise',
      'frontend->affinity_seconds || is_by_client(frontend) ||',
      'frontend->affinity_seconds ||',
    ],
  ]),
  ...faults('src/plan/maglev.ts', table, [
    ['backends do not take turns', 'const i = taken % rows.length;', 'const i = taken % 2 % rows.length;'],
    ['the place in the pool counts in a hash', 'rows[i - 1]?.startsWith(address) ? place + 1 : 0', 'row ? i : 0'],
    ['ports count in a hash', ', 0x811c9dc5) & mask', ' + row, 0x811c9dc5) & mask'],
    [
      'the slots of a table are free',
      'count: count + tableSize(scheduler, count)',
      'count: Math.max(count, 0 * tableSize(scheduler, count))',
    ],
  ]),
  ...faults('src/kernel/connections.ts', recount, [
    ['what is over counts', "if (isOver(row, flowKey.decode(text).protocol, name === 'half_open', now)) continue;", ''],
    ['both rows of a flow count', '(flowFlag.counted | flowFlag.reply)) !==', 'flowFlag.counted) !=='],
    ['a confirmed flow counts twice', 'if (known.has(text)) continue;', ''],
    ['what happens meanwhile is lost', 'countOf(readRow(counts, key))', 'countOf(before.get(key))'],
    [
      'backends that are gone stay',
      'if (found === 0 && !isServed(key)) counts.delete(',
      'if (found < 0) counts.delete(',
    ],
    [
      'sockets of a backend that is gone are forgotten',
      'if (countOf(value) === 0 && !isServed(key)) sockets',
      'if (!isServed(key)) sockets',
    ],
  ]),
  ...faults('src/kube/services.ts', 'src/kube/services.test.ts', [
    ['an unknown scheduler is served at random', 'return scheduler ?? otherwise;', "return scheduler ?? 'random';"],
  ]),
];
