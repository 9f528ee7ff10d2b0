/**
 * Writes down what a real kube-proxy has in the kernel for the stage, once for each flavour. The rules are in the
 * repository, so that the tests of taking over need no Go; run it anew for another release of kube-proxy:
 *
 *   node test/takeover/record.ts PATH-OF-KUBE-PROXY
 */
import { writeFileSync } from 'node:fs';
import process from 'node:process';
import { createLab, type Node } from '../netns/lab.ts';
import { flavours, startKubeProxy } from './kube-proxy.ts';
import { stageOptions } from './stage.ts';

const [binary = ''] = process.argv.slice(2);
const place = (name: string): URL => new URL(`rules/${name}`, import.meta.url);

for (const flavour of flavours) {
  if (flavour === 'iptables-nft') continue; // the very text of the other one
  await using lab = await createLab({ ...stageOptions, firewall: false, masquerade: false, tag: 'record' });
  const node = lab.node('n1') as Node;
  await using _proxy = await startKubeProxy(lab, node, flavour, binary);
  if (flavour === 'nftables') {
    const tables = await Promise.all(
      ['ip', 'ip6'].map((family) => lab.exec(node, ['nft', 'list', 'table', family, 'kube-proxy'])),
    );
    writeFileSync(place('kube-proxy.nft'), tables.join(''));
    const json = await lab.exec(node, ['nft', '-j', 'list', 'ruleset']);
    writeFileSync(place('kube-proxy.nft.json'), `${JSON.stringify(JSON.parse(json), null, 1)}\n`);
  } else {
    for (const program of ['iptables', 'ip6tables']) {
      writeFileSync(place(`${program}-save.txt`), await lab.exec(node, [`${program}-legacy-save`]));
    }
  }
}
