import { setTimeout as sleep } from 'node:timers/promises';

/** Spaces the requests of one tenant. */
export interface RateLimiter {
  /** Resolves when the next request may be sent; rejects when the signal aborts first. */
  take(signal: AbortSignal): Promise<void>;
}

/**
 * A token bucket that holds one token: requests start at least 1/n s apart, in the order they were asked for,
 * so that no second ever sees more than n. It limits this process; replicas each have their own.
 *
 * @param requestsPerSecond upper bound; may be a fraction
 * @param now monotonic clock in ms
 */
export function createRateLimiter(requestsPerSecond: number, now = () => performance.now()): RateLimiter {
  const spacing = 1000 / requestsPerSecond;
  let next = 0;
  return {
    async take(signal) {
      signal.throwIfAborted();
      const at = Math.max(now(), next);
      next = at + spacing;
      const wait = at - now();
      if (wait > 0) await sleep(wait, undefined, { signal });
    },
  };
}
