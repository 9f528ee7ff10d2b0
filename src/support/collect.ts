import { execFile } from 'node:child_process';
import { closeSync, fstatSync, openSync, readdirSync, readFileSync, readlinkSync, readSync, statSync } from 'node:fs';
import { arch, availableParallelism, hostname, loadavg, totalmem, uptime } from 'node:os';
import { join } from 'node:path';
import { askAgent, askMetricsServer } from '../agent-inquiry.ts';
import { readNetwork } from '../kernel/network.ts';
import { parseSave } from '../takeover/iptables-text.ts';
import { findIptables, findTool, runTool } from '../takeover/tools.ts';
import type { Part } from './archive.ts';

export interface BundleOptions {
  /** The pin directory. */
  readonly path: string;
  /** Files with the agent's log. */
  readonly logs: readonly string[];
}

/** More rows of a flow table say nothing more, and a full one is 100 MB of text. */
const MAX_FLOWS = 2000;
const MAX_LOG_BYTES = 4 << 20;
const MAX_OUTPUT_BYTES = 256 << 20;
const COMMAND_MS = 120_000;

/** Whatever cannot be had is named in its own place, and holds up nothing else. */
export async function collect({ path, logs }: BundleOptions): Promise<{ name: string; parts: Part[] }> {
  const pins = ['--pin-dir', path];
  const own = (file: string, ...words: string[]) => part(file, async () => await bpfsvc([...words, ...pins]));
  const { note, pid } = await askAgent(path);
  const node = note?.node ?? hostname();
  const time = new Date().toISOString().replaceAll(/[-:]|\.\d+/g, '');
  const parts: Part[] = [];
  const jobs: (() => Promise<Part>)[] = [
    () => own('status.txt', 'status'),
    () => own('status.json', 'status', '-o', 'json'),
    () => own('version.json', 'version', '-o', 'json'),
    () => own('check.txt', 'check'),
    () => own('dump/services.txt', 'dump', 'services', '-o', 'wide'),
    ...(['services', 'frontends', 'backends', 'affinity'] as const).map(
      (what) => () => own(`dump/${what}.json`, 'dump', what, '-o', 'json'),
    ),
    () => part('dump/flows.json', async () => fewer(await bpfsvc(['dump', 'flows', '-o', 'json', ...pins]))),
    () => own('takeover.txt', 'takeover', '--dry-run'),
    () => part('metrics.txt', async () => await served(path, '/metrics')),
    () => part('agent-status.json', async () => await served(path, '/status')),
    () => part('machine.txt', machine),
    () => part('network.json', async () => JSON.stringify(await readNetwork(), withBigints, 1)),
    () => part('sysctls.txt', sysctls),
    () => part('rules.txt', ruleCounts),
    () => part('pins.txt', () => pinsBelow(path)),
    () => part('agent.txt', () => agentFacts(pid)),
    ...logFiles(logs, pid).map((file, i) => () => part(`logs/${i}.log`, () => endOf(file))),
  ];
  for (const job of jobs) parts.push(await job());
  return { name: `bpfsvc-${node}-${time}`, parts };
}

async function part(path: string, read: () => string | Promise<string>): Promise<Part> {
  try {
    return { path, text: await read() };
  } catch (error) {
    const fault = (error as Error).message.split('\n')[0] ?? '';
    return { path, text: `could not be had: ${(error as Error).message}\n`, fault };
  }
}

/** Our own words in a process each: one that fails, or hangs, takes nothing with it. 1 is how they say that they found something. */
async function bpfsvc(words: readonly string[]): Promise<string> {
  const argv = [...process.execArgv, process.argv[1] ?? '', ...words];
  return await new Promise((resolve, reject) => {
    const options = { maxBuffer: MAX_OUTPUT_BYTES, timeout: COMMAND_MS, encoding: 'utf8' } as const;
    execFile(process.execPath, argv, options, (error, stdout, stderr) => {
      if (error !== null && stdout === '') reject(new Error(stderr.trim() || error.message));
      else resolve(stderr === '' ? stdout : `${stdout}\n${stderr}`);
    });
  });
}

function fewer(json: string): string {
  const document = JSON.parse(json) as { items: readonly unknown[] };
  const { items } = document;
  const told = { ...document, total: items.length, items: items.slice(0, MAX_FLOWS) };
  return `${JSON.stringify(told, null, 1)}\n`;
}

async function served(path: string, page: string): Promise<string> {
  const text = await askMetricsServer(path, page);
  if (text === null) throw new Error('no agent answers');
  return text;
}

