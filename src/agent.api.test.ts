import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { pinPath, readPinned, runAgentIn, service } from '../test/agent.ts';
import { errorEvent, initialEnd, type ScriptedServer, startScriptedServer } from '../test/api/scripted-server.ts';
import { paths } from '../test/api/watched.ts';
import { startCli, untilSays } from '../test/cli.ts';
import { eventually } from '../test/netns/eventually.ts';
import { makeSandbox } from '../test/sandbox.ts';
import { watchApi } from './kube/api/api-source.ts';

const box = makeSandbox();
box.ip('link', 'set', 'lo', 'up');
test.after.always(() => box.close());

/** However busy this machine is. */
async function settles(attempt: () => void | Promise<void>): Promise<void> {
  await eventually(attempt, 60);
}

async function frontends(name: string): Promise<number> {
  return (await readPinned(box, name)).frontends.size;
}

/** As watch events of Services and of slices. */
function eventsOf(name: string, clusterIP: string, backend: string): { services: unknown; slices: unknown } {
  const [services, slices] = service(name, clusterIP, [backend]).map((object) => {
    const { metadata, ...rest } = object as { metadata: object };
    return { type: 'ADDED', object: { ...rest, metadata: { ...metadata, resourceVersion: '5' } } };
  });
  return { services, slices };
}

async function quietServer(t: { teardown(end: () => Promise<void>): void }): Promise<ScriptedServer> {
  const server = await startScriptedServer();
  t.teardown(() => server.close());
  server.idle(paths.nodes);
  server.idle(paths.cidrs);
  return server;
}

test.serial(
  'runAgent() with an API server: nothing is touched before all is known, then what is gone goes',
  async (t) => {
    const name = 'api';
    const server = await quietServer(t);
    const settings = {
      name,
      parse: { serviceProxyName: null, ranges: null },
      source: (onChange: Parameters<typeof watchApi>[1]) =>
        watchApi(
          {
            place: { kubeconfig: null, master: server.url },
            node: 'n1',
            serviceProxyName: null,
            userAgent: 'test',
            pace: { first: 1, longest: 4 },
          },
          onChange,
        ),
    };
    const [a, b] = [eventsOf('a', '10.96.0.1', '10.1.0.1'), eventsOf('b', '10.96.0.2', '10.1.0.2')];
    const first = runAgentIn(box, settings);
    (await server.next(paths.services)).events(a.services, b.services, initialEnd('9'));
    (await server.next(paths.slices)).events(a.slices, b.slices, initialEnd('9'));
    await settles(() => assert.ok(first.messages.some((text) => /rows written for 2/.test(text))));
    await first.stop();
    const before = await readPinned(box, name);

    const second = runAgentIn(box, settings);
    t.teardown(async () => await second.stop().catch(() => {}));
    const services = await server.next(paths.services);
    services.events(a.services, initialEnd('19'));
    const refused = await server.next(paths.slices);
    refused.refuse(500, 'not yet');
    await settles(() =>
      assert.ok(second.messages.some((text) => /does not tell about endpointslices: 500/.test(text))),
    );
    t.deepEqual(await readPinned(box, name), before, 'nothing was written from half of the story');
    const slices = await server.next(paths.slices);
    slices.events(a.slices, initialEnd('19'));
    await settles(async () => assert.equal(await frontends(name), before.frontends.size / 2));

    services.events(errorEvent(410, 'too old'));
    const anew = await server.next(paths.services);
    anew.events(b.services, initialEnd('29'));
    await settles(() => assert.ok(second.messages.some((text) => /[1-9] rows written for 2/.test(text))));
    t.is(await frontends(name), before.frontends.size / 2);
  },
);

test.serial('bpfsvc run --kubeconfig serves what an API server tells, with its own addresses alone', async (t) => {
  const server = await quietServer(t);
  const config = join(box.directory, 'kubeconfig');
  const clusters = [{ name: 'c', cluster: { server: server.url } }];
  const contexts = [{ name: 'x', context: { cluster: 'c', user: 'u' } }];
  const users = [{ name: 'u', user: { token: 'secret' } }];
  writeFileSync(config, JSON.stringify({ clusters, contexts, users }));
  const place = ['--cgroup', box.cgroup, '--pin-dir', pinPath(box, 'cli'), '--map-size', 'flows=1024'];
  const nowhere = ['--healthz-bind-address', '', '--metrics-bind-address', ''];
  const agent = startCli(['run', '--kubeconfig', config, '--node', 'n1', '--log-format', 'text', ...place, ...nowhere]);
  t.teardown(() => agent.kill('SIGKILL'));
  const said = untilSays(agent, /rows written for 1 Service in/);
  const services = await server.next(paths.services);
  t.is(services.headers.authorization, 'Bearer secret');
  t.regex(services.headers['user-agent'] ?? '', /^bpfsvc\/\d/);
  const waiting = { type: 'ADDED', object: { ...(eventsOf('w', '', '').services as { object: object }).object } };
  const { services: a, slices } = eventsOf('a', '10.96.0.1', '10.1.0.1');
  services.events(a, waiting, initialEnd('9'));
  (await server.next(paths.slices)).events(slices, initialEnd('9'));
  t.regex(await said, /Service default\/w: it has no clusterIP yet|rows written/);
  t.is((await readPinned(box, 'cli')).frontends.size, 2);
});
