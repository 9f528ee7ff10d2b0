/** deploy/monitoring against what the agent exports and what docs say. What PromQL means is promtool's matter: `make test-alerts`. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Registry } from '@prometheus-io/client';
import test from 'ava';
import { parse } from 'yaml';
import { countedNames } from '../src/kernel/occupancy.ts';
import { reason } from '../src/layout.gen.ts';
import { makeMetrics } from '../src/metrics.ts';
import { tableNames } from '../src/plan/tables.ts';
import { anchorsOf } from './documents.ts';
import { askedIn, groupedBy } from './promql.ts';

const root = join(import.meta.dirname, '..');
const read = (path: string) => readFileSync(join(root, path), 'utf8');

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

interface Panel {
  readonly id: number;
  readonly title: string;
  readonly type: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly targets?: readonly { readonly expr: string; readonly legendFormat: string }[];
}

const { groups } = parse(read('deploy/monitoring/alerts.yaml')) as { groups: { rules: Rule[] }[] };
const rules = groups.flatMap(({ rules }) => rules);
const dashboard = JSON.parse(read('deploy/monitoring/dashboard.json')) as {
  panels: Panel[];
  templating: { list: { name: string; query: string | { query: string } }[] };
};

/** Those that every scraped series has. */
const fromPrometheus = ['job', 'instance'];

/** name of a series → its labels, of everything the agent can export. */
function exported(): Map<string, readonly string[]> {
  const registry = new Registry();
  makeMetrics({ generation: undefined }, 'test', registry);
  const series = new Map<string, readonly string[]>([['up', []]]);
  for (const metric of registry.getMetricsAsArray() as unknown as {
    name: string;
    labelNames: string[];
    buckets?: unknown;
  }[]) {
    const { name, labelNames } = metric;
    const isHistogram = 'upperBounds' in metric || 'bucketValues' in metric;
    if (!isHistogram) series.set(name, labelNames);
    else
      for (const part of ['bucket', 'sum', 'count'])
        series.set(`${name}_${part}`, part === 'bucket' ? [...labelNames, 'le'] : labelNames);
  }
  return series;
}

const known = exported();

/** What a label may be, where that is a closed set. */
const values: Readonly<Record<string, readonly string[]>> = {
  reason: Object.keys(reason),
  map: [...tableNames, ...countedNames],
};

/** What is wrong with an expression. */
function complaints(expression: string): string[] {
  const found: string[] = [];
  const all = askedIn(expression);
  for (const { name, labels } of all) {
    const has = known.get(name);
    if (has === undefined) found.push(`no metric ${name}`);
    for (const { name: label, operator, value } of labels) {
      if (!has?.includes(label) && !fromPrometheus.includes(label)) found.push(`${name} has no label ${label}`);
      const allowed = values[label];
      if (allowed === undefined || value.startsWith('$')) continue;
      const wanted = operator.includes('~') ? alternatives(value) : [value];
      for (const one of wanted) if (!allowed.includes(one)) found.push(`${label} is never ${one}`);
    }
  }
  const anyHas = new Set([...fromPrometheus, ...all.flatMap(({ name }) => known.get(name) ?? [])]);
  for (const label of groupedBy(expression)) if (!anyHas.has(label)) found.push(`nothing there has a label ${label}`);
  if (all.length === 0) found.push('nothing is asked for');
  return found;
}

/** 'a_(b|c)' and 'a|b', which is all that is used here. */
function alternatives(pattern: string): string[] {
  const [, before = '', inner = pattern] = /^(\w*)\(([^)]*)\)$/.exec(pattern) ?? [];
  return inner.split('|').map((one) => before + one);
}

