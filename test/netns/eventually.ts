/**
 * Tries until it does not throw, and then returns its result; after `seconds` the last failure is thrown. Take node:assert inside: ava counts
 * a failed assertion of its own even if it is caught. */
export async function eventually<T>(attempt: () => T | Promise<T>, seconds = 10): Promise<T> {
  for (const end = Date.now() + seconds * 1000; ; ) {
    try {
      return await attempt();
    } catch (error) {
      if (Date.now() > end) throw error;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}
