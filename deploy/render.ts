/** Writes deploy/base from the chart with its own values: `HELM=… node deploy/render.ts`. */
import { execFileSync } from 'node:child_process';
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here: string = fileURLToPath(new URL('./', import.meta.url));

/** File name in deploy/base → its text. */
export function renderBase(helm: string): Map<string, string> {
  const chart = join(here, 'chart');
  const templates = readdirSync(join(chart, 'templates')).filter((name) => name.endsWith('.yaml'));
  return new Map(
    templates.sort().map((name) => {
      const words = ['template', 'bpfsvc', chart, '--namespace', 'kube-system', '--show-only', `templates/${name}`];
      return [name, execFileSync(helm, words, { encoding: 'utf8' })];
    }),
  );
}

if (import.meta.main) {
  const helm = process.env.HELM;
  if (helm === undefined) throw new Error('HELM is not set: make manifests builds helm and sets it');
  for (const [name, text] of renderBase(helm)) writeFileSync(join(here, 'base', name), text);
}
