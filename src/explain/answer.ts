export type Verdict = 'dnat' | 'reject' | 'drop' | 'pass';

/** One station of the journey. */
export interface Step {
  readonly step:
    | 'source'
    | 'hook'
    | 'service'
    | 'policy'
    | 'ranges'
    | 'endpoint'
    | 'set'
    | 'affinity'
    | 'verdict'
    | 'masquerade'
    | 'packet'
    | 'note';
  readonly text: string;
}

/** The contract of `explain -o json`: see src/commands/explain.schema.json. Fields are only added. */
export interface Answer {
  readonly verdict: Verdict;
  /** Every backend that a new connection without affinity could get, sorted; empty unless dnat. */
  readonly backends: readonly string[];
  /** Those of them for which the source is replaced. */
  readonly masqueraded: readonly string[];
  /** 'namespace/name:port name'; null: of no Service. */
  readonly service: string | null;
  readonly reason: string;
  readonly steps: readonly Step[];
}
