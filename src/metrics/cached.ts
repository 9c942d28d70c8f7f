/** How long something may take, and how long what it gave is good. All in ms. */
export interface CacheTimes {
  /** What is younger is given without asking again. */
  readonly freshMs: number;
  /** How long a caller waits. The asking goes on for later ones. */
  readonly patienceMs: number;
  /** What is younger is given when asking took too long or failed. Default: nothing is. */
  readonly staleMs?: number;
}

export type Cached<T> = { readonly value: T | undefined; readonly error?: unknown };

/**
 * Asks at most once at a time, however many callers there are, and lets none of them wait for long.
 *
 * @returns a function that never rejects: `error` says why there is nothing newer
 */
export function cached<T>(
  ask: () => Promise<T>,
  { freshMs, patienceMs, staleMs = 0 }: CacheTimes,
): () => Promise<Cached<T>> {
  let last: { readonly value: T; readonly at: number } | undefined;
  let asking: Promise<T> | undefined;
  const begin = () =>
    ask()
      .then((value) => {
        last = { value, at: performance.now() };
        return value;
      })
      .finally(() => {
        asking = undefined;
      });
  const younger = (ms: number) => (last !== undefined && performance.now() - last.at < ms ? last : undefined);

  return async () => {
    const fresh = younger(freshMs);
    if (fresh) return { value: fresh.value };
    asking ??= begin();
    try {
      return { value: await within(asking, patienceMs) };
    } catch (error) {
      return { value: younger(staleMs)?.value, error };
    }
  };
}

/** The same promise, which rejects when it has taken so long. */
async function within<T>(promise: Promise<T>, ms: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  // Once nobody waits for it, its failure is nobody's.
  promise.catch(() => undefined);
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${ms / 1000} s`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
