import { faults, type Mutant } from './mutant.ts';

const stream = 'test/api/stream.test.ts';
const broken = 'test/api/faults.test.ts';
const credentials = 'test/api/credentials.test.ts';

/** Faults of how an API server is watched. */
export const watching: readonly Mutant[] = [
  ...faults('src/kube/api/lines.ts', stream, [
    ['a line is read piece by piece', 'Buffer.concat([...held, rest])', 'rest'],
  ]),
  ...faults('src/kube/api/reflector.ts', broken, [
    ['410 is no reason to list', 'if (code === 410 || (isMalformed', 'if ((isMalformed'],
    ['every refusal is a reason to list', 'if (isAnswer && this.#isOpen) this.#stumbles++;', 'this.#stumbles++;'],
    ['the server is not given its time', 'Math.max(least, this.#backoff.next())', 'this.#backoff.next()'],
    ['a listing counts before its end', 'listing.end();\n        listing = null;', 'listing = null;'],
    ['a restored store is not noticed', 'BigInt(version) < BigInt(known)', 'false'],
  ]),
  ...faults('src/kube/api/reflector.ts', stream, [
    ['a bookmark is not remembered', 'if (listing === null) this.#progress(event.version);', ''],
    ['one page is all', "} while (next !== '');", '} while (false);'],
  ]),
  ...faults('src/kube/api/api-store.ts', broken, [
    ['what a list has no more stays', 'object.kind === kind && !found.has(key)', 'object.kind !== object.kind'],
  ]),
  ...faults('src/kube/api/api-store.ts', stream, [
    ['what is equal is new', 'before !== undefined && sameValue(before, object)', 'before === object'],
  ]),
  ...faults('src/kube/api/reflector.ts', 'test/api/metrics.test.ts', [
    ['a bookmark counts as an object', "event.type !== 'BOOKMARK');", 'true);'],
  ]),
  ...faults('src/kube/api/api-source.ts', 'test/api/metrics.test.ts', [
    ['before all was read nothing is wrong', '!unsettled.has(resource.kind) && ', ''],
    ['absence is a failure', 'if (!isGood) observer?.failed(', 'if (error !== null) observer?.failed('],
  ]),
  ...faults('src/kube/api/request.ts', credentials, [
    ['certificates are not looked at', '...settings, ...tls }', '...settings, ...tls, rejectUnauthorized: false }'],
  ]),
];
