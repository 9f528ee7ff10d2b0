const BLOT = '<blotted out>';

/** What credentials look like, wherever they stand. The first group, if there is one, stays. */
const patterns: readonly RegExp[] = [
  /* PEM, also with its lines joined by \n as in JSON; certificates are no secret, but say nothing here either */
  /-----BEGIN [A-Z0-9 ]+-----[\s\S]*?(?:-----END [A-Z0-9 ]+-----|$)/g,
  /* JSON web tokens, as service accounts have them */
  /\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*/g,
  /\b((?:bearer|basic)\s+)[\w.~+/=-]{8,}/gi,
  /* user:password@host of a URL */
  /(\b[a-z][a-z0-9+.-]*:\/\/)[^\s/@"']+@/gi,
  /* what kubectl apply keeps of an object, up to the end of the line or of the JSON string */
  /(last-applied-configuration\\*["']?\s*[:=]\s*)(?:"(?:[^"\\]|\\.)*"|'[^']*'|.*)/g,
  /* token: …, --password=…, "client-key-data": "…", X-API-Key: … */
  /(["']?[\w.-]*(?:token|password|passwd|secret|api[_-]?key|access[_-]?key|private[_-]?key|client-key-data|client-certificate-data|credential|authorization)[\w.-]*["']?\s*[:=]\s*)(?:"(?:[^"\\]|\\.)*"|'[^']*'|[^\s,}\]]+)/gi,
  /* the same as a word after its flag */
  /(--[\w-]*(?:token|password|secret|key)[\w-]*\s+)\S+/gi,
];

/** The text without what looks like a credential. Rather too much goes than too little. */
export function blotted(text: string): string {
  return patterns.reduce((left, pattern) => left.replace(pattern, (...found) => `${keptOf(found)}${BLOT}`), text);
}

/** Of String.replace(): the first group; without groups its place has the offset. */
function keptOf([, first]: readonly unknown[]): string {
  return typeof first === 'string' ? first : '';
}
