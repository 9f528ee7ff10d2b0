import { faults, type Mutant } from './mutant.ts';

/** Faults of the way around the node's stack. */
export const bypass: readonly Mutant[] = [
  ...faults('bpf/bypass.h', 'bpf/bypass.test.ts', [
    [
      'a flow goes around without a way back, and in anybody’s name',
      'return pod_at(skb, &fib) == skb->ifindex ? device : 0;',
      'return pod_at(skb, &fib) + 1 ? device : 0;',
    ],
    ['who sends is not asked whether it goes around', ' || !takes_bypass(skb->ifindex)', ''],
    ['who receives is not asked whether it goes around', ' || !takes_bypass(fib->ifindex)', ''],
    ['what goes around lives for ever', ' || decrement_hop_limit(skb, packet)', ''],
    ['what is at its last hop goes around', 'hop_limit(skb, packet) <= 1', 'hop_limit(skb, packet) < 1'],
    ['what is too long goes around', 'fib.tot_len = length;', 'fib.tot_len = length ? 0 : 1;'],
    ['what goes around has the MACs of where it came from', 'skb, 0, macs, sizeof(macs), 0)', 'skb, 0, macs, 0, 0)'],
  ]),
  ...faults('bpf/tc.bpf.c', 'bpf/bypass.test.ts', [
    [
      'the reply of a flow that takes the usual way goes around',
      'flow->flags & FLOW_BYPASS && !is_anothers',
      '!is_anothers',
    ],
    [
      'a reply that goes around leaves no trace in its flow',
      'use(flow_touch(packet, flow, found == TENTATIVE, 0));\n\t\tverdict',
      ';\n\t\tverdict',
    ],
    [
      'a packet that leaves the way around is lost',
      'leave_other_hook(skb, packet);\n\treturn verdict;',
      'return verdict;',
    ],
  ]),
  ...faults('src/kernel/bypass.ts', 'src/kernel/bypass.test.ts', [
    ['a qdisc is gone around', "if (kinds !== '') return", "if (kinds === '-') return"],
    ['ports of a bridge are gone around', 'link.master !== 0', 'link.master < 0'],
  ]),
];
