import type { Argv, CommandModule } from 'yargs';
import { type BypassDevice, readBypass } from '../kernel/bypass.ts';
import { mayMount, requireCapabilities } from '../kernel/capabilities.ts';
import { classifyDevices, type Device } from '../kernel/devices.ts';
import { kernelRelease, netnsCookie } from '../kernel/kernel.ts';
import { tryPrograms } from '../kernel/load.ts';
import { pinDirHolder } from '../kernel/lock.ts';
import { requireKernel, requirePermission } from '../kernel/machine.ts';
import { bpfFsRoots, readMounts } from '../kernel/mounts.ts';
import { readNetwork } from '../kernel/network.ts';
import { encodeConfig, readObjects } from '../kernel/objects.ts';
import { currentGeneration, pinDir } from '../kernel/pins.ts';
import { CANNOT_MOUNT, defaultPinDir, findCgroup } from '../kernel/place.ts';
import { chooseMechanism, features, hasFibSource } from '../kernel/probes.ts';
import { checkSysctls, type Finding, readSysctl } from '../kernel/sysctls.ts';
import { chooseXdp, pinnedXdp, readDriverFeatures, type XdpDevice } from '../kernel/xdp.ts';
import { columns } from './columns.ts';
import { parseDevices, parseNodePorts, parseXdp } from './run-options.ts';

interface CheckFlags {
  cgroup?: string;
  device: string[];
  xdp: string;
  bypass: boolean;
  nodePortRange: string;
  pinDir?: string;
  output: 'text' | 'json';
}

export const command: CommandModule = {
  command: 'check',
  describe: 'can this machine run it, and what would it do here',
  builder: (cli: Argv): Argv =>
    cli
      .usage(
        '$0 check\n\nTries every feature of the kernel by loading something small, and changes nothing. Exit code 1: bpfsvc cannot run.',
      )
      .option('cgroup', {
        type: 'string',
        requiresArg: true,
        describe: 'as for run',
        defaultDescription: 'the root of the hierarchy',
      })
      .option('device', { type: 'string', array: true, requiresArg: true, default: [], describe: 'as for run' })
      .option('xdp', {
        type: 'string',
        requiresArg: true,
        default: 'auto',
        describe: 'as for run',
      })
      .option('bypass', { type: 'boolean', default: false, describe: 'as for run: what it would go around' })
      .option('node-port-range', { type: 'string', requiresArg: true, default: '30000-32767', describe: 'as for run' })
      .option('pin-dir', { type: 'string', requiresArg: true, describe: 'as for run' })
      .option('output', {
        alias: 'o',
        requiresArg: true,
        choices: ['text', 'json'] as const,
        default: 'text' as const,
        describe: 'for people or for programs',
      })
      .example('$0 check', ''),
  handler: (args) => check(args as unknown as CheckFlags),
} as CommandModule;

async function check(flags: CheckFlags): Promise<void> {
  const overrides = parseDevices(flags.device);
  const nodePorts = parseNodePorts(flags.nodePortRange);
  const choice = parseXdp(flags.xdp);
  const path = flags.pinDir ?? defaultPinDir();
  requirePermission();
  requireCapabilities();
  const findings = [
    await attempt('kernel', async () => {
      await requireKernel();
      return kernelRelease().text;
    }),
    ...(await checkFeatures()),
    await attempt('the programs', async () => {
      await tryPrograms({ objects: readObjects(), config: encodeConfig(netnsCookie(), { fibSource: hasFibSource() }) });
      return 'pass the verifier';
    }),
    await attempt('cgroup2', () => findCgroup(flags.cgroup)),
    checkBpfFs(),
    checkPinDir(path),
    ...checkSysctls(readSysctl, nodePorts),
  ];
  const network = await readNetwork();
  const devices = classifyDevices(network, { nodeAddresses: [], overrides });
  const bypass = flags.bypass ? await readBypass(network, devices) : [];
  if (flags.bypass) findings.push(await checkBypass());
  const xdp = chooseXdp(network, devices, await readDriverFeatures(), choice, pinnedXdp(pinDir(path)));
  process.stdout.write(
    flags.output === 'json'
      ? `${JSON.stringify({ findings, devices, xdp, bypass })}\n`
      : toText(findings, devices, xdp, bypass),
  );
  if (findings.some(({ state }) => state === 'missing')) process.exitCode = 1;
}

