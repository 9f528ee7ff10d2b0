import test from 'ava';
import { BpfMap } from 'libbpf-ts';
import { type Flow, type FlowKey, flow, flowFlag, flowKey, maps, socketKey, socketPeer } from '../layout.gen.ts';
import { addressToHex } from '../model/address.ts';
import { udpChoices } from './udp-choices.ts';

const bytes = (hex: string) => Buffer.from(hex, 'hex');
const [TCP, UDP] = [6, 17];

function mapLike(name: 'flows' | 'half_open' | 'udp_choices'): BpfMap {
  const { keySize, valueSize } = maps[name];
  return BpfMap.create({ type: 'lru_hash', name, keySize, valueSize, maxEntries: 4096 });
}

let ports = 0;

function put(map: BpfMap, destination: string, more: Partial<Flow> & Partial<Pick<FlowKey, 'protocol'>> = {}): void {
  const { protocol = UDP, ...row } = more;
  ports += 1;
  const [source, vip] = [addressToHex('10.1.1.1'), addressToHex('10.96.0.10')];
  const key = { source, destination: vip, sourcePort: ports, destinationPort: 53, protocol, hook: 1, device: 3 };
  const value = {
    source,
    destination: addressToHex(destination),
    sourcePort: ports,
    destinationPort: 5353,
    servicePort: 7,
    state: 1,
    flags: 0,
    nextHop: '020000000001',
    check: 9,
    seen: 11,
    ...row,
  };
  map.update(bytes(flowKey.encode(key)), bytes(flow.encode(value)));
}

test('udpChoices() finds each backend of UDP once: of ways there alone, of Services alone', async (t) => {
  using flows = mapLike('flows');
  using half_open = mapLike('half_open');
  using udp_choices = mapLike('udp_choices');
  for (let i = 0; i < 2000; i++) put(flows, '10.1.1.11');
  put(flows, '10.1.1.11', { servicePort: 8 });
  put(flows, '10.1.1.11', { destinationPort: 53 });
  put(flows, 'fd00::5');
  put(half_open, '10.1.1.12', { flags: flowFlag.hairpin });
  put(flows, '10.1.1.90', { protocol: TCP });
  put(flows, '10.1.1.91', { flags: flowFlag.reply | flowFlag.masquerade });
  put(half_open, '10.1.1.92', { servicePort: 0 });
  udp_choices.update(
    bytes(socketKey.encode({ cookie: 1n, address: addressToHex('10.96.0.10'), port: 53, protocol: UDP })),
    bytes(socketPeer.encode({ address: addressToHex('10.1.1.13'), port: 5353, servicePort: 7, seen: 1, check: 2 })),
  );
  const state = { flows, half_open, udp_choices } as unknown as Parameters<typeof udpChoices>[0];
  const found = (await udpChoices(state)).map(({ address, port, servicePort }) => `${servicePort} ${address} ${port}`);
  t.deepEqual(found.sort(), [
    '7 10.1.1.11 53',
    '7 10.1.1.11 5353',
    '7 10.1.1.12 5353',
    '7 10.1.1.13 5353',
    '7 fd00::5 5353',
    '8 10.1.1.11 5353',
  ]);
});
