import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import yargs from 'yargs';
import { addAgentFlags, addRuleFlags, type ProxyFlags, settleProxy } from './proxy-flags.ts';
import { ignored } from './proxy-ignored.ts';
import type { ProxyOptions, Settled } from './proxy-options.ts';
import { fieldPaths } from './proxy-schema.ts';
import { UsageError } from './usage.ts';

const folder = mkdtempSync(join(tmpdir(), 'bpfsvc-flags-'));
test.after.always(() => rmSync(folder, { recursive: true }));

function settled(...args: string[]): Settled {
  const cli = addAgentFlags(addRuleFlags(yargs(args)))
    .strict()
    .exitProcess(false)
    .fail((message, error) => {
      throw error ?? new UsageError(message);
    });
  return settleProxy(cli.parseSync() as unknown as ProxyFlags);
}

function fileOf(fields: string): string {
  const path = join(folder, 'kp.yaml');
  writeFileSync(path, `apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n${fields}`);
  return path;
}

const v4 = { address: '10.0.0.0', prefixLength: 16 };

const taken: readonly [args: readonly string[], expected: Partial<ProxyOptions>][] = [
  [['--hostname-override=Worker-1'], { node: 'worker-1' }],
  [['--hostname-override='], { node: null }],
  [['--bind-address', '192.0.2.1'], { primaryAddress: '192.0.2.1' }],
  [['--bind-address', '0.0.0.0'], { primaryAddress: null }],
  [['--bind-address-hard-fail'], { bindHardFail: true }],
  [['--bind-address-hard-fail=false'], { bindHardFail: false }],
  [['--healthz-bind-address', '127.0.0.1:1'], { healthzAddress: { host: '127.0.0.1', port: 1 } }],
  [['--healthz-bind-address', ''], { healthzAddress: null }],
  [['--healthz-bind-address', '::'], { healthzAddress: { host: '::', port: 10256 } }],
  [['--healthz-port', '1'], { healthzAddress: { host: '0.0.0.0', port: 1 } }],
  [['--healthz-port', '0', '--healthz-bind-address', '0.0.0.0:5'], { healthzAddress: null }],
  [['--healthz-port', '1', '--healthz-bind-address', '::1'], { healthzAddress: { host: '::1', port: 1 } }],
  [['--healthz-port', '1', '--healthz-bind-address', '[::1]:2'], { healthzAddress: { host: '::1', port: 2 } }],
  [['--metrics-bind-address', ''], { metricsAddress: null }],
  [['--metrics-port', '7', '--metrics-bind-address', '10.0.0.1'], { metricsAddress: { host: '10.0.0.1', port: 7 } }],
  [['--cluster-cidr', '10.0.0.0/16'], { detector: { mode: 'ClusterCIDR', cidrs: [v4] } }],
  [['--detect-local-mode', 'NodeCIDR'], { detector: { mode: 'NodeCIDR' } }],
  [
    ['--detect-local-mode', 'BridgeInterface', '--pod-bridge-interface', 'br0'],
    { detector: { mode: 'BridgeInterface', bridge: 'br0' } },
  ],
  [
    ['--detect-local-mode=InterfaceNamePrefix', '--pod-interface-name-prefix=veth'],
    { detector: { mode: 'InterfaceNamePrefix', prefix: 'veth' } },
  ],
  [['--iptables-masquerade-bit', '31'], { masqueradeBit: 31 }],
  [['--masquerade-all'], { masqueradeAll: true }],
  [['--masquerade-all=false'], { masqueradeAll: false }],
  [['--nodeport-addresses', 'primary,10.0.0.0/16'], { nodePorts: { primary: true, localhost: false, cidrs: [v4] } }],
  [['--nodeport-addresses='], { nodePorts: null }],
  [['--bind-address='], { primaryAddress: null }],
  [['--cluster-cidr=', '--detect-local-mode='], { detector: { mode: 'ClusterCIDR', cidrs: [] } }],
  [['--scheduler', 'lc'], { scheduler: 'lc' }],
  [['--ipvs-scheduler', 'wrr'], { scheduler: 'rr' }],
  [['--ipvs-scheduler='], { scheduler: 'random' }],
  [['--scheduler', 'sh', '--ipvs-scheduler', 'rr'], { scheduler: 'sh' }],
  [['-v', '2'], { isVerbose: false }],
  [['-v=4'], { isVerbose: true }],
  [['-v5'], { isVerbose: true }],
  [['--v=5'], { isVerbose: true }],
  [['-v'], { isVerbose: true }],
  [['--logging-format', 'json'], { logFormat: 'json' }],
  [['--kubeconfig', '/a'], { apiServer: { kubeconfig: '/a', master: null, where: '--kubeconfig' } }],
  [['--master', 'h:1'], { apiServer: { kubeconfig: null, master: 'h:1', where: '--master' } }],
  [['--master', ''], { apiServer: null }],
];

for (const [args, expected] of taken) {
  test(`settleProxy() takes ${args.join(' ')}`, (t) => {
    const { options, warnings } = settled(...args);
    t.like(options, expected);
    t.deepEqual(warnings, []);
  });
}

