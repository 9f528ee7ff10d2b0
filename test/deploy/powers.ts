/** Does, once each, what needs a capability, and prints as JSON what the kernel said: 'ok', or the code of its refusal. */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { BpfError, BpfLink, BpfMap, destroySocket, listSockets, loadInstructions } from 'libbpf-ts';
import { exit, set } from '../../src/kernel/instructions.ts';
import { netnsCookie } from '../../src/kernel/kernel.ts';
import { tryPrograms } from '../../src/kernel/load.ts';
import { encodeConfig, readObjects } from '../../src/kernel/objects.ts';

const program = (): ReturnType<typeof loadInstructions> =>
  loadInstructions('sched_cls', Buffer.concat([set(0, 0), exit]));

/** A connected UDP socket of our own, as the agent ends those whose backend is gone. */
async function endSocket(): Promise<void> {
  const socket = createSocket('udp4');
  socket.on('error', () => {});
  socket.connect(9, '127.0.0.1');
  await once(socket, 'connect');
  try {
    const found = await listSockets({ family: 4, protocol: 'udp', states: ['established'], remotePort: 9 });
    const [own] = found.filter(({ local }) => local.port === socket.address().port);
    if (own === undefined) throw new Error('the socket is not listed');
    await destroySocket({ ...own, family: 4, protocol: 'udp' });
  } finally {
    socket.close();
  }
}

const deeds: Readonly<Record<string, () => unknown>> = {
  'make a map for prefixes': () =>
    BpfMap.create({ type: 'lpm_trie', name: 'probe', keySize: 8, valueSize: 4, maxEntries: 1, flags: 1 }).close(),
  'load a packet program': () => program()[Symbol.dispose](),
  'attach it to a device': async () => {
    using loaded = program();
    using _link = await BpfLink.attach({ kind: 'tcx', ifindex: 1, direction: 'ingress' }, loaded);
  },
  'load our programs': () =>
    tryPrograms({ objects: readObjects(), config: encodeConfig(netnsCookie(), { fibSource: true }) }),
  'end a socket': endSocket,
};

const said: Record<string, string> = {};
for (const [name, deed] of Object.entries(deeds)) {
  try {
    await deed();
    said[name] = 'ok';
  } catch (error) {
    if (!(error instanceof BpfError)) throw error;
    said[name] = error.code;
  }
}
console.log(JSON.stringify(said));
