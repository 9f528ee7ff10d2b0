import { addon } from './addon.ts';

/** What the kernel calls the calling thread's network namespace (bpf_get_netns_cookie); never reused until reboot. */
export function netnsCookie(): bigint {
  return addon.netnsCookie();
}

/**
 * Moves the calling thread, and no other, into a network namespace ('/run/netns/x', '/proc/1/ns/net'). Processes that
 * it starts are born there, sockets of this package are opened there, and worker calls of this package that were begun
 * afterwards act there; name resolution and other thread pool work of Node's own do not. Made for tests.
 */
export function setNetns(path: string): void {
  addon.setNetns(path);
}

/** Moves the calling thread, as `setNetns` does, into a new network namespace that has nothing but lo, which is down. */
export function unshareNetns(): void {
  addon.unshareNetns();
}
