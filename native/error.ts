/** What the addon knows about one failure; the words that people read are put together here and nowhere else. */
export interface Failure {
  /** errno name, 'ENOENT'; of libbpf's own errors 'LIBBPF_FORMAT' and its like. */
  code: string;
  /** What was asked: 'map_update', 'object_load', 'netlink RTM_GETLINK'. */
  call: string;
  /** Whose it is: 'map addresses', '/sys/fs/bpf/x', 'veth3 ingress'. */
  object: string;
  /** The reason in words. */
  detail: string;
  /** The verifier's and libbpf's text, whole. */
  log?: string | undefined;
  /** Of a batch: rows that were written before the refused one. */
  done?: number | undefined;
}

/**
 * One failure of the kernel, libbpf or netlink, or a use that the binding refuses before the kernel sees it (a key of
 * the wrong size: EINVAL; a closed handle: EBADF). A wrong JavaScript type is a TypeError instead.
 */
export class BpfError extends Error {
  override readonly name: string = 'BpfError';
  readonly code: string;
  readonly call: string;
  readonly object: string;
  declare readonly log?: string;
  declare readonly done?: number;

  constructor(failure: Failure) {
    super(sentence(failure));
    this.code = failure.code;
    this.call = failure.call;
    this.object = failure.object;
    if (failure.log) this.log = failure.log;
    if (failure.done !== undefined) this.done = failure.done;
  }
}

function sentence({ call, object, detail, code, log }: Failure): string {
  const verdict = log && verifierVerdict(log);
  return `${call} ${object}: ${detail} (${code})${verdict ? `: ${verdict}` : ''}`;
}

/** The verifier's reason is the last line before its statistics; libbpf's own, if the verifier was never reached. */
function verifierVerdict(log: string): string | undefined {
  const lines = log.split('\n');
  const end = lines.findLastIndex((line) => /^processed \d+ insns/.test(line));
  if (end > 0) return lines[end - 1];
  return lines.find((line) => line.startsWith('libbpf: '))?.slice('libbpf: '.length);
}
