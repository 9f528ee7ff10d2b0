/** IPPROTO_... */
const names: Readonly<Record<number, string>> = { 1: 'ICMP', 6: 'TCP', 17: 'UDP', 58: 'ICMPv6', 132: 'SCTP' };

/** 'TCP'; of one that has no name here its number. */
export function protocolText(protocol: number): string {
  return names[protocol] ?? String(protocol);
}