test('settleProxy() has kube-proxy’s defaults', (t) => {
  const { options, warnings } = settled();
  t.deepEqual(warnings, []);
  t.like(options, {
    healthzAddress: { host: '0.0.0.0', port: 10256 },
    metricsAddress: { host: '127.0.0.1', port: 10249 },
  });
});

for (const name of [...ignored.keys()].filter((one) => one.startsWith('--'))) {
  test(`settleProxy() warns of ${name}, with a value or without, once or twice`, (t) => {
    for (const args of [[name], [`${name}=1`], [name, '1'], [`${name}=1`, `${name}=2`]]) {
      const { warnings } = settled(...args);
      t.is(warnings.length, 1);
      t.true(warnings[0]?.startsWith(`${name} is not used: `), warnings[0]);
    }
  });
}

for (const [args, message] of [
  [['--init-only'], /^--init-only is not possible: /],
  [['--write-config-to', 'x'], /^--write-config-to is not possible: /],
  [['--cluster-cdir', 'x'], /cluster-cdir/],
  [['--iptables-masquerade-bit', 'x'], /^--iptables-masquerade-bit x is not a bit, 0 to 31$/],
  [['--bind-address', 'x'], /^--bind-address x is not an IP address$/],
  [['--healthz-bind-address', 'localhost:1'], /^--healthz-bind-address localhost:1 is not IP:PORT/],
  [['--healthz-port', 'x'], /^--healthz-port x is not a port$/],
  [['--metrics-port', '70000'], /^--metrics-port 70000 is not a port$|^--metrics-port 127.0.0.1:70000 is not IP:PORT/],
  [['--cluster-cidr', '10.0.0.0'], /^--cluster-cidr 10.0.0.0 is not ADDRESS\/LENGTH$/],
  [['--detect-local-mode', 'x'], /^--detect-local-mode x is not one of ClusterCIDR, NodeCIDR, /],
  [['--detect-local-mode', 'InterfaceNamePrefix'], /but no prefix is named: give --pod-interface-name-prefix$/],
  [['--scheduler', 'x'], /^--scheduler x is not one of random, rr, lc, /],
  [['-v', 'high'], /^-v high is not a number such as 2$/],
  [['--logging-format', 'xml'], /^--logging-format xml is not one of text, json$/],
  [['--config', '/nowhere/kp.yaml'], /^--config \/nowhere\/kp.yaml cannot be read: ENOENT/],
  [['--config', '/'], /^--config \/ cannot be read: EISDIR/],
  [['--hostname-override', ' '], /^--hostname-override is empty$/],
] as const) {
  test(`settleProxy() refuses ${args.join(' ')}`, (t) => {
    t.throws(() => settled(...args), { instanceOf: UsageError, message });
  });
}

test('settleProxy() reads --config, and flags win', (t) => {
  const path = fileOf('mode: nftables\nhostnameOverride: a\nmetricsBindAddress: 0.0.0.0\n');
  const { options, warnings } = settled('--config', path, '--hostname-override', 'b', '--proxy-mode', 'ipvs');
  t.like(options, { node: 'b', metricsAddress: { host: '0.0.0.0', port: 10249 } });
  t.deepEqual(
    warnings.map((warning) => warning.replaceAll(`${folder}/`, '').replace(/: .*/, '')),
    ['--proxy-mode is not used', 'mode of kp.yaml is not used', 'hostnameOverride of kp.yaml is not used'],
  );
});

test('settleProxy() says that a scheduler is of IPVS alone, and goes on at random', (t) => {
  const { options, warnings } = settled('--config', fileOf('mode: ipvs\nipvs: {scheduler: lblc}\n'));
  t.is(options.scheduler, 'random');
  t.regex(warnings.join('\n'), /ipvs\.scheduler of .* lblc is not used: that one is of IPVS alone, here it is random/);
  const taken = settled('--config', fileOf('ipvs: {scheduler: mh}\n'));
  t.is(taken.options.scheduler, 'maglev');
  t.deepEqual(taken.warnings, []);
});

test('README.md has every flag and field of kube-proxy', (t) => {
  const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
  const named = new Set(
    [...readme.replaceAll(/```[\s\S]*?```/g, '').matchAll(/`([^`]+)`/g)].map(
      ([, code = '']) => code.split(' ')[0] ?? '',
    ),
  );
  const families = [...named].flatMap((name) => (/^[-\w.]+\*$/.test(name) ? name.slice(0, -1) : []));
  const cli = addAgentFlags(addRuleFlags(yargs())) as unknown as { getOptions(): { key: Record<string, unknown> } };
  const flags = Object.keys(cli.getOptions().key).filter((name) => name.length > 1 && !/^(help|version)$/.test(name));
  const missing = [...flags.map((name) => `--${name}`), ...fieldPaths()].filter(
    (name) => !named.has(name) && !families.some((family) => name.startsWith(family)),
  );
  t.deepEqual(missing, []);
});
