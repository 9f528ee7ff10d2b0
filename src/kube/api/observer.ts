/** Why a list or a watch failed: no connection, an answer that says no, or one that makes no sense. */
export type ApiFault = 'unreachable' | 'refused' | 'nonsense';

/** Who is told how it goes with an API server. `resource` is as in its paths: 'services'. */
export interface ApiObserver {
  /** A request was answered; code null: it was not. `method` is 'GET' or 'POST', `host` has a port where it was given. */
  answered(method: string, host: string, code: number | null): void;
  /** Everything was read. */
  listed(resource: string): void;
  /** A watch began where another had ended. */
  resumed(resource: string): void;
  /** The server said something; not `isEvent`: only that nothing happened. */
  heard(resource: string, isEvent: boolean): void;
  failed(resource: string, fault: ApiFault): void;
  /** Whether all was read once and nothing is wrong now. */
  followed(resource: string, isFollowed: boolean): void;
}
