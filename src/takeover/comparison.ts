import { type FactChange, factChanges } from '../difference.ts';
import type { Served } from '../served.ts';
import { comparable, type Peer } from './peer.ts';

/** One place where kube-proxy's rules and our tables do not agree. */
export interface Disagreement {
  /** 'kube-proxy', 'bpfsvc': only that one serves it; 'both': otherwise. */
  readonly known: 'kube-proxy' | 'bpfsvc' | 'both';
  readonly service: string;
  readonly place: string;
  /** What bpfsvc has beyond kube-proxy (`added`), and what it lacks (`removed`). */
  readonly facts: readonly FactChange[];
}

/** Place by place, what kube-proxy's rules of one family and our tables say differently. */
export function compare(peer: Peer, ours: ReadonlyMap<string, Served>): Disagreement[] {
  const own = new Map(
    [...ours.values()].flatMap((served) => {
      const one = comparable(served, peer.family);
      return one === null ? [] : [[one.place, one] as const];
    }),
  );
  return [...new Set([...peer.served.keys(), ...own.keys()])].sort().flatMap((place): Disagreement[] => {
    const [theirs, mine] = [peer.served.get(place), own.get(place)];
    const facts = factChanges(theirs?.facts ?? {}, mine?.facts ?? {});
    const service = mine?.service || theirs?.service || '';
    if (mine === undefined) return [{ known: 'kube-proxy', service, place, facts }];
    if (theirs === undefined) return [{ known: 'bpfsvc', service, place, facts }];
    return facts.length > 0 ? [{ known: 'both', service, place, facts }] : [];
  });
}
