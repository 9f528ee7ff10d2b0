import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import test from 'ava';
import { pinPath, readPinned, service, writeManifest } from '../test/agent.ts';
import { type CliResult, runCli, startCli, untilSays } from '../test/cli.ts';
import { makeSandbox } from '../test/sandbox.ts';

const box = makeSandbox();
test.after.always(() => box.close());
const manifests = writeManifest(box, 'web.json', service('web', '10.96.0.1', ['10.1.0.1']));

function runFlags(name: string): string[] {
  const place = ['--pin-dir', pinPath(box, name), '--cgroup', box.cgroup];
  return [
    'run',
    '--manifests',
    manifests,
    '--node',
    'n1',
    '--log-format',
    'text',
    '--map-size',
    'flows=1024',
    ...place,
  ];
}

test('bpfsvc without a word, with an unknown one or an unknown flag is wrong usage: exit code 2', async (t) => {
  for (const [args, help] of [
    [[], 'bpfsvc --help'],
    [['frob'], 'bpfsvc --help'],
    [['dmup'], 'bpfsvc --help'],
    [['run', '--frob'], 'bpfsvc run --help'],
    [['run'], 'bpfsvc run --help'],
    [['run', '--manifests', 'a', '--audit-interval', 'soon'], 'bpfsvc run --help'],
    [['version', 'extra'], 'bpfsvc version --help'],
    [['unload', '--pin-dir'], 'bpfsvc unload --help'],
    [['dump', '-o'], 'bpfsvc dump --help'],
  ] as const) {
    const { code, stdout, stderr } = await runCli(...args);
    t.is(code, 2, args.join(' '));
    t.is(stdout, '');
    t.regex(stderr, /^bpfsvc: [^\n]+\n$/);
    t.true(stderr.endsWith(` see '${help}'\n`), stderr);
  }
});

test('bpfsvc run with a flag that makes no sense is wrong usage', async (t) => {
  const { code, stderr } = await runCli('run', '--manifests', manifests, '--map-size', 'flow=5');
  t.is(code, 2);
  t.regex(stderr, /^bpfsvc: --map-size flow: there is no such map, but [^\n]+\n$/);
  const twice = await runCli('run', '--manifests', manifests, '--manifests', manifests);
  t.is(twice.code, 2);
  t.regex(twice.stderr, /^bpfsvc: --manifests is given twice: /);
  const list = await runCli('run', '--manifests', manifests, '--device', 'a=pod', '--device', 'b=nothing');
  t.regex(list.stderr, /^bpfsvc: --device b=nothing is not one of /);
  const first = await runCli('run', '--manifests', manifests, '--device', 'a=nothing', '--device', 'b=pod');
  t.regex(first.stderr, /^bpfsvc: --device a=nothing is not one of /);
});

test('bpfsvc run takes kube-proxy’s flags and file: what makes no sense is wrong usage, by name', async (t) => {
  const head = 'apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n';
  const file = `${box.directory}/kp.yaml`;
  writeFileSync(file, `${head}clusterCidr: 10.0.0.0/8\n`);
  for (const [args, message] of [
    [['--config', file], `${file}: there is no field clusterCidr`],
    [['--bind-address', 'here'], '--bind-address here is not an IP address'],
    [['--init-only'], '--init-only is not possible: '],
    [['--clusters-cidr', '10.0.0.0/8'], 'Unknown argument'],
  ] as const) {
    const { code, stderr } = await runCli('run', '--manifests', manifests, ...args);
    t.is(code, 2, stderr);
    t.true(stderr.startsWith(`bpfsvc: ${message}`), stderr);
  }
  const none = await runCli('run');
  t.is(none.code, 2);
  t.regex(none.stderr, /^bpfsvc: --manifests FILE\|DIR or --kubeconfig FILE is missing, and this is no pod/);
  const lost = await runCli('run', '--kubeconfig', `${box.directory}/no-such-kubeconfig`, '--pin-dir', box.directory);
  t.is(lost.code, 1, lost.stderr);
  const two = await runCli('run', '--manifests', manifests, '--node', 'a', '--hostname-override', 'b');
  t.regex(two.stderr, /^bpfsvc: --node a and --hostname-override b name two nodes: /);
});

