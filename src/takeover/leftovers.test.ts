import { readFileSync } from 'node:fs';
import test from 'ava';
import { parseSave } from './iptables-text.ts';
import { isKubeProxySet, type Leftover, leftoversOf, removalText } from './leftovers.ts';

const recorded = readFileSync(new URL('../../test/takeover/rules/iptables-save.txt', import.meta.url), 'utf8');

/** The recorded rules, with further lines at the end of table nat. */
function natWith(...lines: string[]): Leftover {
  const end = recorded.lastIndexOf('COMMIT');
  const text = `${recorded.slice(0, end)}${lines.map((line) => `${line}\n`).join('')}COMMIT\n`;
  return leftoversOf(parseSave(text)).find(({ table }) => table === 'nat') as Leftover;
}

test('all that kube-proxy wrote goes, with its jumps, and of the kubelet nothing', (t) => {
  const found = leftoversOf(parseSave(recorded));
  t.deepEqual(
    found.map(({ table, chains, jumps, kept }) => [table, chains.length, jumps.length, kept.length]),
    [
      ['filter', 6, 9, 0],
      ['mangle', 1, 0, 0],
      ['nat', natWith().chains.length, 3, 0],
    ],
  );
  t.true(natWith().chains.length > 25);
  t.notRegex(found.map(removalText).join(''), /KUBE-FIREWALL/);
});

test('a chain that somebody else’s rule leads to stays, and all that it leads to', (t) => {
  const [plain, marked] = [natWith(), natWith('-A PREROUTING -p tcp -m tcp --dport 7 -j KUBE-MARK-MASQ')];
  t.deepEqual(marked.kept, [
    { chain: 'KUBE-MARK-MASQ', because: '-A PREROUTING -p tcp -m tcp --dport 7 -j KUBE-MARK-MASQ' },
    { chain: 'KUBE-POSTROUTING', because: '-A PREROUTING -p tcp -m tcp --dport 7 -j KUBE-MARK-MASQ' },
  ]);
  t.is(marked.chains.length, plain.chains.length - 2);
  t.notRegex(removalText(marked), /KUBE-POSTROUTING|KUBE-MARK-MASQ/);
  const ports = natWith(':CNI-HOSTPORTS - [0:0]', '-A CNI-HOSTPORTS -j KUBE-SVC-2MBSHUE5GJKPO227');
  t.deepEqual(ports.kept.map(({ chain }) => chain).sort(), [
    'KUBE-MARK-MASQ',
    'KUBE-POSTROUTING',
    'KUBE-SEP-42ZWFI2OUDJKFVA5',
    'KUBE-SEP-Y673DOUGXQ4OLNE7',
    'KUBE-SVC-2MBSHUE5GJKPO227',
  ]);
});

test('jumps are deleted as they are written, before the chains they lead to', (t) => {
  const lines = removalText(natWith()).split('\n');
  const jump = '-D PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES';
  t.true(lines.indexOf(':KUBE-SERVICES - [0:0]') < lines.indexOf(jump));
  t.true(lines.indexOf(jump) < lines.indexOf('-X KUBE-SERVICES'));
  t.is(lines.at(-2), 'COMMIT');
});

test('foreign names that begin alike are foreign', (t) => {
  const found = natWith(':KUBE-HOSTPORTS - [0:0]', ':KUBE-SVC-SHORT - [0:0]', ':KUBE-HP-2MBSHUE5GJKPO227 - [0:0]');
  t.deepEqual(
    found.chains.filter((chain) => /HOSTPORTS|SHORT|HP/.test(chain)),
    [],
  );
  t.deepEqual(
    ['KUBE-CLUSTER-IP', 'KUBE-6-LOOP-BACK', 'KUBE-NODE-PORT-LOCAL-SCTP-HASH', 'KUBE-OTHER', 'cali40all', 'KUBE-6'].map(
      isKubeProxySet,
    ),
    [true, true, true, false, false, false],
  );
});
