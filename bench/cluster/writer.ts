/**
 * usage: writer.ts KUBECONFIG
 *
 * Writes objects to an API server as fast as it takes them, from a namespace from where it can be reached. Obeys lines of JSON of
 * standard input, a `Task` each, and answers each with a line: a `Done`.
 */
import { readFileSync } from 'node:fs';
import https from 'node:https';
import process from 'node:process';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { type Filling, fillerService, fillerSlice, fillerSliceName, namespace, type WrittenObject } from './objects.ts';

export type Task =
  | { readonly task: 'fill'; readonly filling: Filling }
  | { readonly task: 'put'; readonly objects: readonly WrittenObject[] }
  /** One slice, whose event is waited for. */
  | { readonly task: 'change'; readonly slice: WrittenObject }
  /** Changes one endpoint after the other, each in another slice. */
  | { readonly task: 'churn'; readonly filling: Filling; readonly perSecond: number; readonly seconds: number };

/** Nanoseconds of CLOCK_MONOTONIC, as text. */
export interface Done {
  /** Before it was sent. */
  readonly sent: string;
  /** When the last answer was there. */
  readonly answered: string;
  /** When a watch told of it: of `change`. */
  readonly told?: string;
  readonly failure?: string;
}

const PARALLEL = 24;

const [, , path = ''] = process.argv;
const { clusters, users } = JSON.parse(readFileSync(path, 'utf8')) as {
  clusters: { cluster: { server: string; 'certificate-authority-data': string } }[];
  users: { user: { 'client-certificate-data': string; 'client-key-data': string } }[];
};
const decoded = (base64: string | undefined) => Buffer.from(base64 ?? '', 'base64');
const [first] = clusters;
const server = first?.cluster.server ?? '';
const agent = new https.Agent({
  keepAlive: true,
  maxSockets: PARALLEL + 1,
  ca: decoded(first?.cluster['certificate-authority-data']),
  cert: decoded(users[0]?.user['client-certificate-data']),
  key: decoded(users[0]?.user['client-key-data']),
});

const folders: Readonly<Record<string, string>> = {
  Service: `/api/v1/namespaces/${namespace}/services`,
  EndpointSlice: `/apis/discovery.k8s.io/v1/namespaces/${namespace}/endpointslices`,
};

async function send(method: string, url: string, object: object): Promise<{ metadata: { resourceVersion: string } }> {
  const body = JSON.stringify(object);
  const answer = await new Promise<Parameters<Parameters<typeof https.request>[2] & {}>[0]>((resolve, reject) => {
    const request = https.request(server + url, { method, agent, headers: { 'content-type': 'application/json' } });
    request.on('response', resolve).on('error', reject).end(body);
  });
  const said = await text(answer);
  if ((answer.statusCode ?? 0) >= 300) throw new Error(`${method} ${url}: ${answer.statusCode} ${said.slice(0, 300)}`);
  return JSON.parse(said);
}

async function create(object: WrittenObject): Promise<void> {
  await send('POST', folders[object.kind] ?? '', object);
}

/** What is not there is made. */
async function put(object: WrittenObject): Promise<string> {
  const folder = folders[object.kind] ?? '';
  try {
    return (await send('PUT', `${folder}/${object.metadata.name}`, object)).metadata.resourceVersion;
  } catch (error) {
    if (!(error as Error).message.includes(': 404 ')) throw error;
    return (await send('POST', folder, object)).metadata.resourceVersion;
  }
}

async function inParallel(count: number, work: (i: number) => Promise<void>): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    for (let i = next++; i < count; i = next++) await work(i);
  };
  await Promise.all(Array.from({ length: PARALLEL }, lane));
}

const seen = new Map<string, string>();
const waiting = new Map<string, (at: string) => void>();
const watched = new Set<string>();

/** Notes when each version of one slice is told of. */
async function watch(name: string): Promise<void> {
  if (watched.has(name)) return;
  watched.add(name);
  const query = new URLSearchParams({ watch: '1', fieldSelector: `metadata.name=${name}` });
  await new Promise<void>((resolve, reject) => {
    const request = https.get(`${server}${folders.EndpointSlice}?${query}`, { agent }, (answer) => {
      createInterface({ input: answer }).on('line', (line) => {
        const at = String(process.hrtime.bigint());
        const { resourceVersion } = (JSON.parse(line) as { object: { metadata: { resourceVersion: string } } }).object
          .metadata;
        seen.set(resourceVersion, at);
        waiting.get(resourceVersion)?.(at);
        resolve(); // the state that was there is told first
      });
    });
    request.on('error', reject);
  });
}

async function change(slice: WrittenObject): Promise<Done> {
  await watch(slice.metadata.name);
  const sent = String(process.hrtime.bigint());
  const version = await put(slice);
  const answered = String(process.hrtime.bigint());
  const told = seen.get(version) ?? (await new Promise<string>((resolve) => waiting.set(version, resolve)));
  waiting.clear();
  seen.clear();
  return { sent, answered, told };
}

async function churn(filling: Filling, perSecond: number, seconds: number): Promise<void> {
  const count = perSecond * seconds;
  const begun = performance.now();
  const writes: Promise<unknown>[] = [];
  for (let i = 0; i < count; i++) {
    const wait = begun + (i * 1000) / perSecond - performance.now();
    if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
    const at = (visits * 7919) % filling.services;
    const version = Math.floor(visits / filling.services) + 1;
    visits += 1;
    writes.push(send('PUT', `${folders.EndpointSlice}/${fillerSliceName(at)}`, fillerSlice(at, filling, version)));
  }
  await Promise.all(writes);
}

/** Of slices by `churn`: each visit finds another one, until all had theirs. */
let visits = 0;

async function obey(task: Task): Promise<Done> {
  if (task.task === 'change') return await change(task.slice);
  const sent = String(process.hrtime.bigint());
  if (task.task === 'put')
    await inParallel(task.objects.length, async (i) => void (await put(task.objects[i] as WrittenObject)));
  else if (task.task === 'churn') await churn(task.filling, task.perSecond, task.seconds);
  else {
    await inParallel(task.filling.services, async (i) => {
      await create(fillerService(i));
      await create(fillerSlice(i, task.filling));
    });
  }
  return { sent, answered: String(process.hrtime.bigint()) };
}

for await (const line of createInterface({ input: process.stdin })) {
  const done = await obey(JSON.parse(line) as Task).catch(
    (error: Error): Done => ({ sent: '0', answered: '0', failure: error.message }),
  );
  process.stdout.write(`${JSON.stringify(done)}\n`);
}