test('bpfsvc run warns of what is said in vain, and serves', async (t) => {
  const file = `${box.directory}/vain.yaml`;
  writeFileSync(file, 'apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nmode: ipvs\n');
  const vain = ['--config', file, '--conntrack-min', '5', '--conntrack-min', '6', '--kubeconfig', '/a', '-v', '4'];
  const agent = startCli([...runFlags('vain'), ...vain, '--healthz-bind-address', '', '--metrics-bind-address', '']);
  t.teardown(() => agent.kill('SIGKILL'));
  const text = await untilSays(agent, /rows written for 1 Service in/);
  t.regex(text, /warn +--conntrack-min is not used: no setting of the kernel/);
  t.regex(text, /warn +mode of \S+vain.yaml is not used: there is one mode/);
  t.regex(text, /warn +--kubeconfig is not used: the objects come from --manifests/);
  t.regex(text, /debug attached at /);
  t.notRegex(text, / at http:/);
});

test('bpfsvc run --bind-address-hard-fail ends where an address is taken', async (t) => {
  const other = createServer().listen(0, '127.0.0.1');
  await once(other, 'listening');
  t.teardown(() => other.close());
  const { port } = other.address() as AddressInfo;
  const taken = ['--healthz-bind-address', `127.0.0.1:${port}`, '--metrics-bind-address', ''];
  const { code, stderr } = await runCli(...runFlags('hard'), ...taken, '--bind-address-hard-fail');
  t.is(code, 1);
  t.regex(stderr, new RegExp(`\nbpfsvc: cannot listen at 127.0.0.1:${port}, and shall not run without: .*EADDRINUSE`));
});

test('bpfsvc --help lists every word, and each of them has examples and the exit codes', async (t) => {
  const { stdout } = await runCli('--help');
  for (const word of ['run', 'dump', 'check', 'unload', 'version', 'completion']) {
    t.true(stdout.includes(`bpfsvc ${word}`), word);
    if (word === 'completion') continue;
    const help = await runCli(word, '--help');
    t.is(help.code, 0);
    t.regex(help.stdout, /Examples:/, word);
    t.regex(help.stdout, /Exit codes: 0 done, 1 /, word);
    t.regex(help.stdout, /--pin-dir/, word);
  }
});

test('bpfsvc completion prints a script, and completes words', async (t) => {
  t.regex((await runCli('completion')).stdout, /bpfsvc/);
  t.regex((await runCli('--get-yargs-completions', 'bpfsvc', 'ver')).stdout, /version/);
});

test('bpfsvc version tells ours, the kernel, libbpf, the layout and the generation', async (t) => {
  const { code, stdout } = await runCli('version', '-o', 'json', '--pin-dir', `${box.bpfFs}/none`);
  t.is(code, 0);
  t.deepEqual(Object.keys(JSON.parse(stdout)), ['bpfsvc', 'kernel', 'libbpf', 'node', 'layout', 'generation']);
  t.is(JSON.parse(stdout).generation, null);
  t.regex((await runCli('--version')).stdout, /^bpfsvc +\d+\.\d+\.\d+\n/);
});

test('bpfsvc version works for everybody, and leaves out what only root may see', async (t) => {
  const closed = `${box.directory}/closed`;
  mkdirSync(closed, { mode: 0o700 });
  chownSync(closed, 65534, 65534);
  const { code, stdout } = await asNobody(['version', '-o', 'json', '--pin-dir', closed]);
  t.is(code, 0);
  t.deepEqual(Object.keys(JSON.parse(stdout)), ['bpfsvc', 'kernel', 'libbpf', 'node', 'layout']);
});

test('bpfsvc dump and unload say what is wrong with a pin directory that is none', async (t) => {
  const dump = await runCli('dump', '--pin-dir', manifests);
  t.is(dump.code, 1);
  t.regex(dump.stderr, /^bpfsvc: nothing is loaded below [^\n]+\n$/);
  const unload = await runCli('unload', '--pin-dir', box.directory);
  t.is(unload.code, 1);
  t.regex(unload.stderr, /^bpfsvc: [^\n]+ is not on a BPF filesystem: bpfsvc has pinned nothing there\n$/);
});

