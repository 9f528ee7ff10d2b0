/** What a guest tells the machine that booted it, one JSON object a line. */
export type Finding =
  | { readonly kind: 'kernel'; readonly release: string }
  /** Something that src/kernel/probes.ts looked for in vain. */
  | { readonly kind: 'missing'; readonly name: string }
  /** A program that was loaded, and how many steps the verifier took. */
  | { readonly kind: 'program'; readonly name: string; readonly instructions: number }
  | { readonly kind: 'refused'; readonly name: string; readonly reason: string }
  /** ava ended. */
  | { readonly kind: 'suite'; readonly name: string; readonly code: number; readonly seconds: number }
  /** The last one: without it, the guest did not get to the end. */
  | { readonly kind: 'end' };