test('every query of the dashboard names what the agent exports, and labels it has', (t) => {
  const queries = dashboard.panels.flatMap(({ title, targets = [] }) =>
    targets.map(({ expr }) => [title, expr] as const),
  );
  t.true(queries.length > 30);
  for (const [title, expr] of queries) t.deepEqual(complaints(expr), [], `${title}: ${expr}`);
  for (const { name, query } of dashboard.templating.list) {
    const text = typeof query === 'string' ? query : query.query;
    const [, metric = '', label = ''] = /^label_values\((\w+), (\w+)\)$/.exec(text) ?? [];
    if (name === 'datasource') continue;
    t.true([...fromPrometheus, ...(known.get(metric) ?? [])].includes(label) && known.has(metric), text);
  }
});

test('a legend names labels that its query leaves', (t) => {
  for (const { title, targets = [] } of dashboard.panels) {
    for (const { expr, legendFormat } of targets) {
      const shown = [...legendFormat.matchAll(/\{\{(\w+)\}\}/g)].map(([, label = '']) => label);
      const left = groupedBy(expr);
      for (const label of shown) t.true(left.includes(label), `${title}: ${label} of ${expr}`);
    }
  }
});

test('what is asked for with the agent alone is on the dashboard: each metric that people look at', (t) => {
  const shown = new Set(
    dashboard.panels.flatMap(({ targets = [] }) =>
      targets.flatMap(({ expr }) => askedIn(expr).map(({ name }) => name)),
    ),
  );
  const ours = [...known.keys()].filter((name) => name.startsWith('bpfsvc_') && !/_(sum|count)$/.test(name));
  t.deepEqual(
    ours.filter((name) => !shown.has(name)),
    [],
  );
});

test('panels have ids of their own, and do not lie on each other', (t) => {
  const ids = dashboard.panels.map(({ id }) => id);
  t.is(new Set(ids).size, ids.length);
  const taken = new Map<string, string>();
  for (const { title, gridPos } of dashboard.panels) {
    for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++) {
      for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
        t.true(x < 24, title);
        t.is(taken.get(`${x} ${y}`), undefined, `${title} lies on ${taken.get(`${x} ${y}`)}`);
        taken.set(`${x} ${y}`, title);
      }
    }
  }
});

test('every alert asks for what the agent exports, says what to do, and is played by promtool', (t) => {
  const played = new Set(read('deploy/monitoring/alerts.test.yaml').match(/(?<=alertname: )\w+/g));
  t.deepEqual(new Set(rules.map(({ alert }) => alert)), played);
  for (const { alert, expr, labels, annotations } of rules) {
    t.deepEqual(complaints(expr), [], alert);
    t.true(['info', 'warning', 'critical'].includes(labels.severity ?? ''), alert);
    t.regex(annotations.summary ?? '', /\.$/, alert);
    t.regex(annotations.description ?? '', /\.$/, alert);
    const [path = '', anchor = ''] = (annotations.runbook ?? '').split('#');
    t.true(anchorsOf(read(path)).has(anchor), `${alert}: ${path}#${anchor}`);
  }
});

test('askedIn() and complaints() notice', (t) => {
  t.deepEqual(
    askedIn(
      'sum by (le, x) (rate(a_bucket{b="c,d",e=~"f|g"}[5m])) > 0.5 and on (x) topk(3, h offset 5m) or "text" unless i',
    ).map(({ name, labels }) => [name, labels.length]),
    [
      ['a_bucket', 2],
      ['h', 0],
      ['i', 0],
    ],
  );
  t.deepEqual(groupedBy('sum by (le, x) (a) / on () group_left b'), ['le', 'x']);
  t.deepEqual(complaints('rate(bpfsvc_drop_total[5m])'), ['no metric bpfsvc_drop_total']);
  t.deepEqual(complaints('bpfsvc_drops_total{reason="drop_nothing"}'), ['reason is never drop_nothing']);
  t.deepEqual(complaints('bpfsvc_drops_total{pod="a"}'), ['bpfsvc_drops_total has no label pod']);
  t.deepEqual(complaints('sum by (pod) (bpfsvc_drops_total)'), ['nothing there has a label pod']);
  t.deepEqual(complaints('bpfsvc_pass_duration_seconds > 1'), ['no metric bpfsvc_pass_duration_seconds']);
});