test('bpfsvc check changes nothing and tells features, settings and devices', async (t) => {
  const { code, stdout } = await runCli('check', '--cgroup', box.cgroup, '--pin-dir', box.bpfFs, '-o', 'json');
  t.is(code, 0);
  const { findings, devices } = JSON.parse(stdout);
  const what = findings.map((finding: { what: string }) => finding.what);
  for (const wanted of ['tcx links', 'the programs', 'cgroup2', 'net.ipv4.ip_forward']) t.true(what.includes(wanted));
  t.like(devices[0], { name: 'lo', role: 'none', reason: 'loopback' });
});

test('bpfsvc check exits with 1 where bpfsvc cannot run', async (t) => {
  const { code, stdout } = await runCli('check', '--cgroup', '/tmp');
  t.is(code, 1);
  t.regex(stdout, /bpfsvc cannot run here/);
  t.regex(stdout, /cgroup2 +missing +\/tmp is not a cgroup2 directory/);
});

test('bpfsvc without permission says so in one sentence', async (t) => {
  for (const args of [['run', '--manifests', manifests], ['dump'], ['unload'], ['check']]) {
    const { code, stderr } = await asNobody(args);
    t.is(code, 1, args.join(' '));
    t.regex(stderr, /^bpfsvc: bpfsvc may not use BPF here[^\n]+: run it as root[^\n]+\n$/);
  }
});

/** The checkout may be where nobody may look: then the files are handed over as root opened them. */
async function asNobody(args: readonly string[]): Promise<CliResult> {
  const main = fileURLToPath(new URL('main.ts', import.meta.url));
  const drop = ['--bounding-set=-all', '--inh-caps=-all', '--', process.execPath, main, ...args];
  try {
    const { stdout, stderr } = await promisify(execFile)('setpriv', drop);
    return { code: 0, stdout, stderr };
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
    return { code, stdout, stderr };
  }
}

test('bpfsvc run where it cannot be says what to do', async (t) => {
  mkdirSync(`${box.directory}/plain`);
  const plain = await runCli(
    'run',
    '--manifests',
    manifests,
    '--pin-dir',
    `${box.directory}/plain/pins`,
    '--cgroup',
    box.cgroup,
  );
  t.is(plain.code, 1);
  t.regex(plain.stderr, /not on a BPF filesystem: run 'mount -t bpf bpf .*plain'/);
  const cgroup = await runCli('run', '--manifests', manifests, '--pin-dir', pinPath(box, 'no'), '--cgroup', '/tmp');
  t.is(cgroup.code, 1);
  t.regex(cgroup.stderr, /^bpfsvc: \/tmp is not a cgroup2 directory: name one with --cgroup\n$/);
  const missing = await runCli(
    'run',
    '--manifests',
    '/nowhere.yaml',
    '--pin-dir',
    pinPath(box, 'no'),
    '--cgroup',
    box.cgroup,
  );
  t.is(missing.code, 1);
  t.regex(missing.stderr, /^bpfsvc: \/nowhere\.yaml [^\n]+\n$/);
});

test('bpfsvc run ends with 0 on SIGTERM and leaves everything; a second one and unload are refused meanwhile', async (t) => {
  const name = 'whole';
  const agent = startCli(runFlags(name));
  t.teardown(() => agent.kill('SIGKILL'));
  await untilSays(agent, /rows written for 1 Service in/);
  for (const args of [runFlags(name), ['unload', '--pin-dir', pinPath(box, name)]]) {
    const { code, stderr } = await runCli(...args);
    t.is(code, 1);
    t.is(
      stderr,
      `bpfsvc: another bpfsvc agent (pid ${agent.pid}) holds ${pinPath(box, name)}: stop it first, or give this one a --pin-dir of its own\n`,
    );
  }
  agent.kill('SIGTERM');
  t.deepEqual(await once(agent, 'exit'), [0, null]);
  t.is((await readPinned(box, name)).names.size, 1);

  const gone = await runCli('unload', '--pin-dir', pinPath(box, name));
  t.is(gone.code, 0);
  t.regex(gone.stdout, /detached cgroup-connect4\n/);
  t.regex(gone.stdout, /removed generation [0-9a-f]{16}\n/);
  t.false(existsSync(pinPath(box, name)));
  const again = await runCli('run', '--cleanup', '--pin-dir', pinPath(box, name));
  t.is(again.code, 0);
  t.regex(again.stdout, /^nothing was loaded below /);
});
