import { reason, servicePortName, u32 } from '../layout.gen.ts';
import { endpointText, familyOf } from '../model/address.ts';
import { distinctEndpoints, isUsable } from '../model/endpoints.ts';
import { type Endpoint, portKey } from '../model/service.ts';
import type { Step } from './answer.ts';
import type { Journey } from './explain.ts';
import type { Stage } from './stage.ts';

/** Each endpoint of the service port that was asked: in or out, and why. */
export function endpointSteps({ tables, known }: Stage, { asked, question, candidates, why }: Journey): Step[] {
  const value = asked === null ? undefined : tables.names.get(u32.encode(asked.row.servicePort));
  if (value === undefined || known === null || asked === null) return [];
  const { namespace, service, port, protocol } = servicePortName.decode(value);
  const key = portKey({
    name: port,
    protocol: ({ 6: 'TCP', 17: 'UDP', 132: 'SCTP' } as const)[protocol as 6] ?? 'TCP',
  });
  const all = known.world.endpoints.get(`${namespace}/${service}`)?.get(key) ?? [];
  const family = familyOf(question.to);
  const endpoints = distinctEndpoints(all.filter(({ address }) => familyOf(address) === family));
  if (endpoints.length === 0)
    return [{ step: 'endpoint', text: `the Service has no IPv${family} endpoint for this port` }];
  const chosen = new Set(candidates?.backends ?? []);
  const here = known.world.node.name;
  const isLocalDrop = why === reason.drop_no_local_endpoint || (candidates === null && asked.row.any.count === 0);
  const localOnly = candidates?.pool === 'local' || isLocalDrop;
  return endpoints.map((endpoint): Step => {
    const text = endpointText(endpoint.address, endpoint.port);
    const isIn = chosen.has(text);
    const where =
      endpoint.nodeName === here
        ? 'on this node'
        : endpoint.nodeName === ''
          ? 'on a node that is not named'
          : `on ${endpoint.nodeName}`;
    const words = isIn ? stateOf(endpoint) : whyOut(endpoint, endpoints, here, localOnly);
    return { step: 'endpoint', text: `${text} ${where}: ${isIn ? 'in' : 'out'}, ${words}` };
  });
}

function stateOf({ ready, serving, terminating }: Endpoint): string {
  if (ready) return terminating ? 'ready, although it terminates' : 'ready';
  if (terminating) return serving ? 'serving while it terminates' : 'terminating and serving no more';
  return 'not ready';
}

function whyOut(endpoint: Endpoint, all: readonly Endpoint[], here: string, localOnly: boolean): string {
  if (!isUsable(endpoint)) return stateOf(endpoint);
  if (localOnly && endpoint.nodeName !== here) return "the Local policy asks this node's alone";
  if (!endpoint.ready && all.some(({ ready, nodeName }) => ready && (!localOnly || nodeName === here)))
    return `${stateOf(endpoint)}, and others are ready`;
  if (endpoint.nodeHints.length + endpoint.zoneHints.length > 0) {
    const hints = [
      ...endpoint.nodeHints.map((name) => `node ${name}`),
      ...endpoint.zoneHints.map((name) => `zone ${name}`),
    ];
    return `its hints are for ${hints.join(', ')}`;
  }
  return 'nobody is chosen';
}
