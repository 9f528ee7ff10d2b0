import about from '../package.json' with { type: 'json' };

/** This release's number. */
export function ownVersion(): string {
  return about.version;
}
