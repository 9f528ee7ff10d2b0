import { execFile } from 'node:child_process';
import { resolve } from 'node:path';
import { promisify } from 'node:util';
import * as v from 'valibot';
import { ClusterError } from './cluster.ts';

const text = v.nullish(v.string(), '');

/** `exec` of a kubeconfig's user: a program that says who we are. */
export interface Exec {
  readonly apiVersion: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env: readonly { readonly name: string; readonly value: string }[];
}

export const execSchema: v.GenericSchema<unknown, Exec> = v.object({
  apiVersion: text,
  command: v.string(),
  args: v.nullish(v.array(v.string()), []),
  env: v.nullish(v.array(v.object({ name: v.string(), value: text })), []),
});

export interface Credential {
  /** '' where there is none, in each. */
  readonly token: string;
  readonly certificate: string;
  readonly key: string;
}

const answerSchema = v.object({
  status: v.object({
    token: text,
    clientCertificateData: text,
    clientKeyData: text,
    expirationTimestamp: text,
  }),
});

const PATIENCE_MS = 60_000;

/** Answers by what was asked; the program may be slow, and some ask a person. */
const answers = new Map<string, { credential: Credential; until: number }>();

/** An answer that was refused is not to be used again. */
export function forgetCredentials(): void {
  answers.clear();
}

/** Asks the program, unless its last answer still holds. A path with a slash is relative to `folder`. Throws a ClusterError. */
export async function askForCredential(exec: Exec, folder: string): Promise<Credential> {
  const key = JSON.stringify([exec, folder]);
  const known = answers.get(key);
  if (known !== undefined && Date.now() < known.until) return known.credential;
  const command = exec.command.includes('/') ? resolve(folder, exec.command) : exec.command;
  const apiVersion = exec.apiVersion || 'client.authentication.k8s.io/v1';
  const info = JSON.stringify({ apiVersion, kind: 'ExecCredential', spec: { interactive: false } });
  const env = { ...process.env, KUBERNETES_EXEC_INFO: info };
  for (const { name, value } of exec.env) Object.assign(env, { [name]: value });
  try {
    const { stdout } = await promisify(execFile)(command, exec.args, { env, timeout: PATIENCE_MS });
    const { status } = v.parse(answerSchema, JSON.parse(stdout));
    const { token, clientCertificateData: certificate, clientKeyData } = status;
    const credential = { token, certificate, key: clientKeyData };
    const until = status.expirationTimestamp === '' ? Infinity : Date.parse(status.expirationTimestamp);
    answers.set(key, { credential, until });
    return credential;
  } catch (error) {
    throw new ClusterError(`${exec.command} gives no credential: ${(error as Error).message.trim()}`);
  }
}
