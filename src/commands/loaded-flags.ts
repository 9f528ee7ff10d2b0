import type { Argv } from 'yargs';
import type { AgentChoices } from '../world-here.ts';
import { addDescriptionFlags, type DescriptionFlags } from './description-flags.ts';
import { parseDevices } from './run-options.ts';

/** For the commands that hold manifests against what is loaded here: what decides about rows, named as for run. */
export interface LoadedFlags extends DescriptionFlags {
  readonly manifests?: string;
  readonly pinDir?: string;
  readonly device: readonly string[];
  readonly socketUdp: AgentChoices['socketUdp'];
  readonly output: 'text' | 'json';
}

export function addLoadedFlags(cli: Argv): Argv {
  const own = cli
    .option('manifests', { type: 'string', requiresArg: true, describe: 'as for run' })
    .option('pin-dir', {
      type: 'string',
      requiresArg: true,
      describe: 'where things are pinned',
      defaultDescription: 'bpfsvc in the BPF filesystem',
    })
    .option('device', { type: 'string', array: true, requiresArg: true, default: [], describe: 'as for run' })
    .option('socket-udp', {
      requiresArg: true,
      choices: ['auto', 'host', 'all'] as const,
      default: 'auto' as const,
      describe: 'as for run',
    })
    .option('output', {
      alias: 'o',
      requiresArg: true,
      choices: ['text', 'json'] as const,
      default: 'text' as const,
      describe: 'json has all there is to know',
    });
  return addDescriptionFlags(own);
}

export function agentChoices({ device, socketUdp }: LoadedFlags): AgentChoices {
  return { devices: parseDevices(device), socketUdp };
}
