/** Network namespaces for calls that mean the one of the thread that makes them. */
import { closeSync, openSync } from 'node:fs';
import { setNetns } from 'libbpf-ts';

/** Moves this thread into a namespace of that name. The returned function moves it back to where it was. */
export function enterNetns(netns: string): () => void {
  // not by a name of this process, whose namespace is that of its first thread: it may be this one
  const home = openSync('/proc/thread-self/ns/net', 'r');
  setNetns(`/run/netns/${netns}`);
  return () => {
    setNetns(`/proc/self/fd/${home}`);
    closeSync(home);
  };
}

/** Works in there, and comes back. */
export function inside<T>(netns: string, work: () => T): T {
  const leave = enterNetns(netns);
  try {
    return work();
  } finally {
    leave();
  }
}