async function checkFeatures(): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const { name, minimumKernel, cost, isThere } of features) {
    if (await isThere()) findings.push({ what: name, state: 'ok', detail: '' });
    else if (cost === undefined)
      findings.push({ what: name, state: 'missing', detail: `Linux has it since ${minimumKernel}` });
    else findings.push({ what: name, state: 'warning', detail: `${cost}; Linux has it since ${minimumKernel}` });
  }
  return findings;
}

async function attempt(what: string, work: () => string | Promise<string>): Promise<Finding> {
  try {
    return { what, state: 'ok', detail: await work() };
  } catch (error) {
    return { what, state: 'missing', detail: (error as Error).message };
  }
}

function checkBpfFs(): Finding {
  const roots = bpfFsRoots(readMounts());
  if (roots.length > 0) return { what: 'BPF filesystem', state: 'ok', detail: roots.join(', ') };
  if (!mayMount()) return { what: 'BPF filesystem', state: 'missing', detail: `none is mounted, ${CANNOT_MOUNT}` };
  return { what: 'BPF filesystem', state: 'info', detail: "not mounted: 'run' mounts one at /sys/fs/bpf" };
}

function checkPinDir(path: string): Finding {
  const what = 'pin directory';
  const generation = currentGeneration(pinDir(path));
  if (generation === undefined) return { what, state: 'info', detail: `nothing is loaded below ${path}` };
  const pid = pinDirHolder(path);
  const agent = pid === undefined ? 'no agent runs' : `its agent is process ${pid}`;
  return { what, state: 'info', detail: `${path} has generation ${generation}, and ${agent}` };
}

/** What flows of Services between two pods of this node would no longer meet. */
async function checkBypass(): Promise<Finding> {
  const what = '--bypass';
  if ((await chooseMechanism()) !== 'tcx') {
    return { what, state: 'warning', detail: 'does nothing here: it needs tcx links, which Linux has since 6.6' };
  }
  const detail =
    "goes around the node's FORWARD chain and what the CNI hooks at pods' devices: firewall and NetworkPolicy do not see such flows";
  return { what, state: 'warning', detail };
}

function toText(
  findings: readonly Finding[],
  devices: readonly Device[],
  xdp: readonly XdpDevice[],
  bypass: readonly BypassDevice[],
): string {
  const ready = findings.every(({ state }) => state !== 'missing');
  return [
    columns(
      ['CHECK', 'STATE', 'DETAIL'],
      findings.map(({ what, state, detail }) => [what, state, detail || '-']),
    ),
    columns(
      ['DEVICE', 'ROLE', 'BECAUSE'],
      devices.map(({ name, role, hasLinkHeader, reason }) => [
        name,
        role,
        role === 'none' || hasLinkHeader ? reason : `${reason}; its packets have no link header`,
      ]),
    ),
    columns(
      ['WIRE', 'XDP', 'BECAUSE'],
      xdp.map(({ name, runs, reason }) => [name, runs ? 'yes' : 'no', reason]),
    ),
    ...(bypass.length > 0
      ? [
          columns(
            ['POD DEVICE', 'BYPASS', 'BECAUSE'],
            bypass.map(({ name, runs, reason }) => [name, runs ? 'yes' : 'no', reason]),
          ),
        ]
      : []),
    ready ? 'bpfsvc can run here.\n' : 'bpfsvc cannot run here.\n',
  ].join('\n');
}
