import { portKey, type ServicePort } from '../model/service.ts';
import type { AllocationRequest, Grant } from './allocate.ts';
import { parsePort, parseProtocol, type Report } from './fields.ts';
import type { ServicePortSpec, ServiceSpec } from './objects.ts';
import { faultOfName, maxLabel } from './reader.ts';

/** The nodePorts that are written, that for health checks among them, and the ports that lack one. */
export function nodePortsOf(spec: ServiceSpec): Pick<AllocationRequest, 'nodePorts' | 'wantedPorts'> {
  const written = [...spec.ports.map(({ nodePort }) => nodePort), spec.healthCheckNodePort];
  const nodePorts = written.flatMap((text) => parsePort(text) ?? []);
  const lacking = getsNodePorts(spec) ? spec.ports.filter(({ nodePort }) => !isWritten(nodePort)) : [];
  const shared = new Set(spec.ports.flatMap((port) => (isWritten(port.nodePort) ? port.port : [])));
  const wantedPorts = lacking.flatMap(({ port }) => (shared.has(port) ? [] : (parsePort(port) ?? [])));
  return { nodePorts, wantedPorts };
}

/** The ports that can be served; each other one is reported. `shares`: a port without a nodePort takes that of another protocol with its number. */
export function readPorts(
  service: ServiceSpec,
  shares: boolean,
  grant: Grant | null,
  report: Report,
): readonly ServicePort[] {
  const ports: ServicePort[] = [];
  const keys = new Set<string>();
  for (const [i, spec] of service.ports.entries()) {
    const at = `ports[${i}]`;
    const port = readPort(spec, at, report);
    if (port === null) continue;
    const place = `number ${port.number}/${port.protocol}`;
    if (keys.has(place) || keys.has(portKey(port))) {
      report(
        `${at}: port ${port.number} ${port.protocol} or its name ${JSON.stringify(port.name)} is there already: left out`,
      );
      continue;
    }
    keys.add(place).add(portKey(port));
    const { name, protocol, number } = port;
    const nodePort = nodePortOf(service, shares ? withNodePort(service, spec) : spec, at, grant, report);
    ports.push({ name, protocol, number, nodePort });
  }
  return [...ports];
}

function readPort(spec: ServicePortSpec, at: string, report: Report): Omit<ServicePort, 'nodePort'> | null {
  const number = parsePort(spec.port);
  const protocol = parseProtocol(spec.protocol);
  const nameFault = spec.name === '' ? null : faultOfName(spec.name, maxLabel);
  if (number === null) report(`${at}.port: ${JSON.stringify(spec.port)} is not a port number (1 to 65535): left out`);
  else if (protocol === null) report(`${at}.protocol: ${JSON.stringify(spec.protocol)} is unknown: left out`);
  else if (nameFault !== null) report(`${at}.name ${nameFault}: left out`);
  else return { name: spec.name, protocol, number };
  return null;
}

function withNodePort(service: ServiceSpec, port: ServicePortSpec): ServicePortSpec {
  if (isWritten(port.nodePort) || !getsNodePorts(service)) return port;
  return service.ports.find((other) => other.port === port.port && isWritten(other.nodePort)) ?? port;
}

/** 0: none. */
function nodePortOf(
  service: ServiceSpec,
  port: ServicePortSpec,
  at: string,
  grant: Grant | null,
  report: Report,
): number {
  if (!isWritten(port.nodePort)) return grant?.nodePorts.get(Number(port.port)) ?? 0;
  const number = parsePort(port.nodePort);
  if (number === null)
    report(`${at}.nodePort: ${JSON.stringify(port.nodePort)} is not a port number (1 to 65535): left out`);
  else if (service.type === '' || service.type === 'ClusterIP')
    report(`${at}.nodePort: type ClusterIP has none: left out`);
  else return number;
  return 0;
}

function getsNodePorts({ type, allocateLoadBalancerNodePorts }: ServiceSpec): boolean {
  return type === 'NodePort' || (type === 'LoadBalancer' && allocateLoadBalancerNodePorts !== false);
}

function isWritten(nodePort: string): boolean {
  return nodePort !== '' && nodePort !== '0';
}
