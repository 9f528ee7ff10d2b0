/** YAML as it arrives when something went wrong with it. */

/** A Service, and with the next one what is behind it, as a person would type them. */
export const web = (name: string, clusterIP: string, ports = '[{port: 80}]'): string =>
  `apiVersion: v1\nkind: Service\nmetadata: {name: ${name}}\nspec: {clusterIP: "${clusterIP}", ports: ${ports}}\n`;
export const slice = (
  service: string,
  address: string,
  port = 8080,
  labels = `kubernetes.io/service-name: ${service}`,
): string =>
  `---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: ${service}-1, labels: {${labels}}}
addressType: IPv4\nports: [{port: ${port}}]\nendpoints: [{addresses: [${address}]}]\n`;

/** Files that are wrong in one way each, and what is said of it. They stand beside a Service default/good of 10.96.0.80. */
export const bad: Readonly<Record<string, readonly [text: string | Uint8Array, ...said: string[]]>> = {
  'absent.yaml': [
    slice('absent', '10.1.1.12'),
    'EndpointSlice default/absent-1: its Service default/absent does not exist',
  ],
  'cut.json': [
    '{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "cut"',
    'file cut.json: line 1, column 67: not YAML: Flow map in block collection must be sufficiently indented and end with a }',
  ],
  'empty.yaml': ['', 'file empty.yaml: is empty (0 bytes)'],
  'family.yaml': [
    `${web('family', 'fd00:10:96::6').replace('spec: {', 'spec: {ipFamilies: [IPv4], ')}${slice('family', 'fd00:1:1::12')}`,
    'Service default/family: clusterIPs[0]: fd00:10:96::6 is not an IPv4 address',
    'Service default/family: it has no usable clusterIP: it is not served',
  ],
  'label.yaml': [
    web('label', '10.96.1.1') + slice('label', '10.1.1.12', 8080, 'app: label'),
    'EndpointSlice default/label-1: without the label kubernetes.io/service-name it is of no Service',
  ],
  'mail.yaml': [
    'Please find the manifests attached.\n',
    'file mail.yaml: line 1: not a Kubernetes object: expected a map with apiVersion and kind, not "Please find the manifests attached."',
  ],
  'nameless.yaml': [
    `${web('named', '10.96.1.2')}---\n${web('', '10.96.1.3')}`,
    'file nameless.yaml: line 5: Service (no name): metadata.name is missing',
  ],
  'numbers.yaml': [
    web('numbers', '10.96.1.4', '[{name: a, port: 0}, {name: b, port: 65536}, {name: c, port: 80}]'),
    'Service default/numbers: ports[0].port: "0" is not a port number (1 to 65535): left out',
    'Service default/numbers: ports[1].port: "65536" is not a port number (1 to 65535): left out',
  ],
  'rival.yaml': [
    web('rival', '10.96.0.80'),
    'Service default/rival: port 80/TCP of clusterIP 10.96.0.80 belongs to Service default/good',
  ],
  'tabs.yaml': [
    web('tabs', '10.96.1.5').replace('metadata: {', 'metadata:\n\t{'),
    'file tabs.yaml: line 4, column 1: not YAML: Tabs are not allowed as indentation',
  ],
  'twice.yaml': [
    `${web('twice', '10.96.1.6')}---\n${web('twice', '10.96.1.7')}`,
    'Service default/twice: it is in twice.yaml line 1 and again in twice.yaml line 5: the latter is used',
  ],
  'utf16.yaml': [
    Buffer.from(`\ufeff${web('wide', '10.96.1.8')}`, 'utf16le'),
    'file utf16.yaml: is not UTF-8 text: save it as UTF-8',
  ],
};
