import { frontendFlag, reason, reasonName, scheduler, servicePortName, u32 } from '../layout.gen.ts';
import { endpointText } from '../model/address.ts';
import { placeNames } from '../model/places.ts';
import type { Step } from './answer.ts';
import { isConnected, type Said } from './ask.ts';
import { endpointSteps } from './endpoints.ts';
import type { Journey } from './explain.ts';
import { addressRow } from './place.ts';
import type { Stage } from './stage.ts';
import { whyNothing } from './unprogrammed.ts';

/** The journey in words, and why it ended as it did in one sentence. */
export function stepsOf(stage: Stage, journey: Journey): { reason: string; steps: Step[] } {
  const words = reasonOf(stage, journey);
  const steps: Step[] = [
    sourceStep(journey),
    ...journey.said.flatMap((said) => [hookStep(said, journey), ...exitSteps(said)]),
    ...serviceSteps(stage, journey, words),
    { step: 'verdict', text: verdictText(journey, words) },
    ...masqueradeSteps(journey),
    ...hairpinSteps(stage, journey),
    ...packetSteps(journey),
  ];
  return { reason: words, steps };
}

function sourceStep({ question, source }: Journey): Step {
  const name = { pod: 'a pod', node: 'this node itself', outside: 'outside' }[source.kind];
  return { step: 'source', text: `${question.from} is ${name}: ${source.why}` };
}

const hookNames = {
  connect: 'connect() of a process of the node (socket hook)',
  from_pod: "from_pod, where a pod's packet enters the node",
  from_wire: 'from_wire, where a packet from outside enters the node',
  to_pod: 'to_pod, where a packet leaves for a pod',
  to_wire: 'to_wire, where a packet leaves the node',
} as const;

function hookStep({ hook, reason: why }: Said, { source }: Journey): Step {
  const stands =
    hook === 'from_pod' && source.kind === 'node' ? ', here for the socket hook, which cannot be asked' : '';
  return {
    step: 'hook',
    text: `${hookNames[hook]}${stands}: ${why === null ? 'lets it pass as it is' : reasonName(why)}`,
  };
}

function exitSteps({ exit }: Said): Step[] {
  return exit === null
    ? []
    : [{ step: 'hook', text: `${hookNames[exit]}: the source becomes the node's (--masquerade-all)` }];
}

function serviceSteps(stage: Stage, journey: Journey, words: string): Step[] {
  const { asked, question, candidates, source } = journey;
  if (asked === null) {
    const others = whyNothing(stage, question).filter((text) => text !== words);
    return others.map((text) => ({ step: 'note', text }));
  }
  const { place, row } = asked;
  const who = nameOf(stage, row.servicePort);
  const by =
    place === 'node'
      ? `nodePort ${question.port} on the node address ${question.to}`
      : `${placeNames[place]} ${question.to}`;
  const steps: Step[] = [{ step: 'service', text: `${who} is asked by its ${by}` }];
  steps.push({ step: 'policy', text: policyText(journey) });
  if (row.flags & frontendFlag.source_ranges && !(source.kind === 'node' && question.protocol === 'sctp')) {
    /* a socket hook lets pass whom they keep out */
    const keptOut: readonly (number | null)[] = [null, reason.drop_source_range, reason.drop_untranslated];
    const isIn = !keptOut.includes(journey.why);
    steps.push({
      step: 'ranges',
      text: `loadBalancerSourceRanges guard this address: ${question.from} is ${isIn ? 'inside' : 'in none of them'}`,
    });
  }
  steps.push(...endpointSteps(stage, journey));
  if (candidates !== null) {
    steps.push({
      step: 'set',
      text: `${candidates.backends.length} may be chosen, ${schedulerText(row.scheduler)}: ${candidates.backends.join(', ')}`,
    });
  }
  if (row.affinitySeconds > 0) {
    const before = stage.remembered(question.from, row.servicePort);
    const now = before === null ? '' : `; now that is ${before}`;
    const text = `ClientIP: the same client gets the same backend again for ${row.affinitySeconds} s, while that is in the set${now}`;
    steps.push({ step: 'affinity', text });
  }
  return steps;
}

const fewest = 'the one with the fewest connections of this node';
const schedulerTexts: Readonly<Record<number, string>> = {
  [scheduler.random]: 'each as likely as the other',
  [scheduler.rr]: 'by scheduler rr, in turn',
  [scheduler.lc]: `by scheduler lc, ${fewest}`,
  [scheduler.sed]: `by scheduler sed, ${fewest}`,
  [scheduler.nq]: `by scheduler nq, ${fewest}`,
  [scheduler.sh]: "by scheduler sh, a hash of the client's address",
  [scheduler.dh]: 'by scheduler dh, a hash of the address asked',
  [scheduler.maglev]: "by scheduler maglev, a hash of the client's address",
};

function schedulerText(of: number): string {
  return schedulerTexts[of] ?? `by a scheduler of another release, ${of}`;
}

