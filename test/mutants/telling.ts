import { faults, type Mutant } from './mutant.ts';

const events = 'bpf/tell.test.ts';
const traces = 'src/commands/trace.test.ts';
const lines = 'src/commands/trace-text.test.ts';
const metrics = 'src/metrics.test.ts';
const server = 'src/metrics-server.test.ts';
const layout = 'bpf/layout.test.ts';

/** Faults of what is told as it happens, and of what is counted for Prometheus. */
export const telling: readonly Mutant[] = [
  ...faults('bpf/tell.h', events, [
    ['a listener that is gone is still told', '(__s32)(filter->until - now_seconds()) < 0 ||', 'false ||'],
    ['every kind of event is told', '!(filter->kinds & kind_of(reason))', '!filter->kinds'],
    ['every reason is told', '(filter->reason && filter->reason != reason)', 'false'],
    ['a Service is known by its namespace alone', 'i < 16; i++', 'i < 8; i++'],
    ['the address of a backend is not looked for', 'same_address(&becomes->destination, address)', 'false'],
    ['drops are told as refusals', 'if (reason < REASON_DROP_NO_LOCAL_ENDPOINT)', 'if (reason < REASON_ENDED_FIN)'],
    ['a flow is told from its backend’s side', 'if (!(becomes->flags & FLOW_REPLY)) {', 'if (becomes) {'],
    ['what is lost is not counted', 'count(0, REASON_EVENT_LOST);', ''],
  ]),
  ...faults('bpf/flow.h', events, [
    ['the end of a flow is told twice', 'if (is_closing(flow->state))\n		return;\n	use(tell(key', 'use(tell(key'],
    [
      'an idle flow was replaced',
      'idle ? REASON_ENDED_IDLE : REASON_ENDED_REPLACED',
      'idle ? REASON_ENDED_REPLACED : REASON_ENDED_IDLE',
    ],
  ]),
  ...faults('bpf/flow_state.h', events, [
    ['one FIN ends a flow', 'is_closing(flow->state | news)', '(news & ~FLOW_REPLIED)'],
    ['a reset is a FIN', 'news & FLOW_RESET ? REASON_ENDED_RESET', 'news & FLOW_REPLIED ? REASON_ENDED_RESET'],
  ]),
  ...faults('bpf/verdict.h', events, [
    ['drops are not told', 'use(tell(tuple, NULL, service_port, reason));', 'use(!!tuple);'],
    ['flows made are not told', 'use(tell(asked, flow, flow->service_port, reason));', ''],
  ]),
  ...faults('bpf/reject.h', events, [
    ['refusals are not told', 'use(tell(&packet->tuple, NULL, service_port, reason));', ''],
  ]),
  ...faults('bpf/schema.ts', layout, [
    [
      'an anchor may point at any struct',
      'return ids.some((id) => at(btf, id).name === name);',
      'return name !== ids[0];',
    ],
  ]),
  ...faults('src/kernel/trace.ts', traces, [
    ['programs go on telling', 'this.#set(silence);', ''],
    ['what another left unread is told', 'told.time >= begin', 'told.time >= 0n'],
    [
      'two may listen',
      'makeDirectory(dir.trace);\n    this.#lock = lockTrace(dir.trace);',
      'makeDirectory(dir.trace + process.pid);\n    this.#lock = lockTrace(dir.trace + process.pid);',
    ],
    ['it does not follow to the next generation', 'this.#generation = next;', 'this.#generation = this.#generation;'],
  ]),
  ...faults('src/commands/trace.ts', traces, [
    ['it listens to the wrong namespace', 'service: name,\n', 'service: namespace,\n'],
    ['it ends when somebody reads no more, and leaves the filter', "process.on('exit', () => listening.close());", ''],
  ]),
  ...faults('src/commands/trace-text.ts', lines, [
    ['titles stand for each line', 'isFirst = false;', ''],
    ['what a backend sees is not shown', 'becomes.source !== asked.source', 'becomes.source === asked.destination'],
  ]),
  ...faults('src/commands/trace-items.ts', lines, [
    ['microseconds lose their zeros', "String(microseconds).padStart(6, '0')", 'String(microseconds)'],
  ]),
  ...faults('src/metrics.ts', metrics, [
    ['counters grow at each look', 'one.reset();', ''],
    [
      'large maps are counted at each look',
      'performance.now() - last.at > milliseconds',
      'performance.now() > last.at',
    ],
    [
      'a moved port is a connection',
      'if (why === reason.connected_moved) moved.inc(labels, value);\n        else ',
      '',
    ],
    ['problems are not counted', 'problems.set(number);', ''],
  ]),
  ...faults('src/server.ts', server, [
    ['an address that is taken is given up', 'timer = setTimeout(() => server.listen(place), retryMs);', ''],
    ['who waits for an answer keeps it alive', 'server.closeAllConnections();', ''],
  ]),
  ...faults('src/page-server.ts', server, [['each try is a warning', 'isTold = true;', '']]),
];
