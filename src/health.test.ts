import test from 'ava';
import { type Health, makeHealth } from './health.ts';
import type { KubeNode } from './kube/parse.ts';
import { type Clock, type Family, makeProgress } from './progress.ts';

const node: KubeNode = { name: 'n1', labels: {}, zone: '', internalIPs: [], podCidrs: [], isLeaving: false };

function stage(): { health: Health; wait(seconds: number): void; queue(...families: Family[]): void; pass(): void } {
  let now = Date.UTC(2026, 0, 1);
  const clock: Clock = { wall: () => now, steady: () => now };
  const progress = makeProgress(clock);
  const health = makeHealth(progress, () => now);
  health.node = node;
  return {
    health,
    wait(seconds) {
      now += seconds * 1000;
    },
    queue: (...families) =>
      progress.queued([{ name: families.join(), families, isService: true, isEndpoints: true }], []),
    pass() {
      progress.begun();
      progress.ended(new Set());
    },
  };
}

test('makeHealth() is healthy before anything happened, and knows of no family', (t) => {
  const { health } = stage();
  const report = {
    lastUpdated: '2026-01-01T00:00:00.000Z',
    currentTime: '2026-01-01T00:00:00.000Z',
    nodeEligible: true,
    healthy: true,
    status: {},
  };
  t.deepEqual(health.healthz(), { code: 200, report });
  const { nodeEligible: _, ...live } = report;
  t.deepEqual(health.livez(), { code: 200, report: live });
});

test('makeHealth() is unhealthy from a minute on that a family’s change waits, and says which', (t) => {
  const { health, wait, queue, pass } = stage();
  pass();
  wait(10);
  queue(6);
  wait(59.999);
  t.is(health.livez().code, 200);
  t.true(health.isHealthy());
  wait(0.001);
  t.false(health.isHealthy());
  const report = {
    lastUpdated: '2026-01-01T00:00:00.000Z',
    currentTime: '2026-01-01T00:01:10.000Z',
    healthy: false,
    status: {
      IPv4: { lastUpdated: '2026-01-01T00:00:00.000Z', healthy: true },
      IPv6: { lastUpdated: '2026-01-01T00:00:00.000Z', healthy: false },
    },
  };
  t.deepEqual(health.livez(), { code: 503, report });
  t.deepEqual(health.healthz(), { code: 503, report: { ...report, nodeEligible: true } });
  pass();
  const time = '2026-01-01T00:01:10.000Z';
  const good = { lastUpdated: time, healthy: true };
  t.deepEqual(health.livez(), {
    code: 200,
    report: { lastUpdated: time, currentTime: time, healthy: true, status: { IPv4: good, IPv6: good } },
  });
});

test('makeHealth() stays healthy while changes never end, each written in time', (t) => {
  const { health, wait, queue, pass } = stage();
  for (let i = 0; i < 20; i += 1) {
    queue(4, 6);
    wait(10);
    pass();
  }
  queue(4);
  wait(59);
  t.true(health.isHealthy());
});

test('makeHealth() is unhealthy if not even the first pass comes to an end', (t) => {
  const { health, wait, queue } = stage();
  queue(4);
  wait(61);
  t.like(health.livez(), {
    code: 503,
    report: {
      lastUpdated: '0001-01-01T00:00:00Z',
      healthy: false,
      status: { IPv4: { lastUpdated: '0001-01-01T00:00:00Z', healthy: false } },
    },
  });
});

for (const [why, own] of [
  ['unknown', undefined],
  ['leaving', { ...node, isLeaving: true }],
] as const) {
  test(`makeHealth() sends load balancers away where the Node is ${why}, and the proxy stays healthy`, (t) => {
    const { health, wait, pass } = stage();
    pass();
    wait(5);
    health.node = own;
    t.like(health.healthz(), {
      code: 503,
      report: { nodeEligible: false, healthy: true, lastUpdated: '2026-01-01T00:00:00.000Z' },
    });
    t.is(health.livez().code, 200);
    t.true(health.isHealthy());
    t.false('nodeEligible' in health.livez().report);
  });
}
