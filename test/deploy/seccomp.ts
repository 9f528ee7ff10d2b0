import { readFileSync } from 'node:fs';

/**
 * What a container runtime forbids where a pod asks for RuntimeDefault; of Debian's golang-github-containers-common, which is older than
 * CAP_BPF. containerd since 1.6 and Docker since 20.10 let who has that call bpf(2).
 */
const profile = '/usr/share/containers/seccomp.json';

interface When {
  readonly caps?: readonly string[];
  readonly arches?: readonly string[];
}

interface Rule extends Readonly<Record<string, unknown>> {
  readonly names: readonly string[];
  readonly action: string;
  readonly args?: readonly unknown[] | null;
  readonly errnoRet?: number;
  readonly includes?: When;
  readonly excludes?: When;
}

interface Profile {
  readonly defaultAction: string;
  readonly defaultErrnoRet?: number;
  readonly syscalls: readonly Rule[];
}

/** As `linux.seccomp` of a runtime's config.json: the profile's rules for a container with these capabilities. */
export function defaultSeccomp(capabilities: readonly string[]): object {
  const { defaultAction, defaultErrnoRet, syscalls } = JSON.parse(readFileSync(profile, 'utf8')) as Profile;
  const here = process.arch === 'arm64' ? 'arm64' : 'amd64';
  const applies = ({ includes, excludes }: Rule): boolean =>
    (includes?.caps ?? []).every((name) => capabilities.includes(name)) &&
    (includes?.arches ?? [here]).includes(here) &&
    !(excludes?.caps ?? []).some((name) => capabilities.includes(name)) &&
    !(excludes?.arches ?? []).includes(here);
  const hasBpf = capabilities.includes('CAP_BPF');
  const rules = syscalls.filter(applies).map(({ names, action, args, errnoRet }) => ({
    names: names.filter((name) => name !== 'bpf' || !hasBpf),
    action,
    ...(args && args.length > 0 && { args }),
    ...(errnoRet !== undefined && { errnoRet }),
  }));
  const architectures = here === 'arm64' ? ['SCMP_ARCH_AARCH64'] : ['SCMP_ARCH_X86_64'];
  return {
    defaultAction,
    ...(defaultErrnoRet !== undefined && { defaultErrnoRet }),
    architectures,
    syscalls: [...rules, ...(hasBpf ? [{ names: ['bpf'], action: 'SCMP_ACT_ALLOW' }] : [])],
  };
}
