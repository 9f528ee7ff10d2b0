/** What was asked cannot be done here and now. The message is one sentence for a person, with the cure in it. */
export class RefusedError extends Error {
  override readonly name: string = 'RefusedError';
}

/** This machine cannot run bpfsvc. */
export class UnsupportedError extends Error {
  override readonly name: string = 'UnsupportedError';
  readonly feature: string;
  readonly minimumKernel: string;

  constructor(feature: string, minimumKernel: string, release: string) {
    super(`bpfsvc needs ${feature} (Linux ${minimumKernel} or newer), and this kernel is ${release}: boot a newer one`);
    this.feature = feature;
    this.minimumKernel = minimumKernel;
  }
}
