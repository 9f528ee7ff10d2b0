import type { Address } from '../model/address.ts';
import type { Endpoint, Endpoints } from '../model/service.ts';
import type { PortSpec, SliceEndpoint, SliceObject } from './objects.ts';

/*
 * Endpoints are what there is most of, 100,000 in a large cluster, and each is told twice: by its slice, and by what all slices
 * of its Service come to. One by one that takes 300 bytes an endpoint; as one text of addresses, with what many have in common
 * beside it, 50. They are made anew for whoever looks, which is hardly ever: when their Service changes.
 */

/** Things with an address each. One kind stands for all if they are of one. */
interface Packed<Kind> {
  readonly addresses: string;
  readonly kinds: readonly Kind[];
}

/** No address has it, be it ever so malformed: such are not packed. */
const separator = ' ';

function pack<Kind>(addresses: readonly string[], kinds: readonly Kind[]): Packed<Kind> {
  const isOne = kinds.every((kind) => kind === kinds[0]);
  return { addresses: addresses.join(separator), kinds: isOne ? kinds.slice(0, 1) : [...kinds] };
}

function unpack<Kind, Thing>(
  { addresses, kinds }: Packed<Kind>,
  make: (address: string, kind: Kind) => Thing,
): Thing[] {
  const [first] = kinds;
  if (first === undefined) return [];
  return addresses.split(separator).map((address, i) => make(address, kinds[i] ?? first));
}

/** Of equal things the first one. It forgets when there are too many: equal ones are two then, and nothing else happens. */
export function firstOfEquals<Thing>(most = 10_000): (key: string, thing: Thing) => Thing {
  const known = new Map<string, Thing>();
  return (key, thing) => {
    const present = known.get(key);
    if (present !== undefined) return present;
    if (known.size >= most) known.clear();
    known.set(key, thing);
    return thing;
  };
}

type SliceKind = Omit<SliceEndpoint, 'addresses'>;

/** A class, since accessors of a prototype cost an object nothing. */
class PackedSlice implements SliceObject, Packed<SliceKind> {
  readonly kind = 'EndpointSlice';
  readonly metadata: SliceObject['metadata'];
  readonly addressType: string;
  readonly ports: readonly PortSpec[];
  readonly addresses: string;
  readonly kinds: readonly SliceKind[];

  constructor({ metadata, addressType, ports }: SliceObject, { addresses, kinds }: Packed<SliceKind>) {
    this.metadata = metadata;
    this.addressType = addressType;
    this.ports = ports;
    this.addresses = addresses;
    this.kinds = kinds;
  }

  get endpoints(): readonly SliceEndpoint[] {
    return unpack(this, (address, { conditions, nodeName, hints }) => {
      return { addresses: [address], conditions, nodeName, hints };
    });
  }
}

/** Packs slices. Further addresses of an endpoint are the same one again, and nobody reads them: they go. */
export function slicePacker(): (slice: SliceObject) => SliceObject {
  const once = firstOfEquals<SliceKind>();
  return (slice) => {
    const { endpoints } = slice;
    const isPlain = endpoints.every(({ addresses: [address = ''] }) => address !== '' && !address.includes(separator));
    if (!isPlain) return slice;
    const kinds = endpoints.map(({ conditions, nodeName, hints }) => {
      const { ready, serving, terminating } = conditions;
      const hasHints = hints.forZones.length + hints.forNodes.length > 0;
      const key = `${ready} ${serving} ${terminating} ${hasHints ? JSON.stringify([hints, nodeName]) : nodeName}`;
      return once(key, { conditions, nodeName, hints });
    });
    const addresses = endpoints.map(({ addresses: [address = ''] }) => address);
    return new PackedSlice(slice, pack(addresses, kinds));
  };
}

type EndpointKind = Omit<Endpoint, 'address'>;

interface PackedPort extends Packed<EndpointKind> {
  readonly key: string;
}

class PackedEndpoints implements Endpoints {
  readonly ports: readonly PackedPort[];

  constructor(ports: readonly PackedPort[]) {
    this.ports = ports;
  }

  get(key: string): readonly Endpoint[] | undefined {
    const port = this.ports.find((one) => one.key === key);
    return port && unpack(port, toEndpoint);
  }

  keys(): Iterable<string> {
    return this.ports.map(({ key }) => key);
  }

  values(): Iterable<readonly Endpoint[]> {
    return this.ports.map((port) => unpack(port, toEndpoint));
  }
}

const endpointKind = firstOfEquals<EndpointKind>();

/** `found`: by `portKey`. */
export function packEndpoints(found: Iterable<readonly [key: string, endpoints: readonly Endpoint[]]>): Endpoints {
  const ports = Array.from(found, ([key, endpoints]) => {
    const places = endpoints.map(({ address }) => address);
    const { addresses, kinds } = pack(places, endpoints.map(kindOf));
    return { key, addresses, kinds };
  });
  return new PackedEndpoints(ports);
}

function kindOf({ port, ready, serving, terminating, nodeName, zoneHints, nodeHints }: Endpoint): EndpointKind {
  const hasHints = zoneHints.length + nodeHints.length > 0;
  const rest = hasHints ? JSON.stringify([zoneHints, nodeHints, nodeName]) : nodeName;
  const kind = { port, ready, serving, terminating, nodeName, zoneHints, nodeHints };
  return endpointKind(`${port} ${ready} ${serving} ${terminating} ${rest}`, kind);
}

function toEndpoint(address: Address, kind: EndpointKind): Endpoint {
  const { port, ready, serving, terminating, nodeName, zoneHints, nodeHints } = kind;
  return { address, port, ready, serving, terminating, nodeName, zoneHints, nodeHints };
}
