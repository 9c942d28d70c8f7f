/**
 * How long to wait before the next attempt, in ms: full jitter over an exponential, so that many workers that
 * failed together do not come back together.
 *
 * @param attempt the attempt that just failed, counted from 1
 * @param baseMs upper bound of the first wait
 * @param retryAfterMs what the upstream asked for; waited in full, plus jitter
 */
export function backoffMs(
  attempt: number,
  baseMs: number,
  retryAfterMs?: number,
  random = Math.random,
): number {
  if (retryAfterMs !== undefined) return retryAfterMs + random() * baseMs;
  return random() * Math.min(baseMs * 2 ** (attempt - 1), 20_000);
}

/** The Retry-After header (seconds or an HTTP date) in ms from now; undefined if absent or not understandable. */
export function parseRetryAfter(header: string | undefined, now = Date.now()): number | undefined {
  if (header === undefined) return undefined;
  if (/^\s*\d+\s*$/.test(header)) return Number(header) * 1000;
  const at = Date.parse(header);
  return Number.isNaN(at) ? undefined : Math.max(0, at - now);
}