function machine(): string {
  const read = (file: string) => readFileSync(file, 'utf8').trim();
  const release = readFileSync('/etc/os-release', 'utf8').match(/^PRETTY_NAME=.*$/m)?.[0] ?? '';
  return [
    read('/proc/version'),
    release,
    `${arch()}, ${availableParallelism()} CPUs, ${Math.round(totalmem() / 2 ** 20)} MiB`,
    `up ${Math.round(uptime())} s, load ${loadavg().join(' ')}`,
    ...read('/proc/self/mounts')
      .split('\n')
      .filter((line) => /\b(?:bpf|cgroup2?)\b/.test(line)),
    '',
  ].join('\n');
}

/** Of routing and connection tracking, all; the devices' own as they decide about packets. */
function sysctls(): string {
  const folders = ['net/netfilter', 'net/bridge', 'net/ipv4/conf', 'net/ipv6/conf'];
  const single = ['ip_forward', 'ip_local_port_range', 'ip_early_demux', 'tcp_congestion_control', 'fwmark_reflect'];
  const perDevice =
    /\/(?:rp_filter|forwarding|accept_local|route_localnet|arp_ignore|arp_announce|proxy_arp|disable_ipv6)$/;
  const names = folders.flatMap((folder) =>
    filesBelow(`/proc/sys/${folder}`).filter((file) => !folder.endsWith('conf') || perDevice.test(file)),
  );
  const all = [...single.map((name) => `/proc/sys/net/ipv4/${name}`), '/proc/sys/net/core/bpf_jit_enable', ...names];
  return all.map((file) => `${file.slice('/proc/sys/'.length).replaceAll('/', '.')} = ${settingOf(file)}\n`).join('');
}

function settingOf(file: string): string {
  try {
    return readFileSync(file, 'utf8').trim().replaceAll(/\s+/g, ' ');
  } catch {
    return '<not readable>';
  }
}

function filesBelow(folder: string): string[] {
  try {
    return readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name));
  } catch {
    return [];
  }
}

/** How many, of whom; what they say is the business of others. */
async function ruleCounts(): Promise<string> {
  const iptables = (await findIptables()).map(async ({ flavour, family, save }) => {
    const tables = parseSave(await runTool(save, []));
    const counts = tables.map(
      ({ name, chains, rules }) => `  ${name}: ${chains.length} chains, ${rules.length} rules\n`,
    );
    return `${flavour}, IPv${family}\n${counts.join('')}`;
  });
  const nft = findTool('nft');
  const tables = nft === undefined ? 'nft is not there\n' : countTables(await runTool(nft, ['-j', 'list', 'ruleset']));
  return [...(await Promise.all(iptables)), `nftables\n${tables}`].join('');
}

function countTables(json: string): string {
  const { nftables = [] } = JSON.parse(json) as {
    nftables?: readonly Record<string, { family: string; table?: string; name?: string }>[];
  };
  const counts = new Map<string, number>();
  for (const object of nftables) {
    const { table, rule } = object;
    if (table !== undefined) counts.set(`${table.family} ${table.name}`, 0);
    const name = rule && `${rule.family} ${rule.table}`;
    if (name !== undefined) counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return [...counts].map(([name, count]) => `  ${name}: ${count} rules\n`).join('');
}

function pinsBelow(path: string): string {
  return readdirSync(path, { recursive: true, encoding: 'utf8' })
    .sort()
    .map((name) => `${name}\n`)
    .join('');
}

/** How it was started, and what it takes. Its environment is not read: that is where secrets are. */
function agentFacts(pid: number | null): string {
  if (!pid) return pid === null ? 'no agent runs\n' : 'the agent is in a pid namespace that cannot be seen from here\n';
  const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').join(' ');
  const limits = readFileSync(`/proc/${pid}/limits`, 'utf8');
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const kept = status.split('\n').filter((line) => /^(?:Vm(?:RSS|HWM)|Threads|Cap|Seccomp|voluntary)/.test(line));
  return [words, ...kept, limits].join('\n');
}

/** Those that were named; else where the agent's standard error goes to. */
function logFiles(logs: readonly string[], pid: number | null): string[] {
  if (logs.length > 0 || !pid) return [...logs];
  try {
    const file = readlinkSync(`/proc/${pid}/fd/2`);
    return statSync(file).isFile() ? [file] : [];
  } catch {
    return [];
  }
}

function endOf(file: string): string {
  const descriptor = openSync(file, 'r');
  try {
    const { size } = fstatSync(descriptor);
    const length = Math.min(size, MAX_LOG_BYTES);
    const bytes = Buffer.alloc(length);
    readSync(descriptor, bytes, 0, length, size - length);
    return bytes.toString('utf8');
  } finally {
    closeSync(descriptor);
  }
}

function withBigints(_: string, value: unknown): unknown {
  return typeof value === 'bigint' ? String(value) : value;
}
