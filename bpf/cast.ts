/** The same story in both families: who takes part. */
import type { BackendText } from './fixture.ts';

export interface Cast {
  readonly family: 'IPv4' | 'IPv6';
  readonly client: string;
  readonly vip: string;
  /** No Service. */
  readonly other: string;
  /** Between client and backend. */
  readonly router: string;
  readonly backend: BackendText;
}

export const casts: readonly [Cast, Cast] = [
  {
    family: 'IPv4',
    client: '10.1.1.10',
    vip: '10.96.0.1',
    other: '10.1.3.33',
    router: '192.168.50.1',
    backend: ['10.1.2.24', 8081],
  },
  {
    family: 'IPv6',
    client: 'fd00:1:1::10',
    vip: 'fd00:96::1',
    other: 'fd00:1:3::33',
    router: 'fd00:50::1',
    backend: ['fd00:1:2::24', 8081],
  },
];
