/** One line '-A CHAIN …' of iptables-save. */
export interface Rule {
  readonly chain: string;
  /** All after the chain, as it was written: what '-D CHAIN' needs. */
  readonly spec: string;
  /** The words of the spec, unquoted. */
  readonly words: readonly string[];
  /** Where it jumps or goes to; '' for a rule without a target. */
  readonly target: string;
}

export interface Table {
  readonly name: string;
  /** In the order of the text. */
  readonly chains: readonly string[];
  /** ACCEPT or DROP of a built-in chain. */
  readonly policies: ReadonlyMap<string, string>;
  readonly rules: readonly Rule[];
}

/** The tables of a text of iptables-save or ip6tables-save. What is no rule, chain or table of it is passed over. */
export function parseSave(text: string): Table[] {
  const tables: { name: string; chains: string[]; policies: Map<string, string>; rules: Rule[] }[] = [];
  for (const line of text.split('\n')) {
    const table = tables.at(-1);
    if (line.startsWith('*')) tables.push({ name: line.slice(1).trim(), chains: [], policies: new Map(), rules: [] });
    else if (line.startsWith(':')) {
      const [chain = '', policy = '-'] = line.slice(1).split(' ');
      table?.chains.push(chain);
      if (policy !== '-') table?.policies.set(chain, policy);
    } else if (line.startsWith('-A ')) table?.rules.push(parseRule(line));
  }
  return tables;
}

function parseRule(line: string): Rule {
  const [, chain = '', spec = ''] = /^-A (\S+) ?(.*)$/.exec(line) ?? [];
  const words = wordsOf(spec);
  return { chain, spec, words, target: argumentOf(words, '-j') ?? argumentOf(words, '-g') ?? '' };
}

/** As iptables-save quotes: with ", and \ before " and \ inside. */
function wordsOf(spec: string): string[] {
  return [...spec.matchAll(/"((?:[^"\\]|\\.)*)"|(\S+)/g)].map(([, quoted, plain]) =>
    quoted === undefined ? (plain ?? '') : quoted.replace(/\\(.)/g, '$1'),
  );
}

/** What follows a flag. A comment that looks like a flag is no flag. */
export function argumentOf(words: readonly string[], flag: string): string | undefined {
  for (let i = 0; i < words.length; i += 1) {
    if (words[i] === '--comment' && flag !== '--comment') i += 1;
    else if (words[i] === flag) return words[i + 1];
  }
  return undefined;
}

/** Is the flag's match turned around: '! -s 10.0.0.0/8'? */
export function isNegated(words: readonly string[], flag: string): boolean {
  return words.some((word, i) => word === flag && words[i - 1] === '!');
}