function nameOf({ tables }: Stage, servicePort: number): string {
  const value = tables.names.get(u32.encode(servicePort));
  if (value === undefined) return `service port ${servicePort}`;
  const { namespace, service, port, number, protocol } = servicePortName.decode(value);
  const label = { 6: 'TCP', 17: 'UDP', 132: 'SCTP' }[protocol] ?? `protocol ${protocol}`;
  const text = `${number}/${label}`;
  return `Service ${namespace}/${service}, port ${port === '' ? text : `${port} (${text})`}`;
}

function policyText({ asked, source, candidates }: Journey): string {
  if (asked === null) return '';
  const { place, row } = asked;
  const policy = place === 'cluster' ? 'internalTrafficPolicy' : 'externalTrafficPolicy';
  if (!(row.flags & (frontendFlag.local_only | frontendFlag.local_outside))) {
    return `${policy} Cluster: endpoints of all nodes may answer`;
  }
  const isShort = place !== 'cluster' && source.kind !== 'outside' && candidates?.pool !== 'local';
  if (!isShort) return `${policy} Local: only endpoints of this node may answer`;
  const who = source.kind === 'pod' ? 'a pod' : 'this node';
  return `${policy} Local is for clients from outside, and this one is ${who}: endpoints of all nodes may answer`;
}

const reasons: Readonly<Record<number, string>> = {
  [reason.reject_no_endpoint]:
    'the Service has no endpoint that could answer, here or anywhere: the client is told at once',
  [reason.reject_undefined_port]:
    'the address is a clusterIP, and this port and protocol is none of its own: the client is told at once',
  [reason.drop_no_local_endpoint]:
    'the traffic policy is Local and no endpoint of this node can answer, but others could: dropped in silence',
  [reason.drop_unallocated]: 'the address is in a ServiceCIDR and no Service has it: it may not leave the node',
  [reason.drop_source_range]: 'the source is in none of loadBalancerSourceRanges: dropped in silence',
  [reason.drop_untranslated]: 'a service address that nobody may answer may not leave the node: dropped in silence',
};

function reasonOf(stage: Stage, { verdict, why, question, asked, candidates }: Journey): string {
  if (verdict === 'dnat')
    return `${candidates?.backends.length === 1 ? 'one backend' : `${candidates?.backends.length} backends`} may answer`;
  if (why === reason.drop_untranslated && asked !== null && !asked.row.any.count && !asked.row.local.count) {
    return reasons[reason.drop_no_local_endpoint] ?? '';
  }
  if (why !== null && !isConnected(why)) return reasons[why] ?? reasonName(why);
  if (asked !== null)
    return 'no socket hook translates or drops this, and to an address of its own the node sends it past all others: it reaches the node itself';
  const [nothing] = whyNothing(stage, question);
  if (nothing !== undefined) return nothing;
  const of = addressRow(stage.tables, question.to);
  return of === null
    ? 'it is no Service: not ours'
    : "the address is a Service's, and this port is none of its own: not ours";
}

function verdictText({ verdict }: Journey, words: string): string {
  const names = { dnat: 'translated', reject: 'rejected', drop: 'dropped', pass: 'passed on untouched' };
  return `${names[verdict]}: ${words}`;
}

function masqueradeSteps({ verdict, candidates, question, source }: Journey): Step[] {
  if (verdict !== 'dnat' || candidates === null) return [];
  if (source.kind === 'node')
    return [{ step: 'masquerade', text: 'none: the node chooses its source after the address was translated' }];
  const { masqueraded, backends } = candidates;
  if (masqueraded.length === 0) return [{ step: 'masquerade', text: `none: every backend sees ${question.from}` }];
  const who = masqueraded.length === backends.length ? 'every backend' : masqueraded.join(', ');
  return [{ step: 'masquerade', text: `for ${who} the source is replaced, so that the answers come back this way` }];
}

/** Where a pod's own socket is translated, nothing of this is seen: programs have it only of what no socket hook saw. */
function hairpinSteps({ masqueradeAll }: Stage, { question, source, asked, candidates }: Journey): Step[] {
  const isLeft = masqueradeAll || question.protocol !== 'tcp' || (asked?.row.affinitySeconds ?? 0) > 0;
  if (source.kind !== 'pod' || isLeft || !isHairpin(candidates?.backends ?? [], question.from)) return [];
  const text = `a process of the pod itself is translated in its connect() (socket hook): it reaches itself as ${question.from}, and no packet has the address of the Service`;
  return [{ step: 'note', text }];
}

function packetSteps({ said }: Journey): Step[] {
  const [first] = said;
  if (first === undefined || first.hook === 'connect') return [];
  const { sent, becomes } = first;
  const text = (tuple: NonNullable<typeof becomes>) =>
    `${endpointText(tuple.source, tuple.sourcePort)} → ${endpointText(tuple.destination, tuple.destinationPort)}`;
  return [
    {
      step: 'packet',
      text: becomes === null ? `${text(sent)} goes no further` : `${text(sent)} goes on as ${text(becomes)}`,
    },
  ];
}

/** Is the client among its own backends? */
function isHairpin(backends: readonly string[], client: string): boolean {
  return backends.some((backend) => backend.startsWith(`${client}:`) || backend.startsWith(`[${client}]:`));
}
