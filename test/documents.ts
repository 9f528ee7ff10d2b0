/** What Markdown says that can be held against the tree. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Every document that is for people, path below `root` → text. */
export function readDocuments(root: string): Map<string, string> {
  const paths = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter(
    (path) => path.endsWith('.md') && !/(^|\/)(node_modules|build|\.cache|\.git)\//.test(path),
  );
  return new Map(paths.sort().map((path) => [path, readFileSync(join(root, path), 'utf8')]));
}

/** What GitHub calls the headings of a document, for links: 'The agent is down' → 'the-agent-is-down'. */
export function anchorsOf(markdown: string): Set<string> {
  const anchors = new Set<string>();
  for (const [, heading = ''] of prose(markdown).matchAll(/^#{1,6} +(.+?) *$/gm)) {
    const slug = heading
      .replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, '')
      .replace(/ /g, '-');
    let unique = slug;
    for (let i = 1; anchors.has(unique); i++) unique = `${slug}-${i}`;
    anchors.add(unique);
  }
  return anchors;
}

/** Where links and pictures lead, but to other sites. */
export function linksOf(markdown: string): string[] {
  const links = [...withoutCode(markdown).matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = '']) => target);
  return links.filter((target) => !/^[a-z]+:/.test(target));
}

/** Words after 'bpfsvc' or bin/bpfsvc wherever it is typed: in `code` and, in blocks, at the beginning of a line or after $, sudo, |, ; and &. */
export function commandLinesOf(markdown: string): string[] {
  const inline = [...prose(markdown).matchAll(/`([^`\n]+)`/g)].map(([, code = '']) => code);
  const blocks = [...markdown.matchAll(/^ *```(\w*)\n(.*?)^ *```/gms)].flatMap(([, language = '', text = '']) =>
    typedIn(language, text.replace(/\\\n\s*/g, ' ')),
  );
  return [...inline, ...blocks].flatMap((line) =>
    [...line.matchAll(/(?:^|[\s;|&(])(?:sudo )?(?:bin\/)?bpfsvc ((?:[^;|&)#<>]|<\()*)/g)].map(([, rest = '']) =>
      rest.trim(),
    ),
  );
}

/** Of a console only what is typed; of a script all but comments; of anything else nothing. */
function typedIn(language: string, text: string): string[] {
  const lines = text.split('\n');
  if (language === 'console') return lines.filter((line) => /^ *\$ /.test(line)).map((line) => line.trim().slice(2));
  return language === 'sh' ? lines.map((line) => line.replace(/(^|\s)#.*/, '')) : [];
}

function prose(markdown: string): string {
  return markdown.replace(/^ *```.*?^ *```/gms, '');
}

function withoutCode(markdown: string): string {
  return prose(markdown).replace(/`[^`\n]*`/g, '');
}

/** Flags that are named by themselves, in `code` that begins with one: '--xdp', '--kube-api-*'. */
export function flagsNamedIn(markdown: string): string[] {
  return [...prose(markdown).matchAll(/`(--[a-z][a-z0-9-]*\*?)[^`\n]*`/g)].map(([, flag = '']) => flag);
}
