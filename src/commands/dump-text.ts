import { columns } from './columns.ts';
import type { AffinityItem, FlowItem } from './dump-flows.ts';
import type { BackendItem, FrontendItem, PoolName, ServiceItem } from './dump-items.ts';
import { serviceText } from './service-ref.ts';

/** Backends that fit into so many characters stand in a cell, but at least one; the others are counted. */
const WIDEST = 22;

export function servicesText(items: readonly ServiceItem[], wide: boolean): string {
  const titles = [
    'NAMESPACE',
    'NAME',
    'TYPE',
    'CLUSTER-IP',
    'EXTERNAL-IP',
    'PORT',
    'BACKENDS',
    'CONNECTIONS',
    'REFUSED',
    'DROPPED',
  ];
  const rows = items.map((item) => {
    const { namespace, name, portName, port, protocol, pool, scheduler, affinitySeconds, counters, id } = item;
    /* as kubectl shows the first clusterIP alone, but not in silence */
    const addresses = (texts: readonly string[]) => (wide ? texts.join(',') : firstOf(texts, 1));
    const text = [
      namespace,
      name,
      item.type,
      addresses(item.clusterIPs),
      addresses(item.externalIPs),
      `${portName && `${portName}:`}${port}${item.nodePort === null ? '' : `:${item.nodePort}`}/${protocol}`,
      wide ? item.backends.join(',') : shortened(item.backends),
      String(sum(counters, 'connected_') - (counters.connected_moved ?? 0)), // counted as a connection, too
      String(sum(counters, 'reject_')),
      String(sum(counters, 'drop_')),
    ];
    const affinity = affinitySeconds > 0 ? `${affinitySeconds}s` : '';
    return wide ? [...text, pool, scheduler, affinity, reasonsText(counters), String(id)] : text;
  });
  return columns(wide ? [...titles, 'POOL', 'SCHEDULER', 'AFFINITY', 'COUNTERS', 'ID'] : titles, rows);
}

/** What was counted of no Service's: an address that none has, a connection straight to a pod. Empty if nothing was. */
export function noServiceText(counters: ServiceItem['counters']): string {
  const reasons = reasonsText(counters);
  return reasons && `\nof no Service: ${reasons}\n`;
}

function reasonsText(counters: ServiceItem['counters']): string {
  return Object.entries(counters)
    .map(([why, count]) => `${why}=${count}`)
    .join(',');
}

export function frontendsText(items: readonly FrontendItem[], wide: boolean): string {
  const titles = ['ADDRESS', 'PORT', 'PROTOCOL', 'SERVICE', 'POOL', 'BACKENDS', 'SCHEDULER', 'AFFINITY', 'OTHERWISE'];
  const rows = items.map((item) => {
    const isAddress = item.port === null;
    const text = [
      item.kind === 'nodePort' ? (item.address.includes(':') ? '<node IPv6>' : '<node IPv4>') : item.address,
      isAddress ? '*' : String(item.port),
      item.protocol ?? '*',
      serviceText(item),
      isAddress ? '' : poolText(item, (pool) => pool),
      isAddress ? '' : poolText(item, (pool) => String(item.segments[pool].count)),
      item.scheduler ?? '',
      item.affinitySeconds > 0 ? `${item.affinitySeconds}s` : '',
      isAddress ? (item.kind === 'clusterIP' ? 'reject' : 'pass') : item.hasEndpoint ? 'drop' : 'reject',
    ];
    const { any, local } = item.segments;
    return wide ? [...text, `${any.start}+${any.count}`, `${local.start}+${local.count}`, String(item.id)] : text;
  });
  return columns(wide ? [...titles, 'ANY', 'LOCAL', 'ID'] : titles, rows);
}

/** What is said of the pool; of that for clients from outside too, if it is another one. */
function poolText({ pool, outsidePool }: FrontendItem, of: (pool: PoolName) => string): string {
  return pool === outsidePool ? of(pool) : `${of(pool)}, outside ${of(outsidePool)}`;
}

export function backendsText(items: readonly BackendItem[], wide: boolean): string {
  const titles = ['NAMESPACE', 'NAME', 'PORT', 'PROTOCOL', 'ADDRESS', 'TARGET-PORT', 'POOLS', 'CONNECTIONS'];
  const rows = items.map((item) => {
    const port = item.portName ? `${item.portName}:${item.servicePort}` : String(item.servicePort);
    const text = [
      item.namespace,
      item.name,
      port,
      item.protocol,
      item.address,
      String(item.port),
      item.pools.join(','),
      item.connections === null ? '' : String(item.connections),
    ];
    return wide ? [...text, String(item.id)] : text;
  });
  return columns(wide ? [...titles, 'ID'] : titles, rows);
}

/**
 * Only the rows of the way there, unless wide: their twins say nothing new. A client whose backend sees another address
 * is told with that.
 */
export function flowsText(items: readonly FlowItem[], wide: boolean): string {
  const titles = ['SERVICE', 'PROTOCOL', 'CLIENT', 'TO', 'BACKEND', 'STATE', 'IDLE'];
  const rows = items
    .filter((item) => wide || !item.reply)
    .map((item) => {
      const { halfOpen, hairpin, masquerade } = item;
      const marks = [hairpin ? 'hairpin' : '', masquerade ? 'masquerade' : ''];
      const state = [halfOpen ? 'half_open' : '', ...item.state, ...marks].filter(Boolean);
      const text = [
        serviceText(item),
        item.protocol,
        item.from.source,
        item.from.destination,
        wide || item.becomes.source === item.from.source
          ? item.becomes.destination
          : `${item.becomes.destination} as ${item.becomes.source}`,
        state.join(','),
        `${item.idleSeconds}s`,
      ];
      return wide ? [...text, item.hook, item.reply ? 'back' : 'there', item.becomes.source] : text;
    });
  return columns(wide ? [...titles, 'HOOK', 'WAY', 'NEW-SOURCE'] : titles, rows);
}

export function affinityText(items: readonly AffinityItem[], wide: boolean): string {
  const titles = ['SERVICE', 'CLIENT', 'BACKEND', 'IDLE'];
  const rows = items.map((item) => {
    const client = item.netns === null ? item.client : `netns ${item.netns}`;
    const text = [serviceText(item), client, item.backend, `${item.idleSeconds}s`];
    return wide ? [...text, String(item.id)] : text;
  });
  return columns(wide ? [...titles, 'ID'] : titles, rows);
}

function shortened(backends: readonly string[]): string {
  let shown = backends.length;
  while (shown > 1 && firstOf(backends, shown).length > WIDEST) shown--;
  return firstOf(backends, shown);
}

function firstOf(backends: readonly string[], count: number): string {
  const more = backends.length - count;
  return `${backends.slice(0, count).join(',')}${more > 0 ? ` +${more}` : ''}`;
}

function sum(counters: Readonly<Record<string, number>>, kind: string): number {
  return Object.entries(counters).reduce((total, [why, count]) => (why.startsWith(kind) ? total + count : total), 0);
}
