/** What a PromQL expression asks for, without a parser of the language: names of metrics, and labels with what they shall be. */
export interface Asked {
  /** 'bpfsvc_pass_duration_seconds_bucket' */
  readonly name: string;
  readonly labels: readonly { readonly name: string; readonly operator: string; readonly value: string }[];
}

const selector = /([a-zA-Z_:][\w:]*)\s*(?:\{([^}]*)\})?\s*/y;
const matcher = /(\w+)\s*(=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"/g;
const grouping = /\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)/g;
const words = new Set([
  'and',
  'or',
  'unless',
  'by',
  'without',
  'on',
  'ignoring',
  'group_left',
  'group_right',
  'offset',
  'bool',
]);

/** Throws for a brace without its twin: nobody knows then what is a label. */
export function askedIn(expression: string): Asked[] {
  const text = expression.replace(grouping, (_, labels: string) => ' '.repeat(labels.length));
  const asked: Asked[] = [];
  for (let at = 0; at < text.length; ) {
    selector.lastIndex = at;
    const [whole, name = '', labels = ''] = selector.exec(text) ?? [];
    if (whole === undefined) {
      if (text[at] === '{') throw new Error(`a selector without a name in ${expression}`);
      const literal = /"(?:[^"\\]|\\.)*"|\[[^\]]*\]|\d[\w.]*|./sy;
      literal.lastIndex = at;
      at += literal.exec(text)?.[0].length ?? 1;
      continue;
    }
    at += whole.length;
    if (text[at] === '(' || words.has(name)) continue;
    asked.push({
      name,
      labels: [...labels.matchAll(matcher)].map(([, name = '', operator = '', value = '']) => ({
        name,
        operator,
        value,
      })),
    });
  }
  return asked;
}

/** Labels that results are grouped or joined by. */
export function groupedBy(expression: string): string[] {
  const lists = [...expression.matchAll(grouping)].map(([, labels = '']) => labels.split(','));
  return lists
    .flat()
    .map((label) => label.trim())
    .filter((label) => label !== '');
}
