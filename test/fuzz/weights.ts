import fc from 'fast-check';

export const some = <T>(likely: T, ...rest: readonly T[]): fc.Arbitrary<T> =>
  fc.oneof({ weight: 2, arbitrary: fc.constant(likely) }, { weight: 1, arbitrary: fc.constantFrom(likely, ...rest) });
export const mostly = <T>(likely: T, ...rest: readonly T[]): fc.Arbitrary<T> =>
  fc.oneof({ weight: 8, arbitrary: fc.constant(likely) }, { weight: 1, arbitrary: fc.constantFrom(likely, ...rest) });
export const maybe = <T>(value: fc.Arbitrary<T>, freq = 2): fc.Arbitrary<T | undefined> =>
  fc.option(value, { nil: undefined, freq });

export type ValueOf<T> = T extends fc.Arbitrary<infer V> ? V : never;
