import type { Argv } from 'yargs';
import { addRuleFlags, type ProxyFlags } from './proxy-flags.ts';

/** How a node is described beside its manifests, for the commands that ask what would be. */
export interface DescriptionFlags extends ProxyFlags {
  readonly node?: string;
  readonly serviceCidr?: string;
  readonly nodePortRange: string;
  readonly serviceProxyName?: string;
}

export function addDescriptionFlags(cli: Argv): Argv {
  const own = cli
    .option('node', {
      type: 'string',
      requiresArg: true,
      defaultDescription: 'the hostname',
      describe: 'the Node of the manifests that is meant',
    })
    .option('kubeconfig', {
      type: 'string',
      requiresArg: true,
      describe: 'the API server to ask, instead of manifests',
    })
    .option('master', { type: 'string', requiresArg: true, describe: 'as for run' })
    .option('service-proxy-name', { type: 'string', describe: 'as for run' })
    .option('service-cidr', { type: 'string', requiresArg: true, describe: 'A,B: as for run' })
    .option('node-port-range', { type: 'string', requiresArg: true, default: '30000-32767', describe: 'as for run' });
  return addRuleFlags(own);
}
