/** Documents against the tree and the commands: nothing is named that is not there. */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import test from 'ava';
import { ignored, refused } from '../src/commands/proxy-ignored.ts';
import { runCli } from './cli.ts';
import { anchorsOf, commandLinesOf, flagsNamedIn, linksOf, readDocuments } from './documents.ts';

const root = join(import.meta.dirname, '..');
const documents = readDocuments(root);

test('every relative link leads to a file, and its anchor to a heading', (t) => {
  t.true(documents.size > 8);
  const broken: string[] = [];
  for (const [path, text] of documents) {
    for (const link of linksOf(text)) {
      const [target = '', anchor] = link.split('#');
      const file = target === '' ? path : normalize(join(dirname(path), target));
      if (!existsSync(join(root, file))) broken.push(`${path}: ${link}`);
      const there = documents.get(file);
      if (anchor !== undefined && there !== undefined && !anchorsOf(there).has(anchor)) broken.push(`${path}: ${link}`);
    }
  }
  t.deepEqual(broken, []);
});

/** Flags of a command, by what its help says: '--pin-dir', '-o'. */
async function flagsOf(...words: string[]): Promise<Set<string>> {
  const { stdout } = await runCli(...words, '--help');
  return new Set(stdout.match(/(?<=^\s{2,}|, )--?[a-z0-9][a-z0-9-]*/gm));
}

/** word → its flags, of all commands there are. */
async function allCommands(): Promise<Map<string, Set<string>>> {
  const { stdout } = await runCli('--help');
  const words = [...stdout.matchAll(/^ {2}bpfsvc (\w+)/gm)].map(([, word = '']) => word);
  const commands = new Map<string, Set<string>>();
  for (const word of words) commands.set(word, await flagsOf(word)); // one at a time: each is a process that loads much
  return commands;
}

/** kube-proxy's, that `run` takes without its help saying so. */
const takenElsewhere = [
  '--healthz-port',
  '--metrics-port',
  '--logging-format',
  '--iptables-masquerade-bit',
  '--ipvs-scheduler',
];

/** Of other programs, of which a document speaks. */
const foreign = new Set(['--run-service-proxy', '--set']);

test('every command that is typed in a document exists, and has the flags that are typed', async (t) => {
  t.timeout(600_000);
  const commands = await allCommands();
  t.true(commands.size >= 9);
  const proxyFlags = new Set([...ignored.keys(), ...refused.keys(), ...takenElsewhere]);
  const complaints: string[] = [];
  let typed = 0;
  for (const [path, text] of documents) {
    for (const line of commandLinesOf(text)) {
      const [word = ''] = line.split(/\s/);
      if (!/^[a-z]+$/.test(word)) continue;
      const flags = commands.get(word);
      typed += 1;
      if (flags === undefined) complaints.push(`${path}: bpfsvc ${line}: no such command`);
      for (const [flag] of line.matchAll(/(?<=\s)--?[a-zA-Z][\w-]*/g)) {
        if (flags !== undefined && !flags.has(flag) && !(word === 'run' && proxyFlags.has(flag)))
          complaints.push(`${path}: bpfsvc ${line}: no flag ${flag}`);
      }
    }
    const all = new Set([...proxyFlags, ...foreign, ...[...commands.values()].flatMap((flags) => [...flags])]);
    for (const flag of flagsNamedIn(text)) {
      const isKnown = flag.endsWith('*') ? [...all].some((one) => one.startsWith(flag.slice(0, -1))) : all.has(flag);
      if (!isKnown) complaints.push(`${path}: nothing has a flag ${flag}`);
    }
  }
  t.true(typed > 40, `${typed}`);
  t.deepEqual(complaints, []);
});

test('every make target that a document names exists', (t) => {
  const targets = new Set(readFileSync(join(root, 'Makefile'), 'utf8').match(/^[a-z-]+(?=:)/gm));
  const named = [...documents].flatMap(([path, text]) =>
    [...text.matchAll(/(?:`|^|&& |sudo )make ([a-z][a-z-]*)/gm)].map(([, target = '']) => ({ path, target })),
  );
  t.true(named.length > 10);
  t.deepEqual(
    named.filter(({ target }) => !targets.has(target)),
    [],
  );
});

test('anchorsOf(), linksOf(), commandLinesOf() and flagsNamedIn()', (t) => {
  const text = `# A "title", with \`code\`
## Again
## Again
[a](b.md#c) \`[no](link)\` [site](https://example.org) ![p](../p.png)
\`bpfsvc dump -o wide\` is not \`bpfsvc_metric\`; \`sudo bin/bpfsvc check --bypass\`; \`--xdp off\`, \`--kube-api-*\`, \`--a-b\` (\`--c=d\`)
\`\`\`console
$ sudo bin/bpfsvc run --manifests a.yaml | grep b
bpfsvc is not typed here
\`\`\`
\`\`\`sh
bpfsvc explain --from a \\
  --to b   # bpfsvc nothing
\`\`\`
`;
  t.deepEqual([...anchorsOf(text)], ['a-title-with-code', 'again', 'again-1']);
  t.deepEqual(linksOf(text), ['b.md#c', '../p.png']);
  t.deepEqual(commandLinesOf(text), [
    'dump -o wide',
    'check --bypass',
    'run --manifests a.yaml',
    'explain --from a  --to b',
  ]);
  t.deepEqual(flagsNamedIn(text), ['--xdp', '--kube-api-*', '--a-b', '--c']);
});
